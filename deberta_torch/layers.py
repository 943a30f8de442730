"""Initialisation of the layers the models are made of."""

from __future__ import annotations

import torch
from torch import nn


def initialize(module: nn.Module, deviation: float) -> None:
    """Draws the parameters a module owns itself: weights normal(0, `deviation`), biases 0, LayerNorm 1 and 0.

    Source:
        NUMERICS 2.
    """
    if isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
    elif isinstance(module, (nn.Linear, nn.Conv1d, nn.Embedding)):
        nn.init.normal_(module.weight, 0.0, deviation)
    for name, parameter in module.named_parameters(recurse=False):
        if name.endswith("bias"):  # also `q_bias` and `v_bias` of v1's attention
            nn.init.zeros_(parameter)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
