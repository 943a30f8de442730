"""Keras layers as the published models have them: names, initialisation, and the padding row of the word table."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from deberta_core.config import BaseConfig


class NormalExceptRow(keras.initializers.RandomNormal):
    """Normal numbers, and zeros in one row."""

    def __init__(self, stddev: float, row: int, seed: int | None = None) -> None:
        super().__init__(0.0, stddev, seed)
        self.row = row

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Draws an array of this shape, rows first."""
        values = super().__call__(shape, dtype)
        return ops.where(ops.arange(shape[0])[:, None] == self.row, ops.zeros_like(values), values)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {"stddev": self.stddev, "row": self.row, "seed": self._init_seed}


def normal(config: BaseConfig) -> keras.initializers.Initializer:
    """Normal numbers of deviation `initializer_range`; one shared instance would draw the same for every weight."""
    return keras.initializers.RandomNormal(0.0, config.initializer_range)


def dense(config: BaseConfig, width: int, name: str, dtype: Any, use_bias: bool = True) -> keras.layers.Dense:
    """A dense layer with the published initialisation."""
    return keras.layers.Dense(width, use_bias=use_bias, kernel_initializer=normal(config), name=name, dtype=dtype)


def embedding(config: BaseConfig, rows: int, width: int, name: str, dtype: Any) -> keras.layers.Embedding:
    """An embedding table with the published initialisation."""
    return keras.layers.Embedding(rows, width, embeddings_initializer=normal(config), name=name, dtype=dtype)


def layer_norm(config: BaseConfig, dtype: Any, name: str = "LayerNorm") -> keras.layers.LayerNormalization:
    """LayerNorm over the last axis: biased variance, `layer_norm_eps` inside the root."""
    return keras.layers.LayerNormalization(epsilon=config.layer_norm_eps, name=name, dtype=dtype)


def dropout(rate: float, dtype: Any, name: str = "dropout") -> keras.layers.Dropout:
    """Dropout; `training` reaches it through Keras' call context."""
    return keras.layers.Dropout(rate, name=name, dtype=dtype)


def keep_where(mask: Any, values: Any) -> Any:
    """Zeroes `values [B, L, C]` where bool `mask [B, L]` is false."""
    return ops.where(ops.expand_dims(mask, -1), values, ops.zeros_like(values))


def take_tokens(values: Any, rows: Any) -> Any:
    """Of `values [B, L, ...]` the tokens `rows [N]`, integers in [0, B * L), as `[N, ...]`."""
    return ops.take(ops.reshape(values, (-1, *ops.shape(values)[2:])), rows, axis=0)


def put_tokens(values: Any, rows: Any, shape: Any) -> Any:
    """Values `[B, L, C]`, of that shape, with `values [N, C]` at the tokens `rows [N]`, and zeros elsewhere."""
    batch, length, width = shape
    return ops.reshape(ops.scatter(rows[:, None], values, (batch * length, width)), shape)
