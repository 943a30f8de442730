"""The task heads (NUMERICS 6)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from deberta_core.config import BaseConfig
from deberta_tf.activations import ACTIVATION_FUNCTIONS
from deberta_tf.layers import dense, dropout, layer_norm


class ContextPooler(keras.layers.Layer):  # D7
    """Dropout, dense and activation over the context token, the first real one (NUMERICS decision 2)."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.dense = dense(config, config.hidden_size, "dense", self.dtype_policy)
        self.dropout = dropout(config.pooler_dropout, self.dtype_policy)
        self.activation = ACTIVATION_FUNCTIONS[config.pooler_hidden_act]

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.dense.build((None, self.config.hidden_size))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """For `summary`: `[B, C]`."""
        return (None, self.config.hidden_size)

    def call(self, hidden: Any, token_mask: Any) -> Any:
        """`[B, L, C]` and bool `[B, L]` to `[B, C]`; a row without a real token uses index 0."""
        first = ops.argmax(ops.cast(token_mask, "int32"), axis=1)
        context = ops.squeeze(ops.take_along_axis(hidden, first[:, None, None], axis=1), axis=1)
        return self.activation(self.dense(self.dropout(context)))


class ReplacedTokenHead(keras.layers.Layer):
    """The head `mask_predictions` of v3's discriminators: each token together with its context token (NUMERICS 8)."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.dense = dense(config, config.hidden_size, "dense", self.dtype_policy)
        self.LayerNorm = layer_norm(config, self.dtype_policy)  # published name
        self.classifier = dense(config, 1, "classifier", self.dtype_policy)
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        for part in (self.dense, self.LayerNorm, self.classifier):
            part.build((None, None, self.config.hidden_size))

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """For `summary`: `[B, L]`."""
        return (None, None)

    def call(self, hidden: Any, keys: Any) -> Any:
        """`[B, L, C]`, and which keys each query sees, bool `[1, B, 1 or L, L]`, to scores `[B, L]`.

        The context token is the first that a token may see: that of its own text, where a row holds several.
        """
        first = ops.argmax(ops.cast(keys[0], "int32"), axis=-1)  # [B, 1 or L]
        context = ops.take_along_axis(hidden, first[..., None], axis=1)
        return ops.squeeze(self.classifier(self.activation(self.dense(self.LayerNorm(hidden + context)))), axis=-1)


class LanguageModelTransform(keras.layers.Layer):
    """Dense C -> E, activation, LayerNorm: what a token's hidden state goes through before the decoder."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.dense = dense(config, config.embedding_width, "dense", self.dtype_policy)
        self.LayerNorm = layer_norm(config, self.dtype_policy)  # published name
        self.activation = ACTIVATION_FUNCTIONS[config.hidden_act]

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.dense.build((None, None, self.config.hidden_size))
        self.LayerNorm.build((None, None, self.config.embedding_width))

    def call(self, hidden: Any) -> Any:
        """`[B, L, C]` to `[B, L, E]`."""
        return self.LayerNorm(self.activation(self.dense(hidden)))


class LegacyPredictions(keras.layers.Layer):
    """The masked-LM head `cls.predictions`, of checkpoints made with transformers."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.transform = LanguageModelTransform(config, name="transform", dtype=self.dtype_policy)

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.bias = self.add_weight(shape=(self.config.vocab_size,), initializer="zeros", name="bias")
        self.transform.build()

    def call(self, hidden: Any, words: Any) -> Any:
        """`[B, L, C]`, and the word embeddings `[V, E]`, the tied decoder, to `[B, L, V]`."""
        return ops.matmul(self.transform(hidden), ops.transpose(words)) + self.bias


class LanguageModelHead(LanguageModelTransform):
    """The masked-LM head `lm_predictions.lm_head`, of the published pretraining checkpoints."""

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        super().build()
        self.bias = self.add_weight(shape=(self.config.vocab_size,), initializer="zeros", name="bias")

    def call(self, hidden: Any, words: Any) -> Any:
        """`[B, L, C]`, and the word embeddings `[V, E]`, the tied decoder, to `[B, L, V]`."""
        return ops.matmul(super().call(hidden), ops.transpose(words)) + self.bias


class Scope(keras.layers.Layer):
    """A layer around one other, for its name: Keras takes variable paths from the names of layers."""

    def __init__(self, inner: keras.layers.Layer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = inner

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.inner.build()

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """For `summary`: `[B, L, V]`."""
        return (None, None, self.inner.config.vocab_size)

    def call(self, *args: Any) -> Any:
        """What the inner layer returns: `[B, L, C]` and `[V, E]` to `[B, L, V]`."""
        return self.inner(*args)
