"""Dropout at a fraction of torch's price on CPUs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from deberta_torch.kernels.eager import is_eager

_STEPS = 2**16  # of a probability: dropped are the places whose 16 random bits are below a threshold


class Places:
    """Draws which places are dropped, on the CPU.

    torch draws one number after the other, which takes a tenth of a training step. Here its generator draws a seed, and
    NumPy's SFC64 the bits: 64 of them serve four places. The same seed of torch gives the same places, and gradient
    checkpointing restores them; they are other places than `nn.Dropout` would drop.

    Args:
        probability: of a place to be dropped, 0 to 1; rounded to a multiple of 2**-16.

    Attributes:
        factor: what the numbers that stay are multiplied by; of the rounded probability, so the expectation is exact.
    """

    def __init__(self, probability: float) -> None:
        dropped = round(probability * _STEPS)
        self.factor = _STEPS / max(1, _STEPS - dropped)
        self._limit = dropped - _STEPS // 2
        self._bits = np.random.SFC64(int(torch.empty((), dtype=torch.int64).random_()))

    def kept(self, shape: torch.Size) -> Tensor:
        """Boolean, of this shape, true where a number stays."""
        return self._draw(shape) >= self._limit

    def signs(self, shape: torch.Size) -> Tensor:
        """float32 of this shape, negative where a number is dropped."""
        return self._draw(shape).to(torch.float32).sub_(self._limit - 0.5)

    def _draw(self, shape: torch.Size) -> Tensor:
        """int16 of this shape, every number as likely."""
        count = shape.numel()
        words = self._bits.random_raw((count + 3) // 4)
        return torch.from_numpy(words.view(np.int16)[:count]).view(shape)


class Dropout(nn.Dropout):
    """`nn.Dropout`, whose places `Places` draws on CPUs."""

    def forward(self, values: Tensor) -> Tensor:
        """Drops, in training; `[...]` to the same."""
        if not self.training or not values.numel() or values.device.type != "cpu" or not is_eager(values):
            return super().forward(values)
        if round(self.p * _STEPS) in (0, _STEPS) or self.inplace:
            return super().forward(values)
        places = Places(self.p)
        return _Dropped.apply(values, places.kept(values.shape), places.factor)


class _Dropped(Function):
    """Autograd keeps the places alone, a byte each."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, kept: Tensor, factor: float) -> Tensor:
        ctx.save_for_backward(kept)
        ctx.factor = factor
        return _drop(values, kept, factor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = ctx.saved_tensors
        return _drop(gradient, kept, ctx.factor), None, None


def _drop(values: Tensor, kept: Tensor, factor: float) -> Tensor:
    # Bytes become floats, and floats are multiplied, many at a time; torch selects by booleans one by one.
    return (values * kept.view(torch.uint8).to(values.dtype)).mul_(factor)
