"""Linear layers for inference: which kind serves a precision, and the plain one where oneDNN does not serve."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from deberta_core.errors import InputError
from deberta_torch.activations import ACTIVATION_FUNCTIONS
from deberta_torch.kernels import onednn


class Precision(NamedTuple):
    """In which numbers an optimised encoder computes; its residual stream and norms are float32 in every case.

    Attributes:
        products: of the linear layers: float32, bfloat16 or int8.
        attention: of scores and context: float32 or bfloat16.
    """

    products: torch.dtype
    attention: torch.dtype


def precision_of(dtype: torch.dtype | str) -> Precision:
    """The precision by name or torch dtype.

    Raises:
        InputError: it is none of float32, bfloat16 and int8; or int8, and this torch or CPU lacks the operators.
    """
    name = str(dtype).removeprefix("torch.")
    if name == "int8" and not onednn.available(torch.int8):
        raise InputError("dtype='int8' needs oneDNN's 8-bit products, which this torch or CPU lacks. Use 'float32'.")
    known = {
        "float32": Precision(torch.float32, torch.float32),
        "bfloat16": Precision(torch.bfloat16, torch.bfloat16),
        "int8": Precision(torch.int8, torch.bfloat16 if onednn.has_bfloat16() else torch.float32),
    }
    if name not in known:
        raise InputError(f"dtype is {dtype!r}, but must be one of {', '.join(map(repr, known))}.")
    return known[name]


def device_dtype(dtype: torch.dtype | str) -> torch.dtype:
    """The float type by name or torch dtype, of what an accelerator computes in.

    Raises:
        InputError: it is none of float32, bfloat16 and float16.
    """
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    name = str(dtype).removeprefix("torch.")
    if name not in known:
        raise InputError(f"dtype is {dtype!r}, but on CUDA must be one of {', '.join(map(repr, known))}.")
    return known[name]


class PlainLinear:
    """A linear layer through plain torch, with the interface of `onednn.PackedLinear`."""

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, activation: str | None = None) -> None:
        self.dtype = dtype
        self._weight = weight.detach().to(dtype)
        self._bias = None if bias is None else bias.detach().to(dtype)
        self._activation = ACTIVATION_FUNCTIONS[activation or "linear"]

    def __call__(self, values: Tensor) -> Tensor:
        """`activation(values @ weight.T + bias)`: `[T, K]` to `[T, N]`."""
        return self._activation(F.linear(values.to(self.dtype), self._weight, self._bias))

    def plus(self, values: Tensor, residual: Tensor) -> Tensor:
        """`values @ weight.T + bias + residual`, without the activation; `[T, K]` and `[T, N]` to float32 `[T, N]`."""
        return residual + F.linear(values.to(self.dtype), self._weight, self._bias)


def make_linear(
    weight: Tensor, bias: Tensor | None, precision: Precision, activation: str | None = None
) -> onednn.PackedLinear | onednn.QuantizedLinear | onednn.DynamicLinear | PlainLinear:
    """The layer `[N, K]` with an activation of `onednn.FUSED_ACTIVATIONS`, or none, in this precision."""
    if precision.products == torch.int8:
        if activation is None and onednn.quantizes_in_one_call():
            return onednn.DynamicLinear(weight, bias)
        return onednn.QuantizedLinear(weight, bias, torch.float32, activation)
    if onednn.available(precision.products):
        return onednn.PackedLinear(weight, bias, precision.products, activation)
    return PlainLinear(weight, bias, precision.products, activation)
