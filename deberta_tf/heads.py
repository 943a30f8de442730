"""The task heads (NUMERICS 6)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from deberta_core.config import BaseConfig
from deberta_tf.activations import ACTIVATION_FUNCTIONS
from deberta_tf.layers import dense, dropout


class ContextPooler(keras.layers.Layer):
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

    def call(self, hidden: Any, token_mask: Any) -> Any:
        """`[B, L, C]` and bool `[B, L]` to `[B, C]`; a row without a real token uses index 0."""
        first = ops.argmax(ops.cast(token_mask, "int32"), axis=1)
        context = ops.squeeze(ops.take_along_axis(hidden, first[:, None, None], axis=1), axis=1)
        return self.activation(self.dense(self.dropout(context)))
