"""Disentangled attention as ONNX operators (NUMERICS 3), with one product for all position scores of a layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deberta_core.config import BaseConfig
from deberta_core.positions import position_index_table
from deberta_core.reference.arrays import Array, Scope, linear
from deberta_core.reference.attention import position_projections
from deberta_dual.exporting.nodes import Nodes


@dataclass(frozen=True, slots=True)
class Distances:
    """What all layers of one call share of the distances between its L tokens.

    The products of tokens with distances are, for each head, L rows of queries and L rows of keys, of 2L + 1 numbers:
    what token i gives to the other token j stands in column L - i + j. The same numbers lie in 2 (2L + 1) lines of L:
    those of the query i in line 2i + 1, those of the key i, which begin L (2L + 1) numbers later, in line
    2 (i + L + 1), both with j as their column. So a gather of whole lines reads them. ONNX Runtime does that in several
    threads, and a slice in one.

    Attributes:
        pairs: `[J, 2]`, the distinct pairs of rows of the relative table: of a distance, and of its opposite.
        index: the value `[2L + 1]`: which pair belongs to the distance L, L - 1, ..., -L.
        shape: the value `[4]`, the shape 0, -1, 2 (2L + 1), L.
        lines: of "c2p" and "p2c", the value `[L]`: the lines of its scores.
    """

    pairs: NDArray[np.int64]
    index: str
    shape: str
    lines: Mapping[str, str]


def distances(nodes: Nodes, config: BaseConfig, length: str) -> Distances | None:
    """The distances of a call of `length` tokens, the value `[1]`; None without position terms."""
    if not config.position_terms:
        return None
    table = position_index_table(config).astype(np.int64)
    reach = len(table) // 2
    pairs, of_distance = np.unique(np.stack([table, table[::-1]], axis=1), axis=0, return_inverse=True)
    one, two, minus = (nodes.constant(np.array(value, dtype=np.int64)) for value in (1, 2, -1))
    scalar = nodes.op("Squeeze", length)
    distance = nodes.op("Range", scalar, nodes.op("Sub", minus, scalar), minus)  # [2L + 1]
    limits = (nodes.constant(np.array(value, dtype=np.int64)) for value in (-reach, reach))
    place = nodes.op("Add", nodes.op("Clip", distance, *limits), nodes.constant(np.array(reach, dtype=np.int64)))
    index = nodes.op("Gather", nodes.constant(of_distance.reshape(-1).astype(np.int64)), place)
    twice = nodes.op("Mul", scalar, two)
    below = nodes.op("Add", twice, two)
    height = nodes.op("Add", twice, below)  # 2 (2L + 1)
    keep, rest = nodes.numbers(0, -1), nodes.op("Unsqueeze", height, nodes.numbers(0))
    return Distances(
        pairs=pairs,
        index=index,
        shape=nodes.op("Concat", keep, rest, length, axis=0),
        lines={"c2p": nodes.op("Range", one, twice, two), "p2c": nodes.op("Range", below, height, two)},
    )


def attention(
    nodes: Nodes,
    config: BaseConfig,
    scope: Scope,
    name: str,
    number: int,
    hidden: str,
    bias: str,
    table: Array | None,
    shared: Distances | None,
    query: str | None = None,
) -> str:
    """The context of one layer's tokens, `[B, L, H * D]`.

    Args:
        nodes: the graph.
        config: the model's configuration.
        scope: parameters below `attention.self`.
        name: of this scope, for the weights' names.
        number: of the layer.
        hidden: `[B, L, C]`, what keys and values are made of.
        bias: `[B, 1, 1, L]`, added to the scores.
        table: the relative table as the reference's `relative_table`.
        shared: the call's distances.
        query: `[B, L, C]`, what queries are made of; None is `hidden`.
    """
    heads, width = config.heads_in(number), config.head_size
    terms = config.position_terms
    scale = 1 / math.sqrt(width * (1 + len(config.pos_att_type)))
    (query_weight, query_bias), (key_weight, key_bias), own_value = _projections(config, scope, scale)
    value = _heads(nodes, nodes.linear(hidden, f"{name}.value", *own_value), heads, width)
    if query is None:
        weight, offset = _paired(query_weight, key_weight, heads), _paired(query_bias, key_bias, heads)
        tokens = _heads(nodes, nodes.linear(hidden, f"{name}.query_key", weight, offset), 2 * heads, width)
        both = nodes.split(nodes.reshape(tokens, 0, heads, 2, -1, width), 2, (1, 1))
    else:
        # Of the same weights as above: runtimes keep both, where a decoder reads the last layer.
        products = (
            nodes.linear(query, f"{name}.query", query_weight, query_bias),
            nodes.linear(hidden, f"{name}.key", key_weight, key_bias),
        )
        both = tuple(nodes.op("Unsqueeze", _heads(nodes, one, heads, width), nodes.numbers(2)) for one in products)
        tokens = nodes.reshape(nodes.op("Concat", *both, axis=2), 0, 2 * heads, -1, width)
    queries, keys = (nodes.op("Squeeze", one, nodes.numbers(2)) for one in both)  # [B, H, L, D]
    scores = nodes.op("MatMul", queries, nodes.transpose(keys, 0, 1, 3, 2))  # [B, H, L, L]
    if shared is not None and table is not None:
        rows = _position_rows(config, scope, table, shared.pairs, scale, heads)  # [2H, J, D]
        own = nodes.op("Gather", nodes.weight(f"{name}.positions", rows), shared.index, axis=1)  # [2H, 2L + 1, D]
        by_distance = nodes.op("MatMul", tokens, nodes.transpose(own, 0, 2, 1))  # [B, 2H, L, 2L + 1]
        lines = nodes.op("Reshape", by_distance, shared.shape)  # [B, H, 2 (2L + 1), L]
        read = {term: nodes.op("Gather", lines, shared.lines[term], axis=2) for term in terms}  # [B, H, L, L] each
        if "c2p" in read:
            scores = nodes.op("Add", scores, read["c2p"])
        if "p2c" in read:
            scores = nodes.op("Add", scores, nodes.transpose(read["p2c"], 0, 1, 3, 2))
    if config.mixes_heads:
        scores = _mix(nodes, scores, f"{name}.head_logits_proj", (scope / "head_logits_proj")["weight"])
    probabilities = nodes.op("Softmax", nodes.op("Add", scores, bias), axis=-1)
    if config.mixes_heads:
        weight = (scope / "head_weights_proj")["weight"]
        probabilities = _mix(nodes, probabilities, f"{name}.head_weights_proj", weight)
    context = nodes.op("MatMul", probabilities, value)
    return nodes.reshape(nodes.transpose(context, 0, 2, 1, 3), 0, 0, heads * width)


def _heads(nodes: Nodes, values: str, heads: int, width: int) -> str:
    """`[B, L, H * D] -> [B, H, L, D]`."""
    return nodes.transpose(nodes.reshape(values, 0, 0, heads, width), 0, 2, 1, 3)


def _paired(queries: Array, keys: Array, heads: int) -> Array:
    """`[H * D, ...]` of queries and of keys as `[2H * D, ...]`: head by head, first the queries', then the keys'."""
    both = np.stack([part.reshape(heads, -1, *part.shape[1:]) for part in (queries, keys)], axis=1)
    return both.reshape(-1, *queries.shape[1:])


def _projections(config: BaseConfig, scope: Scope, scale: float) -> list[tuple[Array, Array]]:
    """Weight `[H * D, C]` and bias of query (scaled), key and value."""
    if config.model_type == "deberta":
        width = scope["in_proj.weight"].shape[-1]
        by_head = scope["in_proj.weight"].reshape(-1, 3, config.head_size, width)
        parts = by_head.swapaxes(0, 1).reshape(3, -1, width)
        biases = np.stack([scope["q_bias"], np.zeros_like(scope["q_bias"]), scope["v_bias"]])
    else:
        modules = [scope / part for part in ("query_proj", "key_proj", "value_proj")]
        parts, biases = (np.stack([module[leaf] for module in modules]) for leaf in ("weight", "bias"))
    found = list(zip(parts, biases, strict=True))
    return [(found[0][0] * scale, found[0][1] * scale), *found[1:]]


def _position_rows(
    config: BaseConfig, scope: Scope, table: Array, pairs: NDArray[np.int64], scale: float, heads: int
) -> Array:
    """For every pair what queries (c2p) and keys (p2c) of each head meet, `[2H, J, D]`; zeros without that term."""
    factors = {"c2p": 1.0, "p2c": scale}  # queries are scaled already, keys are not
    by_token = []
    for number, (term, projection) in enumerate(zip(factors, position_projections(config), strict=True)):
        if term in config.position_terms:
            projected = linear(table, scope / projection)[pairs[:, number]]  # [J, H * D]
            by_token.append((projected * factors[term]).T)
        else:
            by_token.append(np.zeros((heads * config.head_size, len(pairs))))
    return _paired(by_token[0], by_token[1], heads).reshape(2 * heads, config.head_size, -1).swapaxes(1, 2)


def _mix(nodes: Nodes, values: str, name: str, weight: Array) -> str:
    """Talking heads: `out_g = sum_h W[g, h] in_h` of `[B, H, L, L]`."""
    last = nodes.op("MatMul", nodes.transpose(values, 0, 2, 3, 1), nodes.weight(f"{name}.weight", weight.T))
    return nodes.transpose(last, 0, 3, 1, 2)
