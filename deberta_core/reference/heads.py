"""The task heads (NUMERICS 6)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.reference.arrays import Array, Scope, activation, layer_norm, linear


def context_pooler(config: BaseConfig, scope: Scope, hidden: Array, mask: Array) -> Array:
    """Dense and activation over the context token, the first real one (NUMERICS decision 2).

    Args:
        config: the model's configuration.
        scope: parameters below `pooler`.
        hidden: `[B, L, C]`.
        mask: bool `[B, L]`; a row without a real token uses index 0.

    Returns:
        `[B, C]`.
    """
    context = hidden[np.arange(len(hidden)), mask.argmax(axis=1)]
    return activation(config.pooler_hidden_act, linear(context, scope / "dense"))


def masked_lm(config: BaseConfig, scope: Scope, hidden: Array, allowed: Array) -> dict[str, Array]:
    """Scores of the whole vocabulary for every token; the decoder is tied to the word embeddings.

    Returns:
        `logits [B, L, V]`.

    Source:
        `legacy`: transformers' `cls.predictions`; else Microsoft's `lm_predictions.lm_head`, with a dense layer C -> E.
    """
    head = scope / "cls" / "predictions" if config.legacy else scope / "lm_predictions" / "lm_head"
    transform = head / "transform" if config.legacy else head
    values = activation(config.hidden_act, linear(hidden, transform / "dense"))  # [B, L, E]
    values = layer_norm(values, transform / "LayerNorm", config.layer_norm_eps)
    words = (scope / "embeddings" / "word_embeddings")["weight"]
    return {"logits": values @ words.T + head["bias"]}


def sequence_classification(config: BaseConfig, scope: Scope, hidden: Array, allowed: Array) -> dict[str, Array]:
    """Pooler and classifier; `logits [B, N]`."""
    mask = np.asarray(allowed.any(axis=(1, 2)))
    return {"logits": linear(context_pooler(config, scope / "pooler", hidden, mask), scope / "classifier")}


def token_classification(config: BaseConfig, scope: Scope, hidden: Array, allowed: Array) -> dict[str, Array]:
    """Classifier over every token; `logits [B, L, N]`."""
    return {"logits": linear(hidden, scope / "classifier")}


def question_answering(config: BaseConfig, scope: Scope, hidden: Array, allowed: Array) -> dict[str, Array]:
    """Scores of every token as start and end of the answer; `start_logits`, `end_logits [B, L]`."""
    start, end = np.moveaxis(linear(hidden, scope / "qa_outputs"), -1, 0)
    return {"start_logits": start, "end_logits": end}


def replaced_token(config: BaseConfig, scope: Scope, hidden: Array, allowed: Array) -> dict[str, Array]:
    """Scores of every token, above 0 where it was replaced; `logits [B, L]` (NUMERICS 8).

    Each token is seen together with its context token, the first one that it may see: that of its own text, where a
    mask `[B, L, L]` holds several in one row.

    Source:
        microsoft/DeBERTa `apps/models/replaced_token_detection_model.py`; there index 0 is the context token.
    """
    head = scope / "mask_predictions"
    first = allowed[:, 0].argmax(axis=-1)  # [B, L], or [B, 1] for all queries alike
    context = hidden[np.arange(len(hidden))[:, None], first]
    values = layer_norm(hidden + context, head / "LayerNorm", config.layer_norm_eps)
    values = activation(config.hidden_act, linear(values, head / "dense"))
    return {"logits": linear(values, head / "classifier")[..., 0]}


Head = Callable[[BaseConfig, Scope, Array, Array], dict[str, Array]]

# Task -> its head, from the configuration, all parameters, the hidden states `[B, L, C]`, and which keys each query
# sees, bool `[B, 1, 1 or L, L]`.
HEADS: dict[str, Head] = {
    "masked_lm": masked_lm,
    "sequence_classification": sequence_classification,
    "token_classification": token_classification,
    "question_answering": question_answering,
    "multiple_choice": sequence_classification,  # `[B * N, 1]`, a score for every folded text; `forward` unfolds it
    "replaced_token": replaced_token,
}
