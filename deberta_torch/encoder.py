"""Layers and encoder (NUMERICS 4)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from deberta_core.config import BaseConfig
from deberta_core.positions import position_index_table
from deberta_torch.activations import ACTIVATION_FUNCTIONS
from deberta_torch.attention import RelativePositions
from deberta_torch.masks import Masks
from deberta_torch.projections import make_self_attention


class ResidualOutput(nn.Module):
    """Dense, dropout, residual, LayerNorm: how both blocks of a layer end."""

    def __init__(self, config: BaseConfig, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)  # published name
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """`[B, L, width]` and `[B, L, C]` to `[B, L, C]`."""
        return self.LayerNorm(self.dropout(self.dense(hidden)) + residual)


class Attention(nn.Module):
    """Self-attention and its output projection."""

    def __init__(self, config: BaseConfig, layer: int) -> None:
        super().__init__()
        self.self = make_self_attention(config, layer)  # published name
        self.output = ResidualOutput(config, config.all_heads_size(layer))

    def forward(self, hidden: Tensor, masks: Masks, positions: RelativePositions | None) -> tuple[Tensor, Tensor]:
        """`[B, L, C]` to the same and the probabilities `[B, H, L, L]`."""
        context, probabilities = self.self(hidden, masks, positions)
        return self.output(context, hidden), probabilities


class Intermediate(nn.Module):
    """The wide half of the feed-forward block."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]

    def forward(self, hidden: Tensor) -> Tensor:
        """`[B, L, C]` to `[B, L, F]`."""
        return self.activation(self.dense(hidden))


class Layer(nn.Module):
    """One transformer layer."""

    def __init__(self, config: BaseConfig, number: int) -> None:
        super().__init__()
        self.attention = Attention(config, number)
        self.intermediate = Intermediate(config)
        self.output = ResidualOutput(config, config.intermediate_size)

    def forward(self, hidden: Tensor, masks: Masks, positions: RelativePositions | None) -> tuple[Tensor, Tensor]:
        """`[B, L, C]` to the same and the probabilities `[B, H, L, L]`."""
        attended, probabilities = self.attention(hidden, masks, positions)
        return self.output(self.intermediate(attended), attended), probabilities


class Convolution(nn.Module):
    """The n-gram induced convolution of v2 xlarge and xxlarge: it replaces the output of the first layer."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        width, kernel = config.hidden_size, config.convolution_kernel
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=config.convolution_groups)
        self.LayerNorm = nn.LayerNorm(width, config.layer_norm_eps)  # published name
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.activation = ACTIVATION_FUNCTIONS[config.convolution_act]

    def forward(self, encoder_input: Tensor, first_output: Tensor, token_mask: Tensor) -> Tensor:
        """Convolves the encoder's input and adds it to layer 0's output; all `[B, L, C]`, mask bool `[B, L]`."""
        padding = ~token_mask[:, :, None]
        convolved = self.conv(encoder_input.transpose(1, 2)).transpose(1, 2).masked_fill(padding, 0.0)
        convolved = self.activation(self.dropout(convolved))
        return self.LayerNorm(first_output + convolved).masked_fill(padding, 0.0)


class Encoder(nn.Module):
    """All layers, the relative table, and the convolution where configured.

    Attributes:
        checkpointing: None; or the arguments of `torch.utils.checkpoint.checkpoint`, with which training forgets what
            a layer computed inside and computes it again in the backward pass.
    """

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config, number) for number in range(config.num_hidden_layers))
        self.rel_embeddings = nn.Embedding(config.table_rows, config.hidden_size) if config.relative_attention else None
        self.LayerNorm = (  # published name: the norm of the relative table
            nn.LayerNorm(config.hidden_size, config.layer_norm_eps) if config.normalizes_table else None
        )
        self.conv = Convolution(config) if config.convolution_kernel else None
        self.config = config
        self.checkpointing: dict[str, Any] | None = None
        self.register_buffer("position_index", self._position_index(), persistent=False)

    def forward(
        self, hidden: Tensor, masks: Masks, output_hidden_states: bool = False, output_attentions: bool = False
    ) -> tuple[Tensor, tuple[Tensor, ...] | None, tuple[Tensor, ...] | None]:
        """Runs all layers.

        Returns:
            the last hidden state `[B, L, C]`; if asked for, the embedding output and every layer's output; if asked
            for, every layer's probabilities `[B, H, L, L]`.
        """
        positions = self.relative_positions(hidden.shape[1], hidden.shape[1])
        hidden_states, attentions = [hidden], []
        encoder_input = hidden
        for number, layer in enumerate(self.layer):
            if self.checkpointing is not None and self.training and torch.is_grad_enabled():
                hidden, probabilities = checkpoint(layer, hidden, masks, positions, **self.checkpointing)
            else:
                hidden, probabilities = layer(hidden, masks, positions)
            if number == 0 and self.conv is not None:
                hidden = self.conv(encoder_input, hidden, masks.tokens)
            if output_hidden_states:
                hidden_states.append(hidden)
            if output_attentions:
                attentions.append(probabilities)
        return (
            hidden,
            tuple(hidden_states) if output_hidden_states else None,
            tuple(attentions) if output_attentions else None,
        )

    def relative_positions(self, query_length: int, key_length: int) -> RelativePositions | None:
        """The relative table and its rows for these lengths; None without relative attention."""
        if self.rel_embeddings is None:
            return None
        table = self.rel_embeddings(torch.arange(self.config.table_rows, device=self.position_index.device))
        if self.LayerNorm is not None:
            table = self.LayerNorm(table)
        reach = len(self.position_index) // 2
        ahead = torch.arange(-query_length, key_length + 1, device=self.position_index.device)  # key - query
        return RelativePositions(table, self.position_index[(-ahead).clamp(-reach, reach) + reach])

    def reset_buffers(self) -> None:
        """Fills the constant buffers again, after `to_empty`."""
        self.position_index.copy_(self._position_index())

    def _position_index(self) -> Tensor:
        table = position_index_table(self.config) if self.config.relative_attention else []
        return torch.tensor(table, dtype=torch.long)
