"""The encoder: relative table, layers, and the convolution of v2 xlarge and xxlarge (NUMERICS 4)."""

from __future__ import annotations

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.positions import position_indices
from deberta_core.reference.arrays import Array, Scope, activation, layer_norm, linear
from deberta_core.reference.attention import attention


def relative_table(config: BaseConfig, scope: Scope) -> Array | None:
    """The table of relative embeddings `[R, C]`, LayerNormed where configured; None without relative attention."""
    if not config.relative_attention:
        return None
    table = (scope / "rel_embeddings")["weight"]
    return layer_norm(table, scope / "LayerNorm", config.layer_norm_eps) if config.normalizes_table else table


def layer(
    config: BaseConfig,
    scope: Scope,
    hidden: Array,
    allowed: Array,
    table: Array | None,
    index: Array,
    query: Array | None = None,
) -> tuple[Array, Array, dict[str, Array]]:
    """One layer: attention block, then the feed-forward block.

    Args and returns as for `attention`; `scope` holds the parameters below `encoder.layer.{i}`.
    """
    attended, probabilities, components = attention(config, scope / "attention", hidden, allowed, table, index, query)
    inner = activation(config.hidden_act, linear(attended, scope / "intermediate" / "dense"))  # [B, L, F]
    output = linear(inner, scope / "output" / "dense") + attended
    return layer_norm(output, scope / "output" / "LayerNorm", config.layer_norm_eps), probabilities, components


def convolution(config: BaseConfig, scope: Scope, encoder_input: Array, first_output: Array, mask: Array) -> Array:
    """The n-gram induced convolution: replaces the output of the first layer.

    Args:
        config: the model's configuration.
        scope: parameters below `encoder.conv`.
        encoder_input: `[B, L, C]`, what is convolved.
        first_output: `[B, L, C]`, the output of layer 0, the residual.
        mask: bool `[B, L]`, true at real tokens.

    Returns:
        `[B, L, C]`.
    """
    weight, bias = (scope / "conv")["weight"], (scope / "conv")["bias"]  # [C, C / groups, k], [C]
    width, group_width, kernel = weight.shape
    groups, half, length = width // group_width, kernel // 2, encoder_input.shape[1]
    padded = np.pad(encoder_input, ((0, 0), (half, half), (0, 0)))
    padded = padded.reshape(*padded.shape[:2], groups, group_width)  # [B, L + k - 1, G, C / G]
    filters = weight.reshape(groups, width // groups, group_width, kernel)
    taps = (np.einsum("blgi,goi->blgo", padded[:, tap : tap + length], filters[..., tap]) for tap in range(kernel))
    convolved = np.sum(list(taps), axis=0).reshape(encoder_input.shape)
    convolved = np.where(mask[:, :, None], convolved + bias, 0)
    output = layer_norm(
        first_output + activation(config.convolution_act, convolved), scope / "LayerNorm", config.layer_norm_eps
    )
    return np.where(mask[:, :, None], output, 0).astype(output.dtype)


def enhanced_decoder(
    config: BaseConfig, scope: Scope, hidden: Array, positions: Array, allowed: Array
) -> tuple[Array, Array]:
    """The enhanced mask decoder (NUMERICS 7): the last layer twice, with queries of its own over the same keys.

    Args:
        config: the model's configuration.
        scope: parameters below `encoder`.
        hidden: `[B, L, C]`, the input of the last layer: keys and values of both passes.
        positions: `[B, L, C]` or `[1, L, C]`, raw rows of the table of absolute positions.
        allowed: bool, broadcast to `[B, 1, L, L]`.

    Returns:
        the outputs of the first and of the second pass, both `[B, L, C]`.

    Source:
        microsoft/DeBERTa `apps/models/masked_language_model.py`, `emd_context_layer`.
    """
    table, length = relative_table(config, scope), hidden.shape[1]
    index = _indices(config, table, length)
    last = scope / "layer" / (config.num_hidden_layers - 1)
    first, *_ = layer(config, last, hidden, allowed, table, index, query=positions + hidden)
    second, *_ = layer(config, last, hidden, allowed, table, index, query=first)
    return first, second


def _indices(config: BaseConfig, table: Array | None, length: int) -> Array:
    """The table row of every query and key; without a table none is read, and buckets need not be valid."""
    return np.zeros((length, length), np.int32) if table is None else position_indices(length, length, config)


def encoder(config: BaseConfig, scope: Scope, hidden: Array, allowed: Array, mask: Array) -> dict[str, Array]:
    """All layers.

    Args:
        config: the model's configuration.
        scope: parameters below `encoder`.
        hidden: `[B, L, C]`, the embedding output.
        allowed: bool, broadcast to `[B, 1, L, L]`.
        mask: bool `[B, L]`.

    Returns:
        `hidden_states.0` (the input) to `hidden_states.{layers}`, `attentions.{i}` and, per layer, the score terms
        `scores.{i}.content`, `.c2p`, `.p2c`.
    """
    table = relative_table(config, scope)
    index = _indices(config, table, hidden.shape[1])
    outputs = {"hidden_states.0": hidden}
    encoder_input = hidden
    for number in range(config.num_hidden_layers):
        hidden, probabilities, components = layer(config, scope / "layer" / number, hidden, allowed, table, index)
        if number == 0 and config.convolution_kernel:
            hidden = convolution(config, scope / "conv", encoder_input, hidden, mask)
        outputs[f"hidden_states.{number + 1}"] = hidden
        outputs[f"attentions.{number}"] = probabilities
        outputs |= {f"scores.{number}.{term}": scores for term, scores in components.items()}
    return outputs
