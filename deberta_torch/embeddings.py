"""The embedding layer (NUMERICS 2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_torch.kernels.dropout import Dropout
from deberta_torch.kernels.linear import Linear


class Embeddings(nn.Module):
    """Word, position and token type embeddings, projection, LayerNorm, mask, dropout.

    Args:
        config: the configuration.
        with_positions: whether there is a table of absolute positions though the input does not have them added.
    """

    def __init__(self, config: BaseConfig, with_positions: bool = False) -> None:
        super().__init__()
        width = config.embedding_width
        self.word_embeddings = nn.Embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = (
            nn.Embedding(config.max_position_embeddings, width)
            if config.position_biased_input or with_positions
            else None
        )
        self.adds_positions = config.position_biased_input
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, width) if config.type_vocab_size else None
        self.embed_proj = Linear(width, config.hidden_size, bias=False) if width != config.hidden_size else None
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)  # published name
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        token_mask: Tensor | None,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        """Embeds a batch.

        Shape:
            token_mask: `[B, L]` bool, None for no padding; input_ids, token_type_ids: `[B, L]` integers;
            position_ids: `[B, L]` or `[1, L]`; inputs_embeds: `[B, L, E]`, instead of input_ids; returns `[B, L, C]`.
        """
        scale: Tensor | float = 1.0
        if inputs_embeds is None:
            assert input_ids is not None
            hidden = _look_up(self.word_embeddings, input_ids)  # [B, L, E]
        else:
            hidden = inputs_embeds.to(self.word_embeddings.weight.dtype)
            scale = _scale(hidden)
            hidden = hidden * scale
        if self.adds_positions:
            hidden = hidden + self.position_rows(position_ids, hidden.shape[1]) * scale
        if self.token_type_embeddings is not None:
            if token_type_ids is None:
                token_type_ids = torch.zeros(hidden.shape[:2], dtype=torch.long, device=hidden.device)
            hidden = hidden + _look_up(self.token_type_embeddings, token_type_ids) * scale
        if self.embed_proj is not None:
            hidden = self.embed_proj(hidden)  # [B, L, C]
        hidden = self.LayerNorm(hidden)
        return self.dropout(hidden if token_mask is None else hidden.masked_fill(~token_mask[:, :, None], 0.0))

    def position_rows(self, position_ids: Tensor | None, length: int) -> Tensor:
        """The rows of absolute positions, by default of 0, ..., L - 1; `[B, L]` or `[1, L]` to `[B or 1, L, E]`."""
        assert self.position_embeddings is not None
        if position_ids is None:
            position_ids = torch.arange(length, device=self.position_embeddings.weight.device)[None]
        return _look_up(self.position_embeddings, position_ids)


def _look_up(table: nn.Embedding, rows: Tensor) -> Tensor:
    """The rows of a table, by numbers of any integer type; torch takes two of them."""
    return table(rows if rows.dtype in (torch.int32, torch.int64) else rows.long())


def _scale(values: Tensor) -> Tensor:
    """What to multiply embeddings with, so that their squares, in LayerNorm, are finite: 1 but for huge ones.

    LayerNorm takes the factor out again. `[B, L, E]` to `[B, L, 1]`.
    """
    largest = values.detach().abs().amax(dim=-1, keepdim=True)
    return torch.where(largest > 2.0**60, 2.0**20 / largest, 1.0).to(values.dtype)
