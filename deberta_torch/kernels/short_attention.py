"""Attention of short texts, where calling operators takes longer than what they compute: few of them, and no copies."""

from __future__ import annotations

import torch
from torch import Tensor

from deberta_torch.kernels.attention_blocks import context_of, hide, turned


def attend_fused(
    content: Tensor, heads: int, length: int, visible: Tensor | None, columns: Tensor | None, terms: tuple[bool, bool]
) -> Tensor:
    """Attends within texts of one length, of the fused projections; records no gradients.

    The products of all queries, and of all keys, with the rows of relative positions are one batch of products.

    Args:
        content: `[B * L, 3 * H * D]`, each token's queries, scaled, keys and values; its rows may lie apart.
        heads: H.
        length: L.
        visible: bool `[B, 1, 1, L]` or `[B, 1, L, L]`; None for all keys.
        columns: `[n * H, D, 2 * L]`, rows of positions by distance as columns, of n terms; None without any.
        terms: whether there are content-to-position and position-to-content terms.

    Returns:
        `[B * L, H * D]`, anything for queries that see no key.
    """
    tokens, apart, start = len(content), content.stride(0), content.storage_offset()
    width = content.shape[1] // 3
    size, batch = width // heads, tokens // length

    def part(number: int) -> Tensor:  # [B, H, L, D]
        shape, strides = (batch, heads, length, size), (length * apart, size, apart, 1)
        return content.as_strided(shape, strides, start + number * width)

    bias = None
    if columns is not None:
        first = 0 if terms[0] else width  # queries, and keys after them
        pairs = content.as_strided((len(columns), tokens, size), (size, apart, 1), start + first)
        bias = read_diagonals(torch.bmm(pairs, columns), batch, length, terms)
    if visible is not None:
        bias = hide(bias, visible, content.dtype)
    context = context_of(part(0), part(1), part(2), bias)
    return context.transpose(1, 2).reshape(tokens, width)


def read_diagonals(products: Tensor, batch: int, length: int, terms: tuple[bool, bool]) -> Tensor:
    """The bias `[B, H, L, L]` that products `[n * H, B * L, 2 * L]` with positions of one or both terms add up to.

    As `skew` reads them, the second term's from the key's side; in the memory of the products.
    """
    heads, pitch = len(products) // sum(terms), 2 * length
    shape, outer = (batch, heads, length, length), (length * pitch, batch * length * pitch)
    by_query = products.as_strided(shape, (*outer, pitch - 1, 1), length - 1)
    if not terms[1]:
        return by_query
    by_key = products.as_strided(shape, (*outer, pitch - 1, 1), (sum(terms) - 1) * heads * outer[1] + length - 1)
    return by_query.add_(turned(by_key)) if terms[0] else by_key.transpose(-1, -2)
