"""The embedding layer (NUMERICS 2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.reference.arrays import Array, Scope, layer_norm, linear


def position_rows(scope: Scope, inputs: Mapping[str, Array], length: int) -> Array:
    """Rows of the table of absolute positions, `[B, L, E]` or `[1, L, E]`; `scope` is below `embeddings`."""
    rows: Array = (scope / "position_embeddings")["weight"][inputs.get("position_ids", np.arange(length)[None])]
    return rows


def embeddings(config: BaseConfig, scope: Scope, inputs: Mapping[str, Array], mask: Array) -> Array:
    """Sums the configured embeddings, projects them to the hidden width, normalises, and zeroes padding.

    Args:
        config: the model's configuration.
        scope: parameters below `embeddings`.
        inputs: `input_ids [B, L]` or `inputs_embeds [B, L, E]`; optionally `token_type_ids`, `position_ids`.
        mask: bool `[B, L]`, true at real tokens.

    Returns:
        `[B, L, C]`.
    """
    word = scope / "word_embeddings"
    total = inputs["inputs_embeds"] if "inputs_embeds" in inputs else word["weight"][inputs["input_ids"]]  # [B, L, E]
    total = total.astype(word["weight"].dtype)
    batch, length = total.shape[:2]
    if config.position_biased_input:
        total = total + position_rows(scope, inputs, length)
    if config.type_vocab_size:
        types = inputs.get("token_type_ids", np.zeros((batch, length), dtype=np.int64))
        total = total + (scope / "token_type_embeddings")["weight"][types]
    if config.embedding_width != config.hidden_size:
        total = linear(total, scope / "embed_proj")  # [B, L, C]
    total = layer_norm(total, scope / "LayerNorm", config.layer_norm_eps)
    return np.where(mask[:, :, None], total, 0).astype(total.dtype)
