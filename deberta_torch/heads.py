"""The task heads (NUMERICS 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_torch.activations import ACTIVATION_FUNCTIONS


class ContextPooler(nn.Module):
    """Dropout, dense and activation over the context token, the first real one (NUMERICS decision 2)."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.dropout = nn.Dropout(config.pooler_dropout)
        self.activation = ACTIVATION_FUNCTIONS[config.pooler_hidden_act]

    def forward(self, hidden: Tensor, token_mask: Tensor) -> Tensor:
        """`[B, L, C]` and bool `[B, L]` to `[B, C]`; a row without a real token uses index 0."""
        first = token_mask.int().argmax(dim=1)
        context = hidden[torch.arange(hidden.shape[0], device=hidden.device), first]
        return self.activation(self.dense(self.dropout(context)))
