"""Disentangled self-attention (NUMERICS 3): tokens attend by their content and by how far they are apart.

    score(i, j) = scale * ( Q_i . K_j  +  Q_i . PK[idx(i, j)]  +  K_j . PQ[idx(i, j)] )
                            content       content-to-position     position-to-content

Q, K and V are made of the tokens, PK and PQ of the relative table. Who owns these projections is the only difference
between the versions (`projections.py`); `DisentangledSelfAttention.call` is everything else, step by step.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from deberta_core.config import BaseConfig
from deberta_tf.layers import dropout, put_tokens, take_tokens
from deberta_tf.masks import Masks


class RelativePositions(NamedTuple):
    """The relative table and which of its rows a forward pass reads.

    Attributes:
        table: `[N, C]`, LayerNormed where configured: the rows that these lengths can reach.
        rows: `[Q + K + 1]` integers in [0, N): the row for key - query = -Q, ..., K. The outermost are never read; with
            them the products of `skew` reshape for every length, one token included.
    """

    table: Any
    rows: Any


class DisentangledSelfAttention(keras.layers.Layer):
    """Content, content-to-position and position-to-content attention over all heads.

    Subclasses own the projections and fill `content`, `position_key` and `position_query`; everything else is the same
    in every version of DeBERTa.

    Source:
        arXiv 2006.03654 equations 2-4, with the index of the position-to-content term as trained (NUMERICS 3).
    """

    def __init__(self, config: BaseConfig, layer: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.num_heads = config.heads_in(layer)
        self.head_size = config.head_size
        self.terms = config.position_terms
        # A Python float, folded into the factors before the products: half precision cannot overflow in the scores.
        self.scale = 1 / math.sqrt(config.head_size * (1 + len(config.pos_att_type)))
        # Talking heads, a mix of all heads' scores and probabilities: layers in versions that can have them.
        self.head_logits_proj = None
        self.head_weights_proj = None
        self.table_dropout = dropout(config.hidden_dropout_prob, self.dtype_policy, "table_dropout")
        self.dropout = dropout(config.attention_probs_dropout_prob, self.dtype_policy)

    def content(self, hidden: Any, query: Any = None) -> tuple[Any, Any, Any]:
        """Query, key and value of the tokens.

        Args:
            hidden: `[B, K, C]`, what keys and values are made of.
            query: `[B, Q, C]`, what queries are made of; None is `hidden`.

        Returns:
            `[B, Q, H * D]`, and two of `[B, K, H * D]`.
        """
        raise NotImplementedError

    def position_key(self, rows: Any) -> Any:
        """The key side of relative positions, for content-to-position; `[W, C]` to `[W, H * D]`."""
        raise NotImplementedError

    def position_query(self, rows: Any) -> Any:
        """The query side of relative positions, for position-to-content; `[W, C]` to `[W, H * D]`."""
        raise NotImplementedError

    def call(
        self, hidden: Any, masks: Masks, positions: RelativePositions | None, query: Any = None, rows: Any = None
    ) -> tuple[Any, Any]:
        """Attends.

        Args:
            hidden: `[B, K, C]`.
            masks: what may be seen.
            positions: the relative table and its rows; None without relative attention.
            query: `[B, Q, C]`, whose queries see the keys and values of `hidden`; None is `hidden`.
            rows: `[N]` integers: `query` and context are `[N, C]` and `[N, H * D]`, of these tokens of the flattened
                batch. Attention itself is computed for all: that costs a fraction of the products around it.

        Returns:
            the context `[B, Q, H * D]` and the probabilities `[B, H, Q, K]`.
        """
        content = self.content(hidden, query)
        if rows is not None:
            content = (put_tokens(content[0], rows, ops.shape(content[1])), *content[1:])
        queries, keys, values = (self._heads_first(part) for part in content)  # [H, B, Q or K, D]
        queries = queries * self.scale
        scores = ops.matmul(queries, ops.swapaxes(keys, -1, -2))  # [H, B, Q, K]: Q_i . K_j
        if positions is not None and self.terms:
            scores = scores + self.position_bias(queries, keys, positions)
        if self.head_logits_proj is not None:
            scores = mix_heads(scores, self.head_logits_proj)
        scores = ops.where(masks.keys, ops.cast(scores, "float32"), float(np.finfo(np.float32).min))
        probabilities = ops.cast(ops.softmax(scores, axis=-1), values.dtype)
        weights = self.dropout(probabilities)
        if self.head_weights_proj is not None:
            weights = probabilities = mix_heads(weights, self.head_weights_proj)
        # A query that sees no key has no context. The probabilities, K wide, are multiplied for the caller alone: a
        # graph leaves that out where nobody asks for them.
        sees = ops.cast(masks.queries, values.dtype)
        context = ops.matmul(weights, values) * sees  # [H, B, Q, D]
        _, batch, length, _ = ops.shape(queries)
        merged = ops.reshape(ops.transpose(context, (1, 2, 0, 3)), (batch, length, self.num_heads * self.head_size))
        if rows is not None:
            merged = take_tokens(merged, rows)
        return merged, ops.swapaxes(probabilities * sees, 0, 1)

    def position_bias(self, query: Any, key: Any, positions: RelativePositions) -> Any:
        """The position terms of the scores: `Q_i . PK[idx(i, j)] + K_j . PQ[idx(i, j)]`.

        The index of a row depends on i - j alone: queries and keys meet the rows, ordered by distance, once, and the
        products are read along their diagonals. Nothing is gathered per pair, nothing repeated over the batch. Rows
        are projected before they are ordered: far distances share rows.

        Args:
            query: `[H, B, Q, D]`, scaled.
            key: `[H, B, K, D]`.
            positions: the relative table and its rows.

        Returns:
            `[H, B, Q, K]`.
        """
        table = self.table_dropout(positions.table)  # [R, C]
        bias = None
        if "c2p" in self.terms:  # content-to-position
            pos_key = ops.take(self.position_key(table), positions.rows[1:], axis=0)  # [Q + K, H * D]
            bias = skew(position_products(query, self._heads_first(pos_key)), ops.shape(key)[2])
        if "p2c" in self.terms:  # position-to-content
            # From a key's side the order is the reverse: query - key = 1 - K, ..., Q.
            pos_query = ops.take(self.position_query(table) * self.scale, ops.flip(positions.rows)[1:], axis=0)
            by_key = skew(position_products(key, self._heads_first(pos_query)), ops.shape(query)[2])  # [H, B, K, Q]
            by_query = ops.swapaxes(by_key, -1, -2)
            bias = by_query if bias is None else bias + by_query
        return bias

    def _heads_first(self, values: Any) -> Any:
        """`[..., L, H * D] -> [H, ..., L, D]`: every head's matrices lie together, and no product transposes them."""
        shape = (*ops.shape(values)[:-1], self.num_heads, self.head_size)
        return ops.moveaxis(ops.reshape(values, shape), -2, 0)


def mix_heads(values: Any, projection: keras.layers.Layer) -> Any:
    """Mixes `[H, B, Q, K]` over the heads: `out_g = sum_h W[g, h] in_h`."""
    return ops.moveaxis(projection(ops.moveaxis(values, 0, -1)), -1, 0)


def position_products(values: Any, rows: Any) -> Any:
    """Products of tokens with rows of relative positions: one matrix product a head.

    Shape:
        values: `[H, B, M, D]`; rows: `[H, W, D]`; returns `[H, B, M, W]`.
    """
    heads, batch, length, width = ops.shape(values)
    products = ops.matmul(ops.reshape(values, (heads, batch * length, width)), ops.swapaxes(rows, -1, -2))
    return ops.reshape(products, (heads, batch, length, ops.shape(rows)[1]))


def skew(products: Any, length: Any) -> Any:
    """Reads products with rows of relative positions along their diagonals.

    Args:
        products: `[H, B, M, M + N]`; column w of row m belongs to the position n - m = w - (M - 1).
        length: N.

    Returns:
        `[H, B, M, N]`: element (m, n) is column n - m + M - 1. Two reshapes and two slices; nothing is gathered.
    """
    heads, batch, rows, columns = ops.shape(products)
    # ops.slice, not an index: the gradient of TensorFlow's slice is a pad, that of its strided slice runs on one core.
    flat = ops.reshape(products, (heads, batch, rows * columns))
    flat = ops.slice(flat, (0, 0, rows - 1), (heads, batch, rows * (columns - 1)))
    return ops.slice(ops.reshape(flat, (heads, batch, rows, columns - 1)), (0, 0, 0, 0), (heads, batch, rows, length))
