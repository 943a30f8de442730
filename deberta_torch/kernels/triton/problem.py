"""What one call of the kernels is about: tensors, and the numbers read of their shapes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from deberta_torch.kernels.triton.dropping import Dropping


class Problem(NamedTuple):
    """The arguments of `disentangled_attention`, checked, and how many tokens of what there are."""

    query: Tensor
    key: Tensor
    value: Tensor
    content_rows: Tensor | None
    position_rows: Tensor | None
    starts: Tensor | None
    mask: Tensor | None
    seed: Tensor | None
    longest: int
    scale: float
    dropout: float
    ordered: bool = True

    @property
    def packed(self) -> bool:
        """Whether texts lie one after the other without padding."""
        return self.starts is not None

    @property
    def heads(self) -> int:
        """H."""
        return self.query.shape[-2]

    @property
    def width(self) -> int:
        """D."""
        return self.query.shape[-1]

    @property
    def tokens(self) -> int:
        """T, padding included."""
        return self.query.shape[:-2].numel()

    @property
    def texts(self) -> int:
        """How many texts there are."""
        return len(self.query) if self.starts is None else len(self.starts) - 1

    @property
    def reach(self) -> int:
        """The distance from which on, to either side, the relative row stays the same."""
        rows = self.content_rows if self.content_rows is not None else self.position_rows
        return 0 if rows is None else len(rows) // 2

    @property
    def has_far(self) -> bool:
        """Whether a pair may be farther apart than the relative rows tell distances."""
        return (self.content_rows is not None or self.position_rows is not None) and self.longest > self.reach + 1

    @property
    def mask_kind(self) -> int:
        """None, of keys or of pairs: as in `tiles`."""
        if self.mask is None:
            return 0
        return 2 if self.mask.ndim == 3 else 1

    @property
    def dropping(self) -> Dropping:
        """Of probabilities."""
        return Dropping(self.dropout, self.seed)

    @property
    def pointers(self) -> tuple[Tensor, ...]:
        """Tensors in the kernels' order; the query stands for what is not there, and is not read as that."""
        optional = (self.content_rows, self.position_rows, self.mask, self.starts, self.seed)
        return (self.query, self.key, self.value, *(self.query if one is None else one for one in optional))

    @property
    def strides(self) -> tuple[int, ...]:
        """Of text, token and head of query, key and value, and of row and head of the relative rows."""
        return (
            *(stride for tokens in (self.query, self.key, self.value) for stride in token_strides(tokens)),
            *(stride for rows in (self.content_rows, self.position_rows) for stride in row_strides(rows)),
        )


def token_strides(values: Tensor) -> tuple[int, int, int]:
    """Of text (0 where texts are packed), token and head."""
    text = values.stride(0) if values.ndim == 4 else 0
    return text, values.stride(-3), values.stride(-2)


def row_strides(rows: Tensor | None) -> tuple[int, int]:
    """Of row and head."""
    return (0, 0) if rows is None else (rows.stride(0), rows.stride(1))
