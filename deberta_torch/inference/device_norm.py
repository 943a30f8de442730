"""The LayerNorm of a sum, for inference on accelerators."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deberta_torch.kernels.triton.operators import on_device_of


class AddNorm(Protocol):
    """LayerNorm of a sum."""

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        """Copies the norm's weights, in this type."""

    def __call__(self, values: Tensor, residual: Tensor) -> Tensor:
        """Two of `[T, C]` to one."""


class TorchNorm:
    """By torch's operators."""

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        self._gain, self._shift, self._epsilon = _copied(norm, dtype)

    def __call__(self, values: Tensor, residual: Tensor) -> Tensor:
        """See `AddNorm`."""
        return F.layer_norm(values + residual, self._gain.shape, self._gain, self._shift, self._epsilon)


class KernelNorm:
    """By one kernel of Triton: half of the calls, and the sum stays out of memory."""

    def __init__(self, norm: nn.LayerNorm, dtype: torch.dtype) -> None:
        from deberta_torch.kernels.triton.residual_norm import normalize_sum

        self._normalize, (self._gain, self._shift, self._epsilon) = normalize_sum, _copied(norm, dtype)

    def __call__(self, values: Tensor, residual: Tensor) -> Tensor:
        """See `AddNorm`."""
        with on_device_of(values):
            return self._normalize(values, residual, self._gain, self._shift, self._epsilon, dtype=values.dtype).out


def _copied(norm: nn.LayerNorm, dtype: torch.dtype) -> tuple[Tensor, Tensor, float]:
    return norm.weight.detach().to(dtype), norm.bias.detach().to(dtype), norm.eps
