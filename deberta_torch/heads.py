"""The task heads (NUMERICS 6)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_torch.activations import ACTIVATION_FUNCTIONS
from deberta_torch.kernels.dropout import Dropout
from deberta_torch.kernels.linear import Linear, linear


class ContextPooler(nn.Module):  # D7
    """Dropout, dense and activation over the context token, the first real one (NUMERICS decision 2)."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.dropout = Dropout(config.pooler_dropout)
        self.activation = ACTIVATION_FUNCTIONS[config.pooler_hidden_act]

    def forward(self, hidden: Tensor, token_mask: Tensor) -> Tensor:
        """`[B, L, C]` and bool `[B, L]` to `[B, C]`; a row without a real token uses index 0."""
        first = token_mask.int().argmax(dim=1)
        context = hidden[torch.arange(hidden.shape[0], device=hidden.device), first]
        return self.activation(self.dense(self.dropout(context)))


class ReplacedTokenHead(nn.Module):
    """The head `mask_predictions` of v3's discriminators: each token together with its context token (NUMERICS 8)."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)  # published name
        self.classifier = Linear(config.hidden_size, 1)
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]

    def forward(self, hidden: Tensor, keys: Tensor) -> Tensor:
        """`[B, L, C]`, and which keys each query sees, bool `[B, 1, 1 or L, L]`, to scores `[B, L]`.

        The context token is the first that a token may see: that of its own text, where a row holds several.
        """
        first = keys[:, 0].int().argmax(dim=-1)  # [B, 1 or L]
        context = hidden[torch.arange(hidden.shape[0], device=hidden.device)[:, None], first]
        return self.classifier(self.activation(self.dense(self.LayerNorm(hidden + context))))[..., 0]


class LanguageModelTransform(nn.Module):
    """Dense C -> E, activation, LayerNorm: what a token's hidden state goes through before the decoder."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.embedding_width)
        self.LayerNorm = nn.LayerNorm(config.embedding_width, config.layer_norm_eps)  # published name
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]

    def forward(self, hidden: Tensor) -> Tensor:
        """`[..., C]` to `[..., E]`."""
        return self.LayerNorm(self.activation(self.dense(hidden)))


class LegacyPredictions(nn.Module):
    """The masked-LM head `cls.predictions`, of checkpoints made with transformers."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.transform = LanguageModelTransform(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, words: Tensor) -> Tensor:
        """`[..., C]`, and the word embeddings `[V, E]`, the tied decoder, to `[..., V]`."""
        return linear(self.transform(hidden), words, self.bias)


class LanguageModelHead(LanguageModelTransform):
    """The masked-LM head `lm_predictions.lm_head`, of the published pretraining checkpoints."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(self, hidden: Tensor, words: Tensor) -> Tensor:
        """`[..., C]`, and the word embeddings `[V, E]`, the tied decoder, to `[..., V]`."""
        return linear(super().forward(hidden), words, self.bias)
