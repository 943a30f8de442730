"""Which tokens of a padded batch are computed, and how its texts are put together for attention."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor

from deberta_torch.masks import Masks

# Texts whose lengths round up to the same multiple of this attend together.
LENGTH_STEP = 16


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
        groups: the texts, together all computed tokens.
    """

    kept: Tensor | None
    groups: tuple[Group, ...]


def pack_tokens(masks: Masks) -> Packing:
    """Leaves out the padding before the first and after the last real token of each text.

    Padding between real tokens stays, hidden from the queries. A mask for each pair of tokens leaves nothing out.
    """
    batch, length = masks.tokens.shape
    if masks.keys.shape[2] > 1 or bool(masks.tokens.all()):
        visible = masks.keys if masks.hides_keys else None
        return Packing(None, (Group(None, None, visible, batch, length),))
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
    return Packing(torch.cat(kept) if kept else positions[:0], tuple(groups))
