"""Attention without gradients and probabilities: short texts whole, long ones in blocks of heads and queries.

Memory grows linearly with the length, and on CPUs what one step writes is still in the cache when the next reads it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from deberta_torch.kernels.eager import is_eager
from deberta_torch.kernels.onednn import beats_mkl, dense_product, multiplies_bfloat16_without_amx
from deberta_torch.kernels.skew import PositionRows, position_products, skew


class BlockSizes(NamedTuple):
    """How the attention of long texts is divided.

    Attributes:
        longer_than: texts up to this many tokens are not.
        queries: of a block.
        keys: of the parts in which a block's position-to-content products are made: M queries and N keys need M + N
            rows of positions, so that small parts waste less, and large ones make fewer calls.
        heads: of a block; None for all.
    """

    longer_than: int
    queries: int
    keys: int
    heads: int | None = None


# Measured on CPUs, where blocks are faster from here on; elsewhere they are made for the memory alone. The products of
# single heads can go through oneDNN, which pays where it is quicker than MKL.
BLOCK_SIZES = {
    "cpu": BlockSizes(longer_than=64, queries=512, keys=256, heads=1)
    if beats_mkl()
    else BlockSizes(longer_than=128, queries=256, keys=128)
}
_STEPS_FROM = 32  # tokens
_OTHER_SIZES = BlockSizes(longer_than=4096, queries=1024, keys=1024)


def attend(query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None, rows: PositionRows | None) -> Tensor:
    """Attends; records no gradients.

    Shape:
        query, key, value: `[B, H, L, D]`, the query scaled; visible: bool `[B, 1, 1, L]` or `[B, 1, L, L]`, None for
        all keys; returns `[B, H, L, D]`, anything for queries that see no key.
    """
    heads, length = query.shape[1:3]
    sizes = BLOCK_SIZES.get(query.device.type, _OTHER_SIZES)
    if length <= sizes.longer_than:
        return _attend(query, key, value, visible, rows, slice(0, length), length)
    context = torch.empty_like(query.transpose(1, 2)).transpose(1, 2)  # laid out as its reader wants it
    together = sizes.heads or heads
    for start in range(0, length, sizes.queries):
        block = slice(start, min(start + sizes.queries, length))
        seen = visible if visible is None or visible.shape[2] == 1 else visible[:, :, block]
        for first in range(0, heads, together):
            some = slice(first, first + together)
            own_rows = None if rows is None else rows.of_heads(some)
            context[:, some, block] = _attend(
                query[:, some], key[:, some], value[:, some], seen, own_rows, block, sizes.keys
            )
    return context


def context_of(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """`softmax(query @ key.T + bias) @ value`, by the quicker way; `[B, H, Q, D]`, `[B, H, K, D]` twice to the first.

    torch's own kernel multiplies bfloat16 by AMX, and slowly where there is none, but for the shortest texts.
    """
    by_steps = query.dtype == torch.bfloat16 and query.device.type == "cpu" and key.shape[2] >= _STEPS_FROM
    if not by_steps or not multiplies_bfloat16_without_amx():
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
    key_step: int,
) -> Tensor:
    """The context of a block of queries; `[B, H, Q of the block, D]`."""
    bias = None if rows is None else _block_bias(query, key, rows, block, key_step)
    if visible is not None:
        bias = hide(bias, visible, query.dtype)
    return context_of(query[:, :, block], key, value, bias)


def _block_bias(query: Tensor, key: Tensor, rows: PositionRows, block: slice, key_step: int) -> Tensor:
    """The position terms of the scores of a block of queries; `[B, H, Q of the block, K]`."""
    keys, start, stop = key.shape[2], block.start, block.stop
    # Outside of these a key is so far from every query of the block that its row is the last one.
    near = slice(max(0, start - rows.reach + 1), min(keys, stop - 1 + rows.reach))
    bias = _near_bias(query, key, rows, block, near, key_step)
    if near == slice(0, keys):
        return bias.transpose(0, 1)
    whole = bias.new_empty((*bias.shape[:3], keys))
    whole[..., near] = bias
    for far, ahead in ((slice(0, near.start), -rows.reach), (slice(near.stop, keys), rows.reach)):  # key - query
        if far.start == far.stop:
            continue
        whole[..., far] = 0.0
        if rows.key is not None:
            row = query.shape[2] - 1 + ahead
            whole[..., far] = _products(query[:, :, block], rows.key[:, row : row + 1])  # [H, B, Q, 1]
        if rows.query is not None:
            row = keys - 1 - ahead
            whole[..., far].add_(_products(key[:, :, far], rows.query[:, row : row + 1]).transpose(-1, -2))
    return whole.transpose(0, 1)


def _near_bias(query: Tensor, key: Tensor, rows: PositionRows, block: slice, near: slice, key_step: int) -> Tensor:
    """The same for the keys `near`, the heads first; `[H, B, Q of the block, near keys]`."""
    queries, keys, length = query.shape[2], key.shape[2], block.stop - block.start
    if rows.key is not None:
        first = queries + near.start - block.stop  # the row of the first key and the last query
        some = rows.key[:, first : queries + near.stop - block.start]
        bias = skew(_products(query[:, :, block], some), near.stop - near.start)
    else:
        bias = query.new_zeros((query.shape[1], query.shape[0], length, near.stop - near.start))
    if rows.query is not None:
        for start in range(near.start, near.stop, key_step):
            stop = min(start + key_step, near.stop)
            some = rows.query[:, keys + block.start - stop : keys + block.stop - start]
            by_key = skew(_products(key[:, :, start:stop], some), length)  # [H, B, keys, Q]
            # Not +=, which would copy the sum onto itself.
            bias[..., start - near.start : stop - near.start].add_(turned(by_key))
    return bias


def turned(values: Tensor) -> Tensor:
    """The last two axes the other way round, as a sum reads them quickly: bfloat16 laid out anew."""
    by_column = values.transpose(-1, -2)
    return by_column.contiguous() if values.dtype == torch.bfloat16 else by_column


def _products(values: Tensor, rows: Tensor) -> Tensor:
    """`position_products`; of one head alone through oneDNN, which on some CPUs is twice as fast."""
    if len(rows) == 1 and values.device.type == "cpu" and is_eager(values, rows):
        return dense_product(values[:, 0], rows[0])[None]
    return position_products(values, rows)
