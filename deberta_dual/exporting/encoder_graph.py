"""Embeddings and layers as ONNX operators (NUMERICS 2 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.reference.arrays import Array, Scope
from deberta_core.reference.encoder import relative_table
from deberta_dual.exporting.attention_graph import Distances, attention, distances
from deberta_dual.exporting.nodes import Nodes

_HIDDEN = -1e30  # added to the scores of keys at padding: their probability is 0, and a row of them alone is finite


@dataclass(frozen=True, slots=True)
class Inputs:
    """The values of a call.

    Attributes:
        ids: `[B, L]`.
        mask: `[B, L]`, of the same type.
        types: `[B, L]`; None where the model has no token types.
    """

    ids: str
    mask: str
    types: str | None


@dataclass(frozen=True, slots=True)
class Encoded:
    """What heads read.

    Attributes:
        hidden: the last hidden state, `[B, L, C]`.
        before: the input of the last layer, `[B, L, C]`.
        mask: `[B, L]`, 1 at real tokens, a float.
        length: `[1]`, L.
        again: runs the last layer's weights with queries `[B, L, C]`.
    """

    hidden: str
    before: str
    mask: str
    length: str
    again: Callable[[str], str]


def encode(nodes: Nodes, config: BaseConfig, scope: Scope, inputs: Inputs, *, skips_last: bool = False) -> Encoded:
    """The backbone.

    Args:
        nodes: the graph.
        config: the model's configuration.
        scope: the backbone's parameters.
        inputs: of the call.
        skips_last: leaves the last layer out, whose output nobody reads; `hidden` is then its input.
    """
    length = nodes.op("Slice", nodes.op("Shape", inputs.ids), nodes.numbers(1), nodes.numbers(2))
    mask = nodes.op("Cast", inputs.mask, to=1)
    row = nodes.op("Unsqueeze", mask, nodes.numbers(2))
    one = nodes.constant(np.array(1, dtype=np.float32))
    hidden_keys = nodes.op("Mul", nodes.op("Sub", one, mask), nodes.constant(np.array(_HIDDEN, dtype=np.float32)))
    bias = nodes.op("Unsqueeze", hidden_keys, nodes.numbers(1, 2))
    first = hidden = nodes.op("Mul", _embeddings(nodes, config, scope / "embeddings", inputs, length), row)
    shared = distances(nodes, config, length)
    table = relative_table(config, scope / "encoder") if config.position_terms else None
    layers = scope / "encoder" / "layer"

    def run(number: int, values: str, query: str | None = None) -> str:
        return _layer(nodes, config, layers / number, number, values, bias, table, shared, query)

    before = hidden
    last = config.num_hidden_layers - 1
    for number in range(last if skips_last else last + 1):
        before = hidden
        hidden = run(number, hidden)
        if number == 0 and config.convolution_kernel:
            hidden = _convolution(nodes, config, scope / "encoder" / "conv", first, hidden, row)
    before = hidden if skips_last else before
    return Encoded(hidden, before, mask, length, lambda query: run(last, before, query))


def enhanced_decoder(nodes: Nodes, scope: Scope, encoded: Encoded) -> Encoded:
    """The enhanced mask decoder (NUMERICS 7): the last layer twice, its first queries made of positions."""
    rows = position_rows(nodes, scope / "embeddings", encoded.length)
    first = encoded.again(nodes.op("Add", encoded.before, rows))
    return replace(encoded, hidden=encoded.again(first))


def norm(nodes: Nodes, config: BaseConfig, values: str, name: str, scope: Scope) -> str:
    """LayerNorm over the last axis."""
    scale, shift = nodes.weight(f"{name}.weight", scope["weight"]), nodes.weight(f"{name}.bias", scope["bias"])
    return str(nodes.op("LayerNormalization", values, scale, shift, axis=-1, epsilon=config.layer_norm_eps))


def _tanh_gelu(nodes: Nodes, values: str) -> str:
    return str(nodes.op("Gelu", values, approximate="tanh"))


def _swish(nodes: Nodes, values: str) -> str:
    return str(nodes.op("Mul", values, nodes.op("Sigmoid", values)))


# `gelu_fast` differs from `gelu_new` in the constant's digits only, beyond those of float32.
_ACTIVATIONS: dict[str, Callable[[Nodes, str], str]] = {
    "gelu": lambda nodes, values: str(nodes.op("Gelu", values)),
    "gelu_new": _tanh_gelu,
    "gelu_fast": _tanh_gelu,
    "relu": lambda nodes, values: str(nodes.op("Relu", values)),
    "silu": _swish,
    "swish": _swish,
    "tanh": lambda nodes, values: str(nodes.op("Tanh", values)),
    "sigmoid": lambda nodes, values: str(nodes.op("Sigmoid", values)),
    "mish": lambda nodes, values: str(nodes.op("Mish", values)),
    "linear": lambda nodes, values: values,
}


def activation(nodes: Nodes, name: str, values: str) -> str:
    """The activation of this name in the configuration."""
    return _ACTIVATIONS[name](nodes, values)


def _embeddings(nodes: Nodes, config: BaseConfig, scope: Scope, inputs: Inputs, length: str) -> str:
    name = "embeddings"
    words = nodes.weight(f"{name}.word_embeddings.weight", (scope / "word_embeddings")["weight"])
    total = nodes.op("Gather", words, inputs.ids)
    if config.position_biased_input:
        total = nodes.op("Add", total, position_rows(nodes, scope, length))
    if inputs.types is not None:
        types = nodes.weight(f"{name}.token_type_embeddings.weight", (scope / "token_type_embeddings")["weight"])
        total = nodes.op("Add", total, nodes.op("Gather", types, inputs.types))
    if config.embedding_width != config.hidden_size:
        total = nodes.linear(total, f"{name}.embed_proj", (scope / "embed_proj")["weight"], None)
    return norm(nodes, config, total, f"{name}.LayerNorm", scope / "LayerNorm")


def position_rows(nodes: Nodes, scope: Scope, length: str) -> str:
    """The rows of the position table for 0 to L - 1, `[L, E]`; a longer text than the table fails where they are added.

    `scope` holds the parameters below `embeddings`.
    """
    table = nodes.weight("embeddings.position_embeddings.weight", (scope / "position_embeddings")["weight"])
    return nodes.slice(table, 0, nodes.numbers(0), length)


def _layer(
    nodes: Nodes,
    config: BaseConfig,
    scope: Scope,
    number: int,
    hidden: str,
    bias: str,
    table: Array | None,
    shared: Distances | None,
    query: str | None,
) -> str:
    name = f"encoder.layer.{number}"
    own = scope / "attention"
    context = attention(
        nodes, config, own / "self", f"{name}.attention.self", number, hidden, bias, table, shared, query
    )
    output = own / "output"
    attended = _linear(nodes, context, f"{name}.attention.output.dense", output / "dense")
    residual = hidden if query is None else query
    attended = norm(
        nodes, config, nodes.op("Add", attended, residual), f"{name}.attention.output.LayerNorm", output / "LayerNorm"
    )
    inner = _linear(nodes, attended, f"{name}.intermediate.dense", scope / "intermediate" / "dense")
    inner = activation(nodes, config.hidden_act, inner)
    out = _linear(nodes, inner, f"{name}.output.dense", scope / "output" / "dense")
    return norm(
        nodes, config, nodes.op("Add", out, attended), f"{name}.output.LayerNorm", scope / "output" / "LayerNorm"
    )


def _linear(nodes: Nodes, values: str, name: str, scope: Scope) -> str:
    return nodes.linear(values, name, scope["weight"], scope["bias"])


def _convolution(nodes: Nodes, config: BaseConfig, scope: Scope, first: str, output: str, row: str) -> str:
    """Replaces the output of the first layer; `first` is the embedding output, `row` the mask `[B, L, 1]`."""
    name, half = "encoder.conv", config.convolution_kernel // 2
    weight = nodes.weight(f"{name}.conv.weight", (scope / "conv")["weight"])
    bias = nodes.weight(f"{name}.conv.bias", (scope / "conv")["bias"])
    turned = nodes.transpose(first, 0, 2, 1)
    convolved = nodes.op("Conv", turned, weight, bias, group=config.convolution_groups, pads=[half, half])
    convolved = nodes.op("Mul", nodes.transpose(convolved, 0, 2, 1), row)
    total = nodes.op("Add", output, activation(nodes, config.convolution_act, convolved))
    return str(nodes.op("Mul", norm(nodes, config, total, f"{name}.LayerNorm", scope / "LayerNorm"), row))
