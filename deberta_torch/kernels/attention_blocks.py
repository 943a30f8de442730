"""Attention without gradients and probabilities: short texts whole, long ones in blocks of heads and queries.

Memory grows linearly with the length, and on CPUs what one step writes is still in the cache when the next reads it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from deberta_torch.kernels.linear import linear
from deberta_torch.kernels.onednn import multiplies_bfloat16_without_amx
from deberta_torch.kernels.skew import PositionRows, position_products, skew


class BlockSizes(NamedTuple):
    """How the attention of long texts is divided.

    Attributes:
        longer_than: texts up to this many tokens are not.
        queries: of a block.
        part: of its queries or keys, in which its products with positions are made: M queries and N keys need
            M + N rows of positions, so that small parts waste less, and large ones make fewer calls.
        heads: of a block; None for all.
    """

    longer_than: int
    queries: int
    part: int
    heads: int | None = None


# Measured on CPUs, where blocks are faster from here on; elsewhere they are made for the memory alone.
BLOCK_SIZES = {"cpu": BlockSizes(longer_than=64, queries=512, part=128, heads=1)}
# Keys from which on three operators on the CPU are quicker than torch's own kernel for all of attention.
STEPS_FROM = {torch.bfloat16: 32, torch.float32: 65}
_OTHER_SIZES = BlockSizes(longer_than=4096, queries=1024, part=1024)


def attend(query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None, rows: PositionRows | None) -> Tensor:
    """Attends; records no gradients.

    Shape:
        query: `[B, H, Q, D]`, scaled; key, value: `[B, H, K, D]`; visible: bool `[B, 1, 1, K]` or `[B, 1, Q, K]`, None
        for all keys; returns `[B, H, Q, D]`, anything for queries that see no key.
    """
    heads, length = query.shape[1:3]
    sizes = BLOCK_SIZES.get(query.device.type, _OTHER_SIZES)
    if length <= sizes.longer_than:
        bias = None if rows is None else _whole_bias(query, key, rows)
        return context_of(query, key, value, bias if visible is None else hide(bias, visible, query.dtype))
    context = torch.empty_like(query.transpose(1, 2)).transpose(1, 2)  # laid out as its reader wants it
    together = sizes.heads or heads
    # Products of half precision are so quick that fewer calls are worth more.
    part = min(sizes.part, -(-length // 2)) if query.dtype == torch.float32 else 2 * sizes.part
    for first in range(0, heads, together):
        some = slice(first, first + together)
        own_rows = None if rows is None else rows.of_heads(some)
        for block in _parts(slice(0, length), sizes.queries):
            seen = visible if visible is None or visible.shape[2] == 1 else visible[:, :, block]
            context[:, some, block] = _attend(query[:, some], key[:, some], value[:, some], seen, own_rows, block, part)
    return context


def context_of(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """`softmax(query @ key.T + bias) @ value`, by the quicker way; from `[B, H, Q, D]` and twice `[B, H, K, D]`."""
    if not _goes_by_steps(query, key):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
    scores = query @ key.transpose(-1, -2)
    return (scores if bias is None else scores.add_(bias)).softmax(dim=-1) @ value


def hide(bias: Tensor | None, visible: Tensor, dtype: torch.dtype) -> Tensor:
    """The bias with the smallest number of its type where a key is hidden, in place unless gradients are recorded.

    The number is finite, so that a query that sees no key does not make NaN.

    Shape:
        bias: `[B, H, Q, K]`, or None for zeros; visible: bool `[B, 1, 1, K]` or `[B, 1, Q, K]`.
    """
    lowest = torch.finfo(dtype).min
    if bias is None:
        return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, lowest)
    if torch.is_grad_enabled():
        return bias.masked_fill(~visible, lowest)
    # The same as masked_fill_, which takes twice the time.
    limit = torch.full(visible.shape, torch.inf, dtype=dtype, device=visible.device).masked_fill_(~visible, lowest)
    return bias.clamp_max_(limit)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visible: Tensor | None,
    rows: PositionRows | None,
    block: slice,
    part: int,
) -> Tensor:
    """The context of a block of queries; `[B, H, Q of the block, D]`."""
    own = query[:, :, block]
    if not _goes_by_steps(query, key):
        bias = None
        if rows is not None:
            bias = own.new_zeros((*own.shape[:3], key.shape[2]))
            _add_positions(bias, query, key, rows, block, part)
        if visible is not None:
            bias = hide(bias, visible, query.dtype)
        return F.scaled_dot_product_attention(own, key, value, attn_mask=bias, scale=1.0)
    scores = own @ key.transpose(-1, -2)
    if rows is not None:
        _add_positions(scores, query, key, rows, block, part)
    return (scores if visible is None else hide(scores, visible, query.dtype)).softmax(dim=-1) @ value


def _goes_by_steps(query: Tensor, key: Tensor) -> bool:
    """Whether attention is three operators, as torch's kernel multiplies bfloat16 slowly where there is no AMX."""
    if query.device.type != "cpu" or key.shape[2] < STEPS_FROM.get(query.dtype, math.inf):
        return False
    return query.dtype != torch.bfloat16 or multiplies_bfloat16_without_amx()


def _whole_bias(query: Tensor, key: Tensor, rows: PositionRows) -> Tensor:
    """The position terms of the scores; `[B, H, Q, K]`."""
    bias = None
    if rows.key is not None:
        bias = skew(_products(query, rows.key), key.shape[2])
    if rows.query is not None:
        by_key = skew(_products(key, rows.query), query.shape[2])
        bias = by_key.transpose(-1, -2) if bias is None else bias.add_(turned(by_key))
    assert bias is not None
    return bias


def _add_positions(scores: Tensor, query: Tensor, key: Tensor, rows: PositionRows, block: slice, part: int) -> None:
    """Adds the position terms to the scores `[B, H, Q, K]` of a block of queries."""
    queries, keys = query.shape[2], key.shape[2]
    # Outside of these a key is so far from every query of the block that its row is the last one.
    near = slice(max(0, block.start - rows.reach + 1), min(keys, block.stop - 1 + rows.reach))
    sides = ((slice(0, near.start), -rows.reach), (slice(near.stop, keys), rows.reach))  # key - query
    beyond = [(far, ahead) for far, ahead in sides if far.start < far.stop]
    if rows.key is not None:
        for some in _parts(block, part):
            own = scores[:, :, some.start - block.start : some.stop - block.start]
            reached = rows.key[:, queries + near.start - some.stop : queries + near.stop - some.start]
            by_query = _products(query[:, :, some], reached)  # [B, H, queries, queries + near keys]
            own[..., near].add_(skew(by_query, near.stop - near.start))
        for far, ahead in beyond:
            row = queries - 1 + ahead
            scores[..., far].add_(_products(query[:, :, block], rows.key[:, row : row + 1]))  # [B, H, Q, 1]
    if rows.query is not None:
        for some in _parts(near, part):
            reached = rows.query[:, keys + block.start - some.stop : keys + block.stop - some.start]
            by_key = skew(_products(key[:, :, some], reached), block.stop - block.start)  # [B, H, keys, Q]
            # Not +=, which would copy the sum onto itself.
            scores[..., some].add_(turned(by_key))
        for far, ahead in beyond:
            row = keys - 1 - ahead
            by_key = _products(key[:, :, far], rows.query[:, row : row + 1])  # [B, H, far keys, 1]
            scores[..., far].add_(by_key.transpose(-1, -2))


def _parts(whole: slice, size: int) -> list[slice]:
    return [slice(start, min(start + size, whole.stop)) for start in range(whole.start, whole.stop, size)]


def turned(values: Tensor) -> Tensor:
    """The last two axes the other way round, as a sum reads them quickly: bfloat16 laid out anew."""
    by_column = values.transpose(-1, -2)
    return by_column.contiguous() if values.dtype == torch.bfloat16 else by_column


def _products(values: Tensor, rows: Tensor) -> Tensor:
    """Products of tokens `[B, H, M, D]` with rows of positions `[H, W, D]`; `[B, H, M, W]`."""
    if len(rows) == 1:  # by the quicker library
        return linear(values[:, 0], rows[0])[:, None]
    return position_products(values, rows).transpose(0, 1)
