"""Dropout, residual and LayerNorm by one kernel, and their gradients by another."""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from deberta_torch.kernels.triton.dropping import NOTHING, Dropping
from deberta_torch.kernels.triton.norm_kernels import gradients, normalize

# Programs of the backward pass: each sums the gradients of gain and biases over its rows, always the same ones.
_PARTS = 512
_INTERPRETED_ROWS = 16  # the interpreter takes as long for one row as for many


class Normed(NamedTuple):
    """A LayerNorm, `[..., C]` of T rows.

    Attributes:
        out: in the type of the norm.
        low: the same in the type of products; None unless asked for.
        total: the sum it is of; None unless kept for gradients, as all that follows.
        mean: `[T]` float32.
        share: `[T]` float32, one over the standard deviation.
    """

    out: Tensor
    low: Tensor | None
    total: Tensor | None
    mean: Tensor | None
    share: Tensor | None


class Gradients(NamedTuple):
    """Of what `normalize_sum` was given.

    Attributes:
        product: `[..., C]` in its type.
        residual: `[..., C]` in its type; the same tensor as `product` where their numbers and types are the same.
        gain: float32 `[C]`, of the norm.
        shift: float32 `[C]`, of the norm.
        bias: float32 `[C]`, the sum of `product`'s rows.
    """

    product: Tensor
    residual: Tensor
    gain: Tensor
    shift: Tensor
    bias: Tensor


def normalize_sum(
    product: Tensor,
    residual: Tensor,
    gain: Tensor,
    shift: Tensor,
    epsilon: float,
    *,
    dtype: torch.dtype,
    dropping: Dropping = NOTHING,
    wants_low: bool = False,
    keeps: bool = False,
) -> Normed:
    """`LayerNorm(dropout(product) + residual)`.

    Args:
        product: `[T, C]`.
        residual: `[..., C]` of T rows.
        gain: `[C]`, of the norm.
        shift: `[C]`, of the norm.
        epsilon: of the norm.
        dtype: of the norm, whose sums are float32.
        dropping: of the product.
        wants_low: whether the result is wanted in the product's type, too.
        keeps: whether gradients will be asked for.
    """
    (rows, width), product, residual = product.shape, product.contiguous(), residual.contiguous()
    out = torch.empty_like(residual, dtype=dtype)
    low = torch.empty_like(out, dtype=product.dtype) if wants_low else None
    total = torch.empty_like(out) if keeps else None
    mean, share = product.new_empty((2, rows), dtype=torch.float32) if keeps else (None, None)
    sizes = _sizes(product)
    if rows:
        normalize[(triton.cdiv(rows, sizes["R"]),)](
            product, residual, gain, shift, *(out if one is None else one for one in (dropping.seed, low, total, mean)),
            out if share is None else share, out, rows, width, epsilon, dropping.threshold, dropping.rescale,
            STEP=dropping.step, DROPOUT=dropping.threshold > 0, LOW_TOO=wants_low, KEEPS=keeps, **sizes,
        )  # fmt: skip
    return Normed(out, low, total, mean, share)


def differentiate(
    grad: Tensor | None,
    of_low: Tensor | None,
    total: Tensor,
    mean: Tensor,
    share: Tensor,
    gain: Tensor,
    types: tuple[torch.dtype, torch.dtype],
    dropping: Dropping = NOTHING,
) -> Gradients:
    """The gradients, from those of `Normed.out` and `Normed.low`, of which one may be None; contiguous.

    Args:
        grad: `[..., C]`.
        of_low: `[..., C]`.
        total: of `Normed`.
        mean: of `Normed`.
        share: of `Normed`.
        gain: what `normalize_sum` was given.
        types: of product and residual.
        dropping: what it was given.
    """
    first, width = of_low if grad is None else grad, total.shape[-1]
    assert first is not None
    of_residual = torch.empty_like(total, dtype=types[1])
    is_apart = dropping.threshold > 0 or types[0] != types[1]
    of_product = torch.empty_like(total, dtype=types[0]) if is_apart else of_residual
    sizes = _sizes(total)
    programs = min(triton.cdiv(len(mean), sizes["R"]), _PARTS)
    parts = total.new_empty((programs, 3, width), dtype=torch.float32)
    if programs:
        gradients[(programs,)](
            first, first if of_low is None else of_low, total, mean, share, gain,
            total if dropping.seed is None else dropping.seed, of_product, of_residual, parts, len(mean), width,
            dropping.threshold, dropping.rescale, STEP=dropping.step, DROPOUT=dropping.threshold > 0, APART=is_apart,
            BOTH=grad is not None and of_low is not None, **sizes,
        )  # fmt: skip
    return Gradients(of_product, of_residual, *parts.sum(dim=0))


def _sizes(values: Tensor) -> dict[str, int]:
    """Rows of a program, numbers of a row, and warps."""
    width = triton.next_power_of_2(values.shape[-1])
    rows = _INTERPRETED_ROWS if values.device.type == "cpu" else 1
    return {"R": rows, "C": width, "num_warps": min(max(width // 256, 1), 8)}
