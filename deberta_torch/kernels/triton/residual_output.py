"""`encoder.ResidualOutput` in training as one step, whose gradient is written by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from deberta_torch.kernels.recorded_products import in_types_of_forward, refuse_second_gradients
from deberta_torch.kernels.triton.dropping import Dropping
from deberta_torch.kernels.triton.operators import on_device_of


def add_and_normalize(
    values: Tensor,
    residual: Tensor,
    dense: tuple[Tensor, Tensor],
    norm: tuple[Tensor, Tensor],
    *,
    epsilon: float,
    dropping: Dropping,
    dtype: torch.dtype,
    norm_dtype: torch.dtype,
    wants_low: bool = False,
) -> tuple[Tensor, Tensor]:
    """`LayerNorm(dropout(linear(values)) + residual)`: in the norm's type, and as what products read.

    Args:
        values: `[..., K]`.
        residual: `[..., C]`.
        dense: weight `[C, K]` and bias `[C]`.
        norm: weight and bias `[C]`.
        epsilon: of the norm.
        dropping: of the product.
        dtype: of the product.
        norm_dtype: of the norm.
        wants_low: whether products will read it, so that it is cast at once.

    Returns:
        `[..., C]` each; the same tensor where nothing is to be cast.
    """
    wants_low = wants_low and dtype != norm_dtype
    out, low = _AddAndNormalize.apply(
        values, residual, *dense, *norm, epsilon, dropping, dtype, norm_dtype, wants_low, torch.is_grad_enabled()
    )
    return out, out if low is None else low


class _AddAndNormalize(Function):
    @staticmethod
    def forward(
        ctx: Any, values: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, gain: Tensor, shift: Tensor,
        epsilon: float, dropping: Dropping, dtype: torch.dtype, norm_dtype: torch.dtype, wants_low: bool,
        keeps: bool,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        from deberta_torch.kernels.triton.residual_norm import normalize_sum

        rows, cast = values.flatten(0, -2).to(dtype), weight.to(dtype)
        product = torch.addmm(bias.to(dtype), rows, cast.t())
        with on_device_of(values):
            normed = normalize_sum(
                product, residual, gain, shift, epsilon, dtype=norm_dtype, dropping=dropping,
                wants_low=wants_low, keeps=keeps,
            )  # fmt: skip
        ctx.save_for_backward(rows, cast, gain, dropping.seed, normed.total, normed.mean, normed.share)
        ctx.shape, ctx.dropping, ctx.types = values.shape, dropping._replace(seed=None), (dtype, residual.dtype)
        ctx.set_materialize_grads(False)
        return normed.out, normed.low

    @staticmethod
    @in_types_of_forward
    def backward(ctx: Any, grad: Tensor | None, of_low: Tensor | None) -> tuple[Any, ...]:
        from deberta_torch.kernels.triton.residual_norm import differentiate

        refuse_second_gradients()
        rows, weight, gain, seed, total, mean, share = ctx.saved_tensors
        needs = ctx.needs_input_grad
        grad, of_low = (None if one is None else one.contiguous() for one in (grad, of_low))
        with on_device_of(total):
            found = differentiate(grad, of_low, total, mean, share, gain, ctx.types, ctx.dropping._replace(seed=seed))
        product = found.product.flatten(0, -2)
        return (
            (product @ weight).view(ctx.shape) if needs[0] else None,
            found.residual if needs[1] else None,
            product.t() @ rows if needs[2] else None,
            found.bias if needs[3] else None,
            found.gain if needs[4] else None,
            found.shift if needs[5] else None,
            None, None, None, None, None, None,
        )  # fmt: skip
