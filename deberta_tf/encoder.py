"""Layers and encoder (NUMERICS 4)."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from deberta_core.config import BaseConfig
from deberta_core.positions import position_index_table
from deberta_tf.activations import ACTIVATION_FUNCTIONS
from deberta_tf.attention import RelativePositions
from deberta_tf.checkpointing import recompute
from deberta_tf.layers import dense, dropout, embedding, keep_where, layer_norm, normal, take_tokens
from deberta_tf.masks import Masks
from deberta_tf.projections import make_self_attention

# The last hidden state, all hidden states, and all probabilities, None for what was not asked for; and the input of the
# last layer, which is the last hidden state where that layer was left out.
EncoderOutputs = tuple[Any, tuple[Any, ...] | None, tuple[Any, ...] | None, Any]


class ResidualOutput(keras.layers.Layer):
    """Dense, dropout, residual, LayerNorm: how both blocks of a layer end."""

    def __init__(self, config: BaseConfig, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.width = width
        self.dense = dense(config, config.hidden_size, "dense", self.dtype_policy)
        self.LayerNorm = layer_norm(config, self.dtype_policy)  # published name
        self.dropout = dropout(config.hidden_dropout_prob, self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.dense.build((None, None, self.width))
        self.LayerNorm.build((None, None, self.config.hidden_size))

    def call(self, hidden: Any, residual: Any) -> Any:
        """`[B, L, width]` and `[B, L, C]` to `[B, L, C]`."""
        return self.LayerNorm(self.dropout(self.dense(hidden)) + residual)


class Attention(keras.layers.Layer):
    """Self-attention and its output projection."""

    def __init__(self, config: BaseConfig, layer: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.self = make_self_attention(config, layer, name="self", dtype=self.dtype_policy)  # published name
        # `output` is a property of Keras layers: the attribute differs, the name does not.
        width = config.all_heads_size(layer)
        self.output_block = ResidualOutput(config, width, name="output", dtype=self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.self.build()
        self.output_block.build()

    def call(
        self, hidden: Any, masks: Masks, positions: RelativePositions | None, query: Any = None, rows: Any = None
    ) -> tuple[Any, Any]:
        """`[B, K, C]`, and `query [B, Q, C]`, to `[B, Q, C]` and the probabilities `[B, H, Q, K]`.

        Queries and residual are of `query`, which is `hidden` where it is None; keys and values are of `hidden`. With
        `rows` both `query` and what is returned are `[N, C]`, at these tokens of the flattened batch alone.
        """
        context, probabilities = self.self(hidden, masks, positions, query, rows)
        return self.output_block(context, hidden if query is None else query), probabilities


class Intermediate(keras.layers.Layer):
    """The wide half of the feed-forward block."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.dense = dense(config, config.intermediate_size, "dense", self.dtype_policy)
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.dense.build((None, None, self.config.hidden_size))

    def call(self, hidden: Any) -> Any:
        """`[B, L, C]` to `[B, L, F]`."""
        return self.activation(self.dense(hidden))


class Layer(keras.layers.Layer):
    """One transformer layer."""

    def __init__(self, config: BaseConfig, number: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attention = Attention(config, number, name="attention", dtype=self.dtype_policy)
        self.intermediate = Intermediate(config, name="intermediate", dtype=self.dtype_policy)
        self.output_block = ResidualOutput(config, config.intermediate_size, name="output", dtype=self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.attention.build()
        self.intermediate.build()
        self.output_block.build()

    def call(
        self,
        hidden: Any,
        masks: Masks,
        positions: RelativePositions | None,
        query: Any = None,
        rows: Any = None,
        forgets: bool = False,
        training: bool | None = None,
    ) -> tuple[Any, Any]:
        """`[B, K, C]`, and `query [B, Q, C]`, to `[B, Q, C]` and the probabilities `[B, H, Q, K]`.

        Queries and residual are of `query`, which is `hidden` where it is None; keys and values are of `hidden`. With
        `rows` both `query` and what is returned are `[N, C]`, at these tokens of the flattened batch alone. With
        `forgets` training keeps nothing else, and there are no probabilities.
        """
        if forgets and training:
            return recompute(self, hidden, masks, positions, query, rows), None
        attended, probabilities = self.attention(hidden, masks, positions, query, rows)
        return self.output_block(self.intermediate(attended), attended), probabilities


class Convolution(keras.layers.Layer):
    """The n-gram induced convolution of v2 xlarge and xxlarge: it replaces the output of the first layer."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.conv = keras.layers.Conv1D(
            config.hidden_size,
            config.convolution_kernel,
            padding="same",
            groups=config.convolution_groups,
            kernel_initializer=normal(config),
            name="conv",
            dtype=self.dtype_policy,
        )
        self.LayerNorm = layer_norm(config, self.dtype_policy)  # published name
        self.dropout = dropout(config.hidden_dropout_prob, self.dtype_policy)
        self.activation = ACTIVATION_FUNCTIONS[config.convolution_act]

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.conv.build((None, None, self.config.hidden_size))
        self.LayerNorm.build((None, None, self.config.hidden_size))

    def call(self, encoder_input: Any, first_output: Any, token_mask: Any) -> Any:
        """Convolves the encoder's input and adds it to layer 0's output; all `[B, L, C]`, mask bool `[B, L]`."""
        convolved = keep_where(token_mask, self.conv(encoder_input))
        convolved = self.activation(self.dropout(convolved))
        return keep_where(token_mask, self.LayerNorm(first_output + convolved))


class Encoder(keras.layers.Layer):
    """All layers, the relative table, and the convolution where configured.

    Attributes:
        checkpointing: whether training forgets what a layer computed inside and computes it again in the backward pass;
            the last layer apart.
    """

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        dtype = self.dtype_policy
        self.config = config
        self.checkpointing = False
        self.layer = [Layer(config, i, name=f"layer_{i}", dtype=dtype) for i in range(config.num_hidden_layers)]
        self.rel_embeddings = (
            embedding(config, config.table_rows, config.hidden_size, "rel_embeddings", dtype)
            if config.relative_attention
            else None
        )
        # Published name: the norm of the relative table.
        self.LayerNorm = layer_norm(config, dtype) if config.normalizes_table else None
        self.conv = Convolution(config, name="conv", dtype=dtype) if config.convolution_kernel else None
        self.position_index = position_index_table(config) if config.relative_attention else np.empty(0, np.int32)
        self.bucket_excess = _bucket_excess(self.position_index) if config.relative_attention else 0

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        for part in self.layer:
            part.build()
        if self.rel_embeddings is not None:
            self.rel_embeddings.build((None,))
        if self.LayerNorm is not None:
            self.LayerNorm.build((None, self.config.hidden_size))
        if self.conv is not None:
            self.conv.build()

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """For `summary`: `[B, L, C]`."""
        return (None, None, self.config.hidden_size)

    def call(
        self,
        hidden: Any,
        masks: Masks,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        skips_last: bool = False,
    ) -> EncoderOutputs:
        """Runs all layers; with `skips_last` the last one only where hidden states or probabilities are asked for.

        Returns:
            the last hidden state `[B, L, C]`; if asked for, the embedding output and every layer's output; if asked
            for, every layer's probabilities `[B, H, L, L]`; and the last layer's input `[B, L, C]`.
        """
        length = ops.shape(hidden)[1]
        positions = self.relative_positions(length, length)
        skips_last = skips_last and not output_hidden_states and not output_attentions
        hidden_states, attentions = [hidden], []
        encoder_input = last_input = hidden
        for number, layer in enumerate(self.layer):
            is_last = number + 1 == len(self.layer)
            if is_last:
                last_input = hidden
                if skips_last:
                    break
            # Probabilities that are asked for are kept in any case. And the backward pass begins with the last layer:
            # to forget what it computed would not lower the peak.
            forgets = self.checkpointing and not output_attentions and not is_last
            hidden, probabilities = layer(hidden, masks, positions, forgets=forgets)
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
            last_input,
        )

    def decode(self, hidden: Any, positions: Any, masks: Masks, rows: Any = None) -> Any:
        """The enhanced mask decoder (NUMERICS 7): the last layer twice, with queries of its own over the same keys.

        Args:
            hidden: `[B, L, C]`, the input of the last layer: keys and values of both passes.
            positions: `[B, L, C]` or `[1, L, C]`, rows of the table of absolute positions.
            masks: what may be seen.
            rows: `[N]` integers, the tokens of the flattened batch at which alone the result is wanted; None for all.

        Returns:
            `[B, L, C]`, or with `rows` `[N, C]`.

        Source:
            microsoft/DeBERTa `apps/models/masked_language_model.py`, `emd_context_layer`.
        """
        length = ops.shape(hidden)[1]
        table = self.relative_positions(length, length)
        query = hidden + positions
        query = query if rows is None else take_tokens(query, rows)
        query, _ = self.layer[-1](hidden, masks, table, query, rows, forgets=self.checkpointing)
        decoded, _ = self.layer[-1](hidden, masks, table, query, rows)
        return decoded

    def relative_positions(self, query_length: Any, key_length: Any) -> RelativePositions | None:
        """The rows of the relative table that these lengths reach, and their order; None without relative attention."""
        if self.rel_embeddings is None:
            return None
        span = self.config.table_rows // 2
        near = _smaller(_larger(query_length, key_length) + self.bucket_excess, span)
        first, end = span - near, _smaller(span + near + 1, 2 * span)
        table = self.rel_embeddings(ops.arange(first, end))
        if self.LayerNorm is not None:
            table = self.LayerNorm(table)
        reach = len(self.position_index) // 2
        ahead = ops.arange(-query_length, key_length + 1)  # key - query
        index = ops.convert_to_tensor(self.position_index)
        return RelativePositions(table, ops.take(index, ops.clip(-ahead, -reach, reach) + reach) - first)


def _bucket_excess(position_index: np.ndarray) -> int:
    """How much farther out a row can lie than its distance: 0 unless there are more buckets than distances."""
    reach, span = len(position_index) // 2, (int(position_index[-1]) + 1) // 2
    return int(np.max(np.abs(position_index - span) - np.abs(np.arange(-reach, reach + 1))).clip(0))


# Lengths are integers, but in TensorFlow's graphs tensors; integers stay such, since other backends need them.
def _smaller(one: Any, other: Any) -> Any:
    return min(one, other) if isinstance(one, int) and isinstance(other, int) else ops.minimum(one, other)


def _larger(one: Any, other: Any) -> Any:
    return max(one, other) if isinstance(one, int) and isinstance(other, int) else ops.maximum(one, other)
