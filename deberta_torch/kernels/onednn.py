"""torch's oneDNN operators: the only file that names them.

They are what `torch.compile` itself calls for linear layers on CPUs: products with weights laid out once, with bias,
activation and residual in the same pass. On AMD processors with AVX-512 they run at twice the speed of MKL, which
`F.linear` calls. Their names begin with underscores, so nothing is taken for granted: each is tried on a small product
when it is first needed, and where it is missing, or gives other numbers, `available` says no and plain torch does the
same work.

The operators take tensors of any layout, but not well: a weight whose rows and columns both lie apart is multiplied by
reference code, hundreds of times slower; a bias with a stride, and an 8-bit weight that is a transpose, are misread. So
every wrapper here puts weights and biases together first. Values and residuals are read right, and fast, as they are.
"""

from __future__ import annotations

import functools
import math
import platform
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Activations of the configurations that oneDNN computes in the product's own pass: attribute and algorithm.
FUSED_ACTIVATIONS = {"gelu": ("gelu", "none"), "gelu_new": ("gelu", "tanh"), "relu": ("relu", "")}
_NOTHING_FUSED = ("none", "")

_X86 = ("x86_64", "AMD64")
_TYPES = (torch.float32, torch.bfloat16, torch.int8)
# The probes tell another meaning of an operator from the right one; how it rounds is not their business.
_PROBE = 0.1


@functools.cache
def capabilities() -> dict[str, Any]:
    """What torch knows of this CPU's instructions; empty where it does not say."""
    describe = getattr(torch.cpu, "get_capabilities", dict)
    return dict(describe())


def beats_mkl() -> bool:
    """Whether oneDNN's float32 products are quicker than MKL's, which torch calls: on AMD's CPUs with AVX-512.

    There MKL runs at half of oneDNN's speed, forward and backward. With AVX2 alone they are about equal forward, and
    oneDNN is the slower one backward, where both factors are read along their columns.
    """
    return bool(capabilities().get("avx512_f")) and "AMD" in str(capabilities().get("cpu_name"))


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; elsewhere that is emulated, and slower than float32."""
    return bool(capabilities().get("avx512_bf16") or capabilities().get("amx_bf16"))


def multiplies_bfloat16_without_amx() -> bool:
    """Whether this CPU multiplies bfloat16 by the instructions of AVX-512 alone."""
    return bool(capabilities().get("avx512_bf16")) and not capabilities().get("amx_bf16")


def has_int8_dot_products() -> bool:
    """Whether this CPU sums four 8-bit products in 32 bits; elsewhere two are summed in 16 bits, which can overflow."""
    return any(capabilities().get(name) for name in ("avx512_vnni", "avx_vnni", "amx_int8"))


def fuses(activation: str, dtype: torch.dtype) -> bool:
    """Whether oneDNN computes an activation in the pass of products of this type, and not slower than by itself.

    With AVX2 alone a float32 GELU in that pass takes five times as long as torch's own pass over the result.
    """
    quick = activation == "relu" or dtype == torch.int8 or bool(capabilities().get("avx512_f"))
    return activation in FUSED_ACTIVATIONS and quick


def available(dtype: torch.dtype = torch.float32) -> bool:
    """Whether the linear operators work here for numbers of this type, float32, bfloat16 or int8, and are wanted.

    They are not within `torch.backends.mkldnn.flags(enabled=False)`.
    """
    return bool(getattr(torch.backends.mkldnn, "enabled", True)) and _works(dtype)


@functools.cache
def _works(dtype: torch.dtype) -> bool:
    if platform.machine() not in _X86 or dtype not in _TYPES or not torch.backends.mkldnn.is_available():
        return False
    weight = torch.linspace(-1, 1, 64).reshape(4, 16)
    expected = F.linear(weight, weight)
    try:
        if dtype == torch.int8:
            layer: PackedLinear | QuantizedLinear = QuantizedLinear(weight, None)
        else:
            layer = PackedLinear(weight, None, dtype)
        found, added = layer(weight), layer.plus(weight, expected)
    except (AttributeError, RuntimeError, TypeError):
        return False
    pairs = ((found, expected), (added, 2 * expected))
    return all(bool((value.float() - wanted).abs().max() < _PROBE) for value, wanted in pairs)


def linear(values: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None) -> Tensor:
    """`activation(values @ weight.T + bias)` in float32 or bfloat16, of a weight in its usual layout; no gradients.

    Shape:
        values: `[..., K]`; weight: `[N, K]`, copied where neither its rows nor its columns lie together; bias: `[N]`;
        activation: a name in `FUSED_ACTIVATIONS`, or None; returns `[..., N]`.
    """
    attribute, algorithm = FUSED_ACTIVATIONS[activation] if activation else _NOTHING_FUSED
    if not weight.t().is_contiguous():
        weight = weight.contiguous()
    bias = None if bias is None else bias.contiguous()
    return torch.ops.mkldnn._linear_pointwise(values, weight, bias, attribute, [], algorithm)


class PackedLinear:
    """A linear layer whose weight is laid out for oneDNN, with an activation in the same pass.

    Args:
        weight: `[N, K]`, any float type; copied.
        bias: `[N]` or None.
        dtype: float32 or bfloat16, of the product and what it returns.
        activation: a name in `FUSED_ACTIVATIONS`, or None.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype = torch.float32, activation: str | None = None
    ) -> None:
        self.dtype = dtype
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.detach().to(dtype).contiguous(), None)
        self._bias = None if bias is None else bias.detach().to(dtype).contiguous()
        self._fused = FUSED_ACTIVATIONS[activation] if activation else _NOTHING_FUSED

    def __call__(self, values: Tensor) -> Tensor:
        """`activation(values @ weight.T + bias)`: `[T, K]` to `[T, N]`."""
        attribute, algorithm = self._fused
        return torch.ops.mkldnn._linear_pointwise(
            values.to(self.dtype), self._weight, self._bias, attribute, [], algorithm
        )

    def plus(self, values: Tensor, residual: Tensor) -> Tensor:
        """`values @ weight.T + bias + residual`, without the activation; `[T, K]` and `[T, N]` to float32 `[T, N]`."""
        if self.dtype != torch.float32:
            return residual + torch.ops.mkldnn._linear_pointwise(
                values.to(self.dtype), self._weight, self._bias, "none", [], ""
            )
        return torch.ops.mkldnn._linear_pointwise.binary(values, residual, self._weight, self._bias, "add")


class QuantizedLinear:
    """A linear layer with 8-bit weights, one scale a row, and activations made 8-bit with one scale for each call.

    Args:
        weight: `[N, K]`, any float type; copied.
        bias: `[N]` or None.
        dtype: float32 or bfloat16, of what a call returns.
        activation: a name in `FUSED_ACTIVATIONS`, or None.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype = torch.float32, activation: str | None = None
    ) -> None:
        integers, scales = quantized_rows(weight)
        self.dtype = dtype
        self._weight = torch.ops.onednn.qlinear_prepack(integers, None)
        self._scales = scales
        self._zeros = torch.zeros(len(scales), dtype=torch.int64)
        self._bias = None if bias is None else bias.detach().float().contiguous()
        self._fused = FUSED_ACTIVATIONS[activation] if activation else _NOTHING_FUSED

    def __call__(self, values: Tensor) -> Tensor:
        """`activation(values @ weight.T + bias)`: `[T, K]` to `[T, N]`."""
        return self._product(values, self.dtype, *self._fused)

    def plus(self, values: Tensor, residual: Tensor) -> Tensor:
        """`values @ weight.T + bias + residual`, without the activation; `[T, K]` and `[T, N]` to float32 `[T, N]`."""
        return self._product(values, torch.float32, *_NOTHING_FUSED).add_(residual)

    def _product(self, values: Tensor, dtype: torch.dtype, attribute: str, algorithm: str) -> Tensor:
        quantized, scale, zero = quantize(values)
        return torch.ops.onednn.qlinear_pointwise(
            quantized, scale, zero, self._weight, self._scales, self._zeros, self._bias,
            1.0, 0, dtype, attribute, [], algorithm,
        )  # fmt: skip


class DynamicLinear:
    """`QuantizedLinear` by torch's own layer for it, which finds the range, quantizes and multiplies in one call.

    It fuses no activation, which would cost more than is gained.

    Args:
        weight: `[N, K]`, any float type; copied.
        bias: `[N]` or None.

    Raises:
        FloatingPointError: a weight is NaN or infinite.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        integers, scales = quantized_rows(weight)
        _check_finite(scales.sum(), "a weight")
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        with warnings.catch_warnings():  # torch means to part with these tensors; then `quantizes_in_one_call` says no
            warnings.simplefilter("ignore", UserWarning)
            tensor = torch._make_per_channel_quantized_tensor(integers, scales, zeros, 0)
        self._packed = torch.ops.quantized.linear_prepack(
            tensor, None if bias is None else bias.detach().float().contiguous()
        )
        self._uses_seven_bits = not has_int8_dot_products()

    def __call__(self, values: Tensor) -> Tensor:
        """`values @ weight.T + bias` in float32: `[T, K]` to `[T, N]`.

        Raises:
            FloatingPointError: a value is NaN or infinite. (torch may take no notice.)
        """
        _check_finite(values.sum(dtype=torch.float32), "a hidden state")
        product: Tensor = torch.ops.quantized.linear_dynamic(values.float(), self._packed, self._uses_seven_bits)
        return product

    def plus(self, values: Tensor, residual: Tensor) -> Tensor:
        """`values @ weight.T + bias + residual`; `[T, K]` and `[T, N]` to float32 `[T, N]`."""
        return self(values).add_(residual)


@functools.cache
def quantizes_in_one_call() -> bool:
    """Whether `DynamicLinear` works here."""
    weight = torch.linspace(-1, 1, 64).reshape(4, 16)
    expected = F.linear(weight, weight)
    try:
        found = DynamicLinear(weight, None)(weight)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool((found - expected).abs().max() < _PROBE)


def quantized_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight `[N, K]` as 8-bit integers and a scale for each row, `[N]`."""
    weight = weight.detach().float().contiguous()
    scales = weight.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
    return (weight / scales[:, None]).round().to(torch.int8), scales


def _check_finite(total: Tensor | float, what: str) -> None:
    if not math.isfinite(float(total)):
        raise FloatingPointError(
            f"{what} is NaN or infinite, which 8 bits cannot hold. Use dtype='float32' and look for the cause."
        )


def quantize(values: Tensor) -> tuple[Tensor, float, int]:
    """8-bit numbers `q` with `values = (q - zero) * scale`, to rounding; the range of the values is used whole.

    Where products are summed in 16 bits, 7 of the 8 bits are used, so that no sum overflows.

    Raises:
        FloatingPointError: a value is NaN or infinite.
    """
    values = values.float()
    low, high = (float(edge) for edge in torch.aminmax(values))
    low, high = min(low, 0.0), max(high, 0.0)
    _check_finite(high - low, "a hidden state")
    levels = 255 if has_int8_dot_products() else 127
    # A hundredth less than all levels: halves are rounded up below, and the largest value must not reach levels + 1.
    steps = (levels - 0.01) / max(high - low, torch.finfo(torch.float32).tiny * 1e3)
    zero = int(-low * steps + 0.5)
    rounding = torch.tensor(zero + 0.5)
    return torch.add(rounding, values, alpha=steps).to(torch.uint8), 1 / steps, zero
