"""Projected position rows of one layer, kept between calls."""

from __future__ import annotations

import torch
from torch import Tensor

from deberta_torch.attention import DisentangledSelfAttention
from deberta_torch.kernels.skew import PositionRows

# Rows are kept for texts up to this length; for longer ones they are put in order in each call, which costs little
# beside what long texts cost.
KEPT_LENGTH = 512


class KeptPositions:
    """The rows that the tokens of a layer meet at every distance, from one for each row of the relative table.

    Args:
        attention: the layer's.
        table: `[R, C]`, the relative table, LayerNormed where configured.
        index: `[2 * reach + 1]` integers, the table's row for query - key = -reach, ..., reach; beyond, the ends hold.
        dtype: of the rows.
    """

    def __init__(self, attention: DisentangledSelfAttention, table: Tensor, index: Tensor, dtype: torch.dtype) -> None:
        def by_head(rows: Tensor, scale: float) -> Tensor:
            split = rows.unflatten(-1, (attention.num_heads, attention.head_size)).transpose(0, 1)
            return (split.float() * scale).to(dtype).contiguous()

        self.terms = ("c2p" in attention.terms, "p2c" in attention.terms)
        projected = (
            by_head(attention.position_key(table), 1.0) if self.terms[0] else None,
            by_head(attention.position_query(table), attention.scale) if self.terms[1] else None,
        )
        self._parts = [part for part in projected if part is not None]
        self._heads = attention.num_heads
        self._index = index
        self._reach = len(index) // 2
        # One name for a length and its rows: another thread reads the old pair or the new one, and both are right.
        self._kept = (0, table[:0])
        self._columns = (0, table[:0])

    def rows(self, length: int) -> PositionRows:
        """The rows for texts of this length, not to be changed."""
        if length > KEPT_LENGTH:
            parts = self._in_order(length)
            key, query = parts[0], parts[-1]
        else:
            rows = self._middle(length)
            key, query = rows[: self._heads], rows[-self._heads :]
        return PositionRows(key if self.terms[0] else None, query if self.terms[1] else None, self._reach)

    def columns(self, length: int) -> Tensor:
        """The same of all terms as columns, `[n * H, D, 2 * L]`, for texts of up to `KEPT_LENGTH` tokens."""
        last, columns = self._columns
        if length != last:
            columns = self._middle(length).transpose(1, 2)
            self._columns = (length, columns)
        return columns

    def _middle(self, length: int) -> Tensor:
        kept, rows = self._kept
        if length > kept:
            kept = min(KEPT_LENGTH, max(16, 1 << (length - 1).bit_length()))
            rows = torch.cat(self._in_order(kept))
            self._kept = (kept, rows)
        # Rows are ordered by distance, so those of shorter texts are in the middle.
        return rows[:, kept - length : kept + length]

    def _in_order(self, length: int) -> list[Tensor]:
        """`[H, 2 * L, D]` of each term, by key - query and then by query - key."""
        ahead = torch.arange(1 - length, length + 1, device=self._index.device).clamp_(-self._reach, self._reach)
        orders = [order for order, has in zip((-ahead, ahead), self.terms, strict=True) if has]
        return [part[:, self._index[self._reach + order]] for part, order in zip(self._parts, orders, strict=True)]
