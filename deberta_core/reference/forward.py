"""The whole forward pass: backbone, head and loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from deberta_core.config import BaseConfig
from deberta_core.inputs import (
    IGNORED_LABEL,
    INPUT_NAMES,
    check_inputs,
    check_labels,
    fold_choices,
    ignores_padding,
    named_arrays,
    seen_tokens,
)
from deberta_core.reference.arrays import Array, Scope
from deberta_core.reference.embeddings import embeddings, position_rows
from deberta_core.reference.encoder import encoder, enhanced_decoder
from deberta_core.reference.heads import HEADS
from deberta_core.reference.losses import LOSSES
from deberta_core.reference.masks import key_mask, token_mask
from deberta_core.tasks import BACKBONE, BACKBONE_PREFIX, task_spec


def forward(
    config: BaseConfig,
    params: Mapping[str, npt.ArrayLike],
    inputs: Mapping[str, npt.ArrayLike],
    task: str | None = None,
    dtype: npt.DTypeLike = np.float64,
    labels_at_padding: str = "error",
) -> dict[str, Array]:
    """Computes everything a model of this configuration returns.

    Args:
        config: the model's configuration.
        params: checkpoint names to arrays; backbone names with or without the prefix `deberta.`.
        inputs: `input_ids [B, L]` or `inputs_embeds [B, L, E]`, and optionally `attention_mask` (`[B, L]`,
            `[B, L, L]` or `[B, 1, L, L]` of 0 and 1), `token_type_ids`, `position_ids`, and the task's labels.
        task: a name of `tasks.TASKS`; None computes the backbone.
        dtype: the float type everything is computed in.
        labels_at_padding: labels of tokens that are not -100 at padding are an "error", or with "ignore" do not count.

    Returns:
        named arrays: `last_hidden_state [B, L, C]`, `hidden_states.{k}`, `attentions.{k} [B, H, L, L]`,
        `scores.{k}.{content,c2p,p2c}`, and for a task `logits`, and `loss` (a scalar) where labels were given; with the
        enhanced decoder of masked LM `decoder.1` and `decoder.2 [B, L, C]`, the outputs of its passes.

    Raises:
        InputError: an unknown task, or inputs and labels that break their rules.
        MissingName: a parameter is missing.
    """
    spec = task_spec(task)
    arrays = named_arrays(inputs, (*INPUT_NAMES, *spec.labels))
    choices = 1
    if spec.folds_choices:
        folded, choices = fold_choices([arrays.get(name) for name in INPUT_NAMES])
        arrays |= {name: value for name, value in zip(INPUT_NAMES, folded, strict=True) if value is not None}
    batch, length = check_inputs(config, arrays, spec)
    if ignores_padding(labels_at_padding) and "attention_mask" in arrays:
        seen = seen_tokens(arrays["attention_mask"])
        per_token = [name for name, kind in spec.labels.items() if kind.per_token and name in arrays]
        fitting = [name for name in per_token if arrays[name].shape == seen.shape]
        arrays |= {name: np.where(seen, arrays[name], IGNORED_LABEL) for name in fitting}
    check_labels(config, spec, arrays, (batch, length), choices)
    cast = {name.removeprefix(BACKBONE_PREFIX): np.asarray(value).astype(dtype) for name, value in params.items()}
    scope = Scope(cast)
    attention_mask = arrays.get("attention_mask", np.ones((batch, length)))
    mask, allowed = token_mask(attention_mask), key_mask(attention_mask)

    embedded = embeddings(config, scope / "embeddings", arrays, mask)
    outputs: dict[str, Any] = encoder(config, scope / "encoder", embedded, allowed, mask)
    hidden = outputs["last_hidden_state"] = outputs[f"hidden_states.{config.num_hidden_layers}"]
    if spec.scores_words and config.enhances_decoder:
        last_input = outputs[f"hidden_states.{config.num_hidden_layers - 1}"]
        positions = position_rows(scope / "embeddings", arrays, length)
        passes = enhanced_decoder(config, scope / "encoder", last_input, positions, allowed)
        outputs["decoder.1"], outputs["decoder.2"] = passes
        hidden = passes[1]
    if spec is not BACKBONE:
        outputs |= HEADS[spec.name](config, scope, hidden, allowed)
        if spec.folds_choices:
            outputs["logits"] = outputs["logits"].reshape(-1, choices)
        if all(name in arrays for name in spec.labels):
            outputs["loss"] = LOSSES[spec.loss](config, outputs, {name: arrays[name] for name in spec.labels}, mask)
    return outputs
