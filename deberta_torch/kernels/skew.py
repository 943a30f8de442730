"""Products with rows of relative positions, and how they are read by query and key (NUMERICS 3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from deberta_torch.kernels.eager import is_eager


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
    return diagonals(products, length)


def diagonals(products: Tensor, length: int) -> Tensor:
    """`skew`, whose gradient torch makes."""
    rows, columns = products.shape[-2:]
    flat = products.flatten(-2)[..., rows - 1 : rows - 1 + rows * (columns - 1)]
    return flat.unflatten(-1, (rows, columns - 1))[..., :length]


def spread_diagonals(values: Tensor) -> Tensor:
    """Writes `[..., M, N]` back to the diagonals of `[..., M, M + N]`, zeros elsewhere; records no gradients."""
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


class _Skew(Function):
    """`skew`, whose gradient torch would make of slices: with a buffer of zeros and a copy for each of them."""

    @staticmethod
    def forward(ctx: Any, products: Tensor, length: int) -> Tensor:
        return diagonals(products, length)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Unskew.apply(gradient), None


class _Unskew(Function):
    """`spread_diagonals`, whose gradient is `skew`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return spread_diagonals(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return skew(gradient, gradient.shape[-1] - gradient.shape[-2])
