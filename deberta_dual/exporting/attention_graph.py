"""Disentangled attention as ONNX operators (NUMERICS 3), with one product for all position scores of a layer."""

from __future__ import annotations

import math
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

    Attributes:
        pairs: `[J, 2]`, the distinct pairs of rows of the relative table: of a distance, and of its opposite.
        index: the value `[2L]`: which pair belongs to the distance L - 1, L - 2, ..., -L.
        length: the value `[1]`, L.
        first: the value `[1]`, L - 1.
        end: the value `[1]`, L - 1 + L (2L - 1).
        shape: the value `[4]`, the shape 0, 0, L, -1.
    """

    pairs: NDArray[np.int64]
    index: str
    length: str
    first: str
    end: str
    shape: str


def distances(nodes: Nodes, config: BaseConfig, length: str) -> Distances | None:
    """The distances of a call of `length` tokens, the value `[1]`; None without position terms."""
    if not config.position_terms:
        return None
    rows = position_index_table(config).astype(np.int64)
    reach = len(rows) // 2
    pairs, of_distance = np.unique(np.stack([rows, rows[::-1]], axis=1), axis=0, return_inverse=True)
    zero, one, two = (nodes.constant(np.array(value, dtype=np.int64)) for value in (0, 1, 2))
    scalar = nodes.op("Squeeze", length)
    first = nodes.op("Sub", scalar, one)
    below = nodes.op("Sub", zero, nodes.op("Add", scalar, one))
    distance = nodes.op("Range", first, below, nodes.constant(np.array(-1, dtype=np.int64)))  # [2L]
    limits = (nodes.constant(np.array(value, dtype=np.int64)) for value in (-reach, reach))
    place = nodes.op("Add", nodes.op("Clip", distance, *limits), nodes.constant(np.array(reach, dtype=np.int64)))
    index = nodes.op("Gather", nodes.constant(of_distance.reshape(-1).astype(np.int64)), place)
    width = nodes.op("Sub", nodes.op("Mul", scalar, two), one)
    end = nodes.op("Add", first, nodes.op("Mul", scalar, width))
    keep, rest = nodes.numbers(0, 0), nodes.numbers(-1)
    return Distances(
        pairs=pairs,
        index=index,
        length=length,
        first=nodes.op("Unsqueeze", first, nodes.numbers(0)),
        end=nodes.op("Unsqueeze", end, nodes.numbers(0)),
        shape=nodes.op("Concat", keep, length, rest, axis=0),
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
    projections = _projections(config, scope, scale)
    if query is None:
        weight, offset = (np.concatenate(parts) for parts in zip(*projections, strict=True))
        mixed = _heads(nodes, nodes.linear(hidden, f"{name}.qkv", weight, offset), 3 * heads, width)
        pair, value = nodes.split(mixed, 1, (2 * heads, heads))
        queries, keys = nodes.split(pair, 1, (heads, heads))
    else:
        # Of the same weights as above: runtimes keep both, where a decoder reads the last layer.
        weight, offset = (np.concatenate(parts) for parts in zip(*projections[1:], strict=True))
        mixed = _heads(nodes, nodes.linear(hidden, f"{name}.kv", weight, offset), 2 * heads, width)
        keys, value = nodes.split(mixed, 1, (heads, heads))
        queries = _heads(nodes, nodes.linear(query, f"{name}.q", *projections[0]), heads, width)
        pair = nodes.op("Concat", queries, keys, axis=1)
    scores = nodes.op("MatMul", queries, nodes.transpose(keys, 0, 1, 3, 2))  # [B, H, L, L]
    if terms and shared is not None and table is not None:
        tokens = {("c2p", "p2c"): pair, ("c2p",): queries, ("p2c",): keys}[tuple(sorted(terms))]
        rows = _position_rows(config, scope, table, shared.pairs, scale, heads)  # [n H, J, D]
        own = nodes.op("Gather", nodes.weight(f"{name}.positions", rows), shared.index, axis=1)  # [n H, 2L, D]
        by_distance = nodes.op("MatMul", tokens, nodes.transpose(own, 0, 2, 1))  # [B, n H, L, 2L]
        parts = nodes.split(_diagonals(nodes, by_distance, shared), 1, [heads] * len(terms))
        read = dict(zip(sorted(terms), parts, strict=True))
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
    """For every pair what queries meet (c2p) and what keys meet (p2c), `[n H, J, D]`."""
    found = []
    for number, (term, projection) in enumerate(zip(("c2p", "p2c"), position_projections(config), strict=True)):
        if term in config.position_terms:
            projected = linear(table, scope / projection)[pairs[:, number]]  # [J, H * D]
            factor = 1.0 if term == "c2p" else scale  # queries are scaled already, keys are not
            found.append((projected * factor).reshape(len(pairs), heads, -1).swapaxes(0, 1))
    return np.concatenate(found)


def _diagonals(nodes: Nodes, by_distance: str, shared: Distances) -> str:
    """`[B, N, L, 2L]`, of each token by distance from L - 1 down, to `[B, N, L, L]`, of each token by the other.

    Row i, column j stands at i * 2L + L - 1 - i + j, so in rows one shorter at column j, behind the first L - 1. A
    gather was not quicker at any length up to 1,024 (ONNX Runtime 1.32, Zen 4, one thread).
    """
    flat = nodes.slice(nodes.reshape(by_distance, 0, 0, -1), 2, shared.first, shared.end)
    rows = nodes.op("Reshape", flat, shared.shape)
    return nodes.slice(rows, 3, nodes.numbers(0), shared.length)


def _mix(nodes: Nodes, values: str, name: str, weight: Array) -> str:
    """Talking heads: `out_g = sum_h W[g, h] in_h` of `[B, H, L, L]`."""
    last = nodes.op("MatMul", nodes.transpose(values, 0, 2, 3, 1), nodes.weight(f"{name}.weight", weight.T))
    return nodes.transpose(last, 0, 3, 1, 2)
