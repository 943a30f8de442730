"""Which tokens of a padded batch are computed, and how its texts are put together for attention."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor

from deberta_torch.masks import Masks

# Texts whose lengths round up to the same multiple of this attend together.
LENGTH_STEP = 16
# Leading bits of the number of rows that are computed; the others are 0. oneDNN prepares its work for each number of
# rows it meets, which takes milliseconds and half a megabyte for every shape of weights, and keeps it. So there are 16
# numbers from a power of two to the next, and 6 % more rows than tokens at the most, 2 % on average.
ROW_BITS = 5


class Group(NamedTuple):
    """Texts that attend together.

    Attributes:
        tokens: `[B * L]` integers, the row of each token among those that are computed, any row for padding; None if
            they are all, in order.
        written: `[n]` integers, which of the B * L are real; None for all.
        visible: bool `[B, 1, 1, L]` or `[B, 1, L, L]`, which keys a query sees; None for all.
        batch: B.
        length: L.
    """

    tokens: Tensor | None
    written: Tensor | None
    visible: Tensor | None
    batch: int
    length: int


class Packing(NamedTuple):
    """Tokens of a batch without padding.

    Attributes:
        kept: `[T]` integers, the tokens of the flattened batch that are computed; None for all.
        groups: the texts, together all computed tokens, but those of `averages`.
        tokens: T.
        places: `[B * L]` integers, each token's row of T; None where the rows are those of `kept`, and all else is 0.
        averages: `[P, T]`, how much of each row's value the last P rows attend to, which belong to no group.
    """

    kept: Tensor | None
    groups: tuple[Group, ...]
    tokens: int
    places: Tensor | None = None
    averages: Tensor | None = None

    @property
    def rows(self) -> int:
        """How many rows are computed: the tokens, and more of them by `filled_up`."""
        return _filled(self.tokens)

    def take(self, flat: Tensor) -> Tensor:
        """The rows of a flattened batch that are computed: `[B * L, C]` to `[rows, C]`."""
        return filled_up(flat if self.kept is None else flat[self.kept])

    def put_back(self, rows: Tensor, like: Tensor) -> Tensor:
        """`[rows, C]` to `[B, L, C]` of the type and shape of `like`, 0 at what was left out."""
        if self.places is not None:
            return rows[self.places].view(like.shape).to(like.dtype)
        tokens = rows[: self.tokens]
        if self.kept is None:
            return tokens.view(like.shape).to(like.dtype)
        padded = tokens.new_zeros((like.shape[0] * like.shape[1], tokens.shape[1]))
        padded[self.kept] = tokens
        return padded.view(like.shape).to(like.dtype)


def filled_up(rows: Tensor) -> Tensor:
    """The rows `[n, ...]`, and the last of them again up to a number of `ROW_BITS` bits.

    Not zeros, whose range may be another, which int8 would have to hold.
    """
    more = _filled(len(rows)) - len(rows)
    return torch.cat([rows, rows[-1:].expand(more, *rows.shape[1:])]) if more else rows


def _filled(count: int) -> int:
    step = 1 << max(0, count.bit_length() - ROW_BITS)
    return -(-count // step) * step


def pack_tokens(masks: Masks) -> Packing:
    """Leaves out the padding before the first and after the last real token of each text.

    Padding between real tokens stays, hidden from the queries. A mask for each pair of tokens leaves nothing out.
    """
    batch, length = masks.tokens.shape
    if masks.keys.shape[2] > 1 or bool(masks.tokens.all()):
        visible = masks.keys if masks.hides_keys else None
        return Packing(None, (Group(None, None, visible, batch, length),), batch * length)
    positions = torch.arange(length)
    first = torch.where(masks.tokens, positions, length).amin(dim=1).tolist()
    ends = (torch.where(masks.tokens, positions, -1).amax(dim=1) + 1).tolist()
    by_length: dict[int, list[int]] = defaultdict(list)
    for text in range(batch):
        if ends[text]:
            by_length[-((first[text] - ends[text]) // LENGTH_STEP) * LENGTH_STEP].append(text)
    kept, groups, packed = [], [], 0
    for padded, texts in sorted(by_length.items()):
        starts = torch.tensor([first[text] for text in texts])
        counts = torch.tensor([ends[text] - first[text] for text in texts])
        inside = torch.arange(padded) < counts[:, None]  # [texts, padded]
        source = torch.tensor(texts)[:, None] * length + starts[:, None] + torch.arange(padded)
        source = source[inside]
        kept.append(source)
        tokens = torch.full(inside.shape, packed)
        tokens[inside] = torch.arange(packed, packed + len(source))
        packed += len(source)
        visible = torch.zeros_like(inside)
        visible[inside] = masks.tokens.flatten()[source]
        whole = bool(inside.all())
        groups.append(
            Group(
                tokens.flatten(),
                None if whole else inside.flatten().nonzero()[:, 0],
                None if bool(visible.all()) else visible[:, None, None],
                len(texts),
                padded,
            )
        )
    return Packing(torch.cat(kept) if kept else positions[:0], tuple(groups), packed)


def with_padding(packing: Packing, tokens: Tensor) -> Packing:
    """Adds one row for the padding of each text that has some, with what transformers computes there.

    There a query at padding attends to all keys of its text alike, padding or not. So all padding of a text stays the
    same from layer to layer, if it was the same at first.

    Args:
        packing: of the batch.
        tokens: bool `[B, L]`, true at real tokens.
    """
    if packing.kept is None:
        return packing
    batch, length = tokens.shape
    padded = (~tokens).any(dim=1).nonzero()[:, 0]  # [P] texts
    rows = packing.tokens + len(padded)
    own = torch.zeros(batch, dtype=torch.long)
    own[padded] = torch.arange(packing.tokens, rows)
    places = own.repeat_interleave(length)
    padding = places.clone()
    places[packing.kept] = torch.arange(packing.tokens)
    places = torch.where(tokens.flatten(), places, padding)
    averages = torch.zeros(batch, rows)
    averages.scatter_add_(1, places.view(batch, length), torch.full((batch, length), 1 / length))
    first = padded * length + tokens[padded].int().argmin(dim=1)
    return packing._replace(
        kept=torch.cat([packing.kept, first]), tokens=rows, places=places, averages=averages[padded]
    )
