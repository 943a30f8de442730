"""Which numbers a kernel's dropout drops: known from a seed, so that no pass has to keep them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Dropping(NamedTuple):
    """Dropout of one step.

    Attributes:
        probability: with which a number is dropped; 0 to 1.
        seed: int64 `[1]`; None where nothing is dropped.
        step: which of a layer's steps, which share a seed.
    """

    probability: float = 0.0
    seed: Tensor | None = None
    step: int = 0

    @property
    def threshold(self) -> int:
        """Of 32 random bits: below, a number is dropped."""
        return min(round(self.probability * 2**32), 2**32 - 1)

    @property
    def rescale(self) -> float:
        """What the numbers that stay are multiplied with."""
        return 1 / (1 - self.probability) if self.probability < 1 else 0.0


NOTHING = Dropping()


def draw_seed(device: torch.device) -> Tensor:
    """Of a call's dropout, by torch's generator of the device, which is not waited for."""
    return torch.randint(-(2**62), 2**62, (1,), dtype=torch.int64, device=device)
