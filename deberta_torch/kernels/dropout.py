"""Dropout at a fraction of torch's price on CPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deberta_torch.kernels.eager import is_eager

_STEPS = 2**16  # of a probability: dropped are the places whose 16 random bits are below a threshold


class Dropout(nn.Dropout):
    """`nn.Dropout`, with another way to draw on CPUs.

    torch draws for every element, one after the other, which takes a tenth of a training step. Here 64 random bits of
    torch's generator serve four elements. The probability is rounded to a multiple of 2**-16, and what stays is scaled
    by the rounded one, so the expectation is exact. The same seed gives the same places, and gradient checkpointing
    restores them; they are other places than `nn.Dropout` would drop.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Drops, in training; `[...]` to the same."""
        if not self.training or not values.numel() or values.device.type != "cpu" or not is_eager(values):
            return super().forward(values)
        dropped = round(self.p * _STEPS)
        if dropped in (0, _STEPS) or self.inplace:
            return super().forward(values)
        count = values.numel()
        words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)  # all 64 bits
        kept = words.view(torch.int16)[:count].view(values.shape) >= dropped - _STEPS // 2
        # Autograd keeps the places alone, a byte each; the second product is done in place.
        return torch.where(kept, values, 0.0).mul_(_STEPS / (_STEPS - dropped))
