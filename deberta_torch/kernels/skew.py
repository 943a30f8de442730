"""Products with rows of relative positions, and how they are read by query and key (NUMERICS 3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from deberta_torch.kernels.eager import is_eager

_BLOCK = 64  # tokens; measured


class PositionRows(NamedTuple):
    """A layer's projections of the relative table, one row for each distance; None for a term it does not have.

    Attributes:
        key: `[H, Q + K, D]`, for key - query = 1 - Q, ..., K.
        query: `[H, Q + K, D]`, for query - key = 1 - K, ..., Q; scaled.
        reach: the distance from which on, to either side, the row stays the same.
    """

    key: Tensor | None
    query: Tensor | None
    reach: int

    def of_heads(self, heads: slice) -> PositionRows:
        """The rows of some heads."""
        return self._replace(
            key=None if self.key is None else self.key[heads], query=None if self.query is None else self.query[heads]
        )


def products_by_distance(values: Tensor, rows: Tensor, length: int) -> Tensor:
    """Products of tokens m with the row of every token n's distance from them, n - m.

    The row depends on n - m alone: tokens meet the rows, ordered by distance, once, and the products are read along
    their diagonals. Nothing is gathered per pair, nothing repeated over the batch.

    Shape:
        values: `[B, H, M, D]`; rows: `[H, M + N, D]`, for n - m = 1 - M, ..., N; length: N; returns `[B, H, M, N]`.
    """
    if _trains_in_blocks(values, rows):
        return _InBlocks.apply(values, rows, length)
    return skew(position_products(values, rows), length).transpose(0, 1)


def position_products(values: Tensor, rows: Tensor) -> Tensor:
    """Products of tokens with rows of relative positions, the heads first: one matrix product a head.

    Shape:
        values: `[B, H, M, D]`; rows: `[H, W, D]`; returns `[H, B, M, W]`.
    """
    by_head = values.transpose(0, 1).flatten(1, 2)  # [H, B * M, D]
    return (by_head @ rows.transpose(-1, -2)).unflatten(1, (values.shape[0], values.shape[2]))


def skew(products: Tensor, length: int) -> Tensor:
    """Reads products with rows of relative positions along their diagonals.

    Args:
        products: `[..., M, M + N]`; column w of row m belongs to the position n - m = w - (M - 1).
        length: N.

    Returns:
        `[..., M, N]`: element (m, n) is column n - m + M - 1. Two views and two slices; no data is moved.
    """
    if products.requires_grad and torch.is_grad_enabled() and is_eager(products):
        return _Skew.apply(products, length)
    return _diagonals(products, length)


def _diagonals(products: Tensor, length: int) -> Tensor:
    rows, columns = products.shape[-2:]
    flat = products.flatten(-2)[..., rows - 1 : rows - 1 + rows * (columns - 1)]
    return flat.unflatten(-1, (rows, columns - 1))[..., :length]


def _trains_in_blocks(values: Tensor, rows: Tensor) -> bool:
    """Whether `_InBlocks` does the work: where gradients of more than a block are recorded on the CPU."""
    return (
        is_eager(values, rows)  # first: a traced length, a symbol, must not be compared
        and values.device.type == "cpu"
        and values.shape[2] > _BLOCK
        and torch.is_grad_enabled()
        and (values.requires_grad or rows.requires_grad)
        and not torch.is_autocast_enabled("cpu")
    )


class _InBlocks(Function):
    """`products_by_distance`, block by block: b tokens meet the b + N rows that they reach, and not all M + N.

    Of as many tokens as others that is nearly half of the multiplications, and what is written in between stays in the
    processor's cache.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, rows: Tensor, length: int) -> Tensor:
        ctx.save_for_backward(values, rows)
        batch, heads, tokens, _ = values.shape
        found = values.new_empty((heads, batch, tokens, length))
        for block, reached in _blocks(tokens, length):
            found[:, :, block] = _diagonals(position_products(values[:, :, block], rows[:, reached]), length)
        return found.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        values, rows = ctx.saved_tensors
        batch, _, tokens, _ = values.shape
        by_head = values.transpose(0, 1)  # [H, B, M, D]
        if torch.is_grad_enabled():  # for gradients of gradients, which need operators that record
            spread = _Unskew.apply(gradient.transpose(0, 1)).flatten(1, 2)  # [H, B * M, M + N]
            of_values = (spread @ rows).unflatten(1, (batch, tokens))
            return of_values.transpose(0, 1), spread.transpose(1, 2) @ by_head.flatten(1, 2), None
        of_values = values.new_empty(by_head.shape)
        of_rows = rows.new_zeros(rows.shape)
        for block, reached in _blocks(tokens, gradient.shape[-1]):
            spread = _Unskew.apply(gradient[:, :, block].transpose(0, 1)).flatten(1, 2)  # [H, B * b, b + N]
            of_values[:, :, block] = (spread @ rows[:, reached]).unflatten(1, (batch, -1))
            of_rows[:, reached].baddbmm_(spread.transpose(1, 2), by_head[:, :, block].flatten(1, 2))
        return of_values.transpose(0, 1), of_rows, None


def _blocks(tokens: int, length: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of tokens, and the rows that each of them reaches."""
    for start in range(0, tokens, _BLOCK):
        end = min(start + _BLOCK, tokens)
        yield slice(start, end), slice(tokens - end, tokens - start + length)


class _Skew(Function):
    """`skew`, whose gradient torch would make of slices: with a buffer of zeros and a copy for each of them."""

    @staticmethod
    def forward(ctx: Any, products: Tensor, length: int) -> Tensor:
        return _diagonals(products, length)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Unskew.apply(gradient), None


class _Unskew(Function):
    """Writes `[..., M, N]` back to the diagonals of `[..., M, M + N]`, zeros elsewhere."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        rows, length = values.shape[-2:]
        products = values.new_empty((*values.shape[:-1], rows + length))
        flat = products.flatten(-2)
        read = flat[..., rows - 1 : -1].unflatten(-1, (rows, rows + length - 1))
        read[..., :length] = values
        # Only what is not written yet: half of the memory.
        read[..., length:] = 0
        flat[..., : rows - 1] = 0
        flat[..., -1] = 0
        return products

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return skew(gradient, gradient.shape[-1] - gradient.shape[-2])
