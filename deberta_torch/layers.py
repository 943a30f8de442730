"""Initialisation of the layers the models are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def initialize(module: nn.Module, deviation: float) -> None:
    """Draws the parameters a module owns itself: weights normal(0, `deviation`), biases 0, LayerNorm 1 and 0.

    Source:
        NUMERICS 2.
    """
    if isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
    elif isinstance(module, (nn.Linear, nn.Conv1d, nn.Embedding)):
        nn.init.normal_(module.weight, 0.0, deviation)
    if getattr(module, "bias", None) is not None and isinstance(module.bias, Tensor):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
