"""Disentangled attention (NUMERICS 3): content, content-to-position and position-to-content scores."""

from __future__ import annotations

import math

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.reference.arrays import Array, Scope, layer_norm, linear, softmax


def score_components(
    query: Array, key: Array, pos_key: Array | None, pos_query: Array | None, index: Array, scale: float
) -> dict[str, Array]:
    """The scaled terms of the attention scores, apart.

    Args:
        query: `[B, H, Q, D]`.
        key: `[B, H, K, D]`.
        pos_key: `[H, R, D]`, the projected relative table for content-to-position; None leaves the term out.
        pos_query: `[H, R, D]`, for position-to-content; None leaves the term out.
        index: `[Q, K]`, the table row of every query and key.
        scale: `1 / sqrt(D * n)`, with n the number of terms configured.

    Returns:
        "content", and "c2p", "p2c" where configured, each `[B, H, Q, K]`:
        `scale * Q_i . K_j`, `scale * Q_i . PK[idx(i, j)]`, `scale * K_j . PQ[idx(i, j)]`.

    Source:
        arXiv 2006.03654, equations 2-4. Differs from equation 4, which writes delta(j, i) in the last term: every
        published checkpoint was trained with delta(i, j), the same index in both position terms.
    """
    scaled = query * query.dtype.type(scale)
    rows, columns = np.arange(index.shape[0])[:, None], np.arange(index.shape[1])[None, :]
    components = {"content": scaled @ key.swapaxes(-1, -2)}
    if pos_key is not None:
        by_row = scaled @ pos_key.swapaxes(-1, -2)  # [B, H, Q, R]
        components["c2p"] = by_row[:, :, rows, index]
    if pos_query is not None:
        by_row = key @ (pos_query * query.dtype.type(scale)).swapaxes(-1, -2)  # [B, H, K, R]
        components["p2c"] = by_row[:, :, columns, index]
    return components


def disentangled_scores(
    query: Array, key: Array, pos_key: Array | None, pos_query: Array | None, index: Array, scale: float
) -> Array:
    """The sum of `score_components`, the scores before masking; `[B, H, Q, K]`."""
    components = score_components(query, key, pos_key, pos_query, index, scale)
    total: Array = np.sum(list(components.values()), axis=0)
    return total


def attention(
    config: BaseConfig,
    scope: Scope,
    hidden: Array,
    allowed: Array,
    table: Array | None,
    index: Array,
    query: Array | None = None,
) -> tuple[Array, Array, dict[str, Array]]:
    """One attention block: self-attention, output projection, residual and LayerNorm.

    Args:
        config: the model's configuration.
        scope: parameters below `attention`.
        hidden: `[B, K, C]`, what keys and values are made of.
        allowed: bool, broadcast to `[B, 1, Q, K]`: which keys each query sees.
        table: `[R, C]`, the relative table as `relative_table` gives it; None without relative attention.
        index: `[Q, K]`, the table row of every query and key.
        query: `[B, Q, C]`, what queries and residual are of; None is `hidden`.

    Returns:
        the output `[B, Q, C]`, the probabilities `[B, H, Q, K]`, and the score components.
    """
    own = scope / "self"
    residual = hidden if query is None else query
    parts = content(config, own, hidden, query)
    queries, keys, values = (_split_heads(part, config) for part in parts)  # [B, H, Q or K, D]
    pos_key, pos_query = (
        _split_heads(linear(table, own / projection), config)
        if table is not None and term in config.position_terms
        else None
        for term, projection in zip(("c2p", "p2c"), position_projections(config), strict=True)
    )  # [H, R, D]
    scale = 1 / math.sqrt(config.head_size * (1 + len(config.pos_att_type)))
    components = score_components(queries, keys, pos_key, pos_query, index, scale)
    scores = np.sum(list(components.values()), axis=0)
    if config.mixes_heads:
        scores = mix_heads(scores, own / "head_logits_proj")
    probabilities = softmax(scores, allowed)
    if config.mixes_heads:  # what is reported, too, is what multiplies the values
        probabilities = mix_heads(probabilities, own / "head_weights_proj")
    context = _merge_heads(probabilities @ values)  # [B, Q, H * D]
    output = linear(context, scope / "output" / "dense") + residual
    return layer_norm(output, scope / "output" / "LayerNorm", config.layer_norm_eps), probabilities, components


def content(config: BaseConfig, scope: Scope, hidden: Array, query: Array | None = None) -> tuple[Array, Array, Array]:
    """Query, key and value of the tokens.

    v1 has one `in_proj` without bias, its rows laid out per head as [q, k, v] of D rows each, and a bias for query and
    value; v2 and v3 have three projections with bias.

    Args:
        config: the model's configuration.
        scope: parameters below `attention.self`.
        hidden: `[B, K, C]`, what keys and values are made of.
        query: `[B, Q, C]`, what queries are made of; None is `hidden`.

    Returns:
        `[B, Q, H * D]`, and two of `[B, K, H * D]`.
    """
    sources = (hidden if query is None else query, hidden, hidden)
    if config.model_type != "deberta":
        names = ("query_proj", "key_proj", "value_proj")
        q, k, v = (linear(source, scope / name) for source, name in zip(sources, names, strict=True))
        return q, k, v
    weight = scope["in_proj.weight"].reshape(-1, 3, config.head_size, hidden.shape[-1])  # [H, 3, D, C]
    by_part = weight.swapaxes(0, 1).reshape(3, -1, hidden.shape[-1])  # [3, H * D, C]
    q, k, v = (source @ part.T for source, part in zip(sources, by_part, strict=True))
    return q + scope["q_bias"], k, v + scope["v_bias"]


def mix_heads(values: Array, scope: Scope) -> Array:
    """Talking heads: `out_g = sum_h W[g, h] in_h`; `[B, H, Q, K]` to the same."""
    mixed: Array = np.einsum("gh,bhqk->bgqk", scope["weight"], values)
    return mixed


def position_projections(config: BaseConfig) -> tuple[str, str]:
    """The projections of the relative table for c2p and p2c."""
    if config.model_type == "deberta":
        return "pos_proj", "pos_q_proj"
    return ("key_proj", "query_proj") if config.shares_position_projections else ("pos_key_proj", "pos_query_proj")


def _split_heads(values: Array, config: BaseConfig) -> Array:
    """`[..., L, H * D] -> [..., H, L, D]`."""
    heads = values.reshape(*values.shape[:-1], values.shape[-1] // config.head_size, config.head_size)
    return heads.swapaxes(-2, -3)


def _merge_heads(values: Array) -> Array:
    """`[B, H, L, D] -> [B, L, H * D]`."""
    batch, heads, length, width = values.shape
    return values.swapaxes(1, 2).reshape(batch, length, heads * width)
