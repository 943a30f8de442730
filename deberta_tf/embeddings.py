"""The embedding layer (NUMERICS 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from deberta_core.config import BaseConfig
from deberta_tf.layers import NormalExceptRow, dense, dropout, embedding, keep_where, layer_norm


class Embeddings(keras.layers.Layer):
    """Word, position and token type embeddings, projection, LayerNorm, mask, dropout.

    Args:
        config: the model's configuration.
        with_positions: whether there is a position table although no positions are added: the enhanced decoder's.

    Attributes:
        before_norm: in training, what LayerNorm reads instead of the sum `[B, L, C]`, made of it; None: the sum.
        look_up: None; or what gives rows of another table than the layer's own: the table's name and ids to rows. In
            pretraining a discriminator's tables are also the generator's.
    """

    before_norm: Callable[[Any], Any] | None = None
    look_up: Callable[[str, Any], Any] | None = None

    def __init__(self, config: BaseConfig, with_positions: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width, dtype = config.embedding_width, self.dtype_policy
        self.config = config
        self.word_embeddings = embedding(config, config.vocab_size, width, "word_embeddings", dtype)
        self.word_embeddings.embeddings_initializer = NormalExceptRow(config.initializer_range, config.pad_token_id)
        self.position_embeddings = (
            embedding(config, config.max_position_embeddings, width, "position_embeddings", dtype)
            if config.position_biased_input or with_positions
            else None
        )
        self.token_type_embeddings = (
            embedding(config, config.type_vocab_size, width, "token_type_embeddings", dtype)
            if config.type_vocab_size
            else None
        )
        self.embed_proj = (
            dense(config, config.hidden_size, "embed_proj", dtype, use_bias=False)
            if width != config.hidden_size
            else None
        )
        self.LayerNorm = layer_norm(config, dtype)  # published name
        self.dropout = dropout(config.hidden_dropout_prob, dtype)

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        for table in (self.word_embeddings, self.position_embeddings, self.token_type_embeddings):
            if table is not None:
                table.build((None, None))
        if self.embed_proj is not None:
            self.embed_proj.build((None, None, self.config.embedding_width))
        self.LayerNorm.build((None, None, self.config.hidden_size))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """For `summary`: `[B, L, C]`."""
        return (None, None, self.config.hidden_size)

    def call(
        self,
        token_mask: Any,
        input_ids: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        training: bool | None = None,
    ) -> Any:
        """Embeds a batch.

        Shape:
            token_mask: `[B, L]` bool; input_ids, token_type_ids: `[B, L]` integers; position_ids: `[B, L]` or
            `[1, L]`; inputs_embeds: `[B, L, E]`, instead of input_ids; returns `[B, L, C]`.
        """
        scale = 1.0
        if inputs_embeds is None:
            hidden = self._rows("word_embeddings", input_ids)  # [B, L, E]
            # The padding row gets no gradient from the lookup.
            is_padding = ops.equal(ops.cast(input_ids, "int32"), self.config.pad_token_id)
            hidden = ops.where(ops.expand_dims(is_padding, -1), ops.stop_gradient(hidden), hidden)
        else:
            hidden = ops.cast(inputs_embeds, self.compute_dtype)
            scale = _scale(hidden)
            hidden = hidden * scale
        if self.config.position_biased_input:
            hidden = hidden + self.position_rows(position_ids, ops.shape(hidden)[1]) * scale
        if self.token_type_embeddings is not None:
            if token_type_ids is None:
                token_type_ids = ops.zeros(ops.shape(hidden)[:2], dtype="int32")
            hidden = hidden + self.token_type_embeddings(token_type_ids) * scale
        if self.embed_proj is not None:
            hidden = self.embed_proj(hidden)  # [B, L, C]
        if self.before_norm is not None and training:
            hidden = self.before_norm(hidden)
        return self.dropout(keep_where(token_mask, self.LayerNorm(hidden)))

    def position_rows(self, position_ids: Any, length: Any) -> Any:
        """The rows of absolute positions, by default of 0, ..., L - 1; `[B, L]` or `[1, L]` to `[B or 1, L, E]`."""
        return self._rows("position_embeddings", ops.arange(length)[None] if position_ids is None else position_ids)

    def _rows(self, table: str, ids: Any) -> Any:
        return getattr(self, table)(ids) if self.look_up is None else self.look_up(table, ids)


def _scale(values: Any) -> Any:
    """What to multiply embeddings with, so that their squares, in LayerNorm, are finite: 1 but for huge ones.

    LayerNorm takes the factor out again. `[B, L, E]` to `[B, L, 1]`.
    """
    largest = ops.cast(ops.stop_gradient(ops.max(ops.abs(values), axis=-1, keepdims=True)), "float32")
    return ops.cast(ops.where(largest > 2.0**60, 2.0**20 / largest, 1.0), values.dtype)
