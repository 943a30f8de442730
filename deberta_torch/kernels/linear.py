"""Linear layers that train with oneDNN's products where those are quicker than torch's own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from deberta_torch.activations import ACTIVATION_FUNCTIONS
from deberta_torch.kernels import onednn
from deberta_torch.kernels.eager import is_eager

# Multiplications of a product from which on the detour through Python costs nothing that can be measured.
_SMALLEST = 2**24


class Linear(nn.Linear):
    """`nn.Linear`, by `linear` of this module."""

    def forward(self, values: Tensor) -> Tensor:
        """`[..., K]` to `[..., N]`."""
        return linear(values, self.weight, self.bias)


def linear(values: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, and its gradients, by the quicker library; both round alike, in another order.

    Shape:
        values: `[..., K]`; weight: `[N, K]`; bias: `[N]`; returns `[..., N]`.
    """
    if not uses_onednn(values, weight):
        return F.linear(values, weight, bias)
    return (_Product.apply if torch.is_grad_enabled() else onednn.linear)(values, weight, bias)


def linear_and_activation(layer: nn.Module, values: Tensor, activation: str) -> Tensor:
    """`activation(layer(values))` of a name in `ACTIVATION_FUNCTIONS`, in one pass where oneDNN can.

    Only without gradients, and of a layer of this module that nobody listens to: `[..., K]` to `[..., N]`.
    """
    if (
        torch.is_grad_enabled()
        or type(layer) is not Linear
        or layer._forward_hooks
        or layer._forward_pre_hooks
        or not uses_onednn(values, layer.weight)
        or not onednn.fuses(activation, values.dtype)
    ):
        return ACTIVATION_FUNCTIONS[activation](layer(values))
    return onednn.linear(values, layer.weight, layer.bias, activation)


def uses_onednn(values: Tensor, weight: Tensor) -> bool:
    """Whether `linear` calls oneDNN: where it is quicker, for large float32 products of ordinary tensors on the CPU."""
    return (
        values.device.type == weight.device.type == "cpu"
        and values.dtype == weight.dtype == torch.float32
        and is_eager(values, weight)  # before the size, which a graph would else be bound to
        and values.numel() * weight.shape[0] >= _SMALLEST
        and not torch.is_autocast_enabled("cpu")
        and onednn.beats_mkl()
        and onednn.available()
    )


class _Product(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(values, weight)
        return onednn.linear(values, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        values, weight = ctx.saved_tensors
        needs_values, needs_weight, needs_bias = ctx.needs_input_grad
        # Gradients are recorded here only for gradients of gradients, which need torch's operators.
        product = F.linear if torch.is_grad_enabled() else onednn.linear
        rows = gradient.flatten(0, -2)  # [T, N]
        return (
            product(gradient, weight.t()) if needs_values else None,
            product(rows.t(), values.flatten(0, -2).t()) if needs_weight else None,
            rows.sum(dim=0) if needs_bias else None,
        )
