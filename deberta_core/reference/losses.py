"""The losses (NUMERICS 6): scalar means; 0 where every label is ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.reference.arrays import Array, log_softmax
from deberta_core.tasks import sequence_problem


def cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean negative log-probability of the labels; negative labels are ignored.

    Args:
        logits: `[..., N]`.
        labels: `[...]`, or with a last axis of 1, integers.
    """
    logits = logits.reshape(-1, logits.shape[-1])
    labels = labels.reshape(-1).astype(np.int64)
    counted = labels >= 0
    chosen = log_softmax(logits)[np.arange(len(labels)), np.where(counted, labels, 0)]
    return np.asarray(-np.sum(chosen * counted) / max(counted.sum(), 1), dtype=logits.dtype)


def span_cross_entropy(logits: Array, positions: Array, mask: Array) -> Array:
    """Mean negative log-probability of a position, over the real positions of each text.

    Positions are clipped to [0, L]; L, and padding, are ignored; 0 (no answer) means the context token.

    Args:
        logits: `[B, L]`.
        positions: `[B]` or `[B, 1]`, integers.
        mask: bool `[B, L]`.
    """
    rows, length = np.arange(len(logits)), logits.shape[1]
    positions = np.clip(positions.reshape(-1).astype(np.int64), 0, length)
    positions = np.where(positions == 0, mask.argmax(axis=1), positions)
    counted = (positions < length) & mask[rows, np.minimum(positions, length - 1)]
    kept = np.where(mask, logits, np.finfo(logits.dtype).min / 2)
    return cross_entropy(kept, np.where(counted, positions, -1))


def soft_cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean cross-entropy against a distribution per row; both `[B, N]`."""
    return _mean(-np.sum(log_softmax(logits) * labels, axis=-1))


def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean over all elements of the binary cross-entropy with logits; both of one shape."""
    return _mean(np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits))))


def mean_squared_error(logits: Array, labels: Array) -> Array:
    """Mean over all elements of the squared difference; `[B, N]` against as many labels."""
    return _mean((logits - labels.reshape(logits.shape)) ** 2)


def _mean(values: Array) -> Array:
    return np.asarray(values.sum() / max(values.size, 1))


Outputs = Mapping[str, Array]
Labels = Mapping[str, Array]

_SEQUENCE_LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "regression": mean_squared_error,
    "single_label_classification": cross_entropy,
    "multi_label_classification": binary_cross_entropy,
    "soft_labels": soft_cross_entropy,
}


def sequence_classification_loss(config: BaseConfig, outputs: Outputs, labels: Labels, mask: Array) -> Array:
    """The loss `sequence_problem` names, of `logits [B, N]` against `labels`; in the logits' dtype."""
    logits, targets = outputs["logits"], labels["labels"]
    return _SEQUENCE_LOSSES[sequence_problem(config, targets.shape)](logits, targets).astype(logits.dtype)


def label_loss(config: BaseConfig, outputs: Outputs, labels: Labels, mask: Array) -> Array:
    """Cross-entropy of `logits [..., N]` against `labels [...]`: masked LM, tokens, choices."""
    return cross_entropy(outputs["logits"], labels["labels"])


def question_answering_loss(config: BaseConfig, outputs: Outputs, labels: Labels, mask: Array) -> Array:
    """The mean of the losses of start and end."""
    start = span_cross_entropy(outputs["start_logits"], labels["start_positions"], mask)
    end = span_cross_entropy(outputs["end_logits"], labels["end_positions"], mask)
    return np.asarray((start + end) / 2, dtype=start.dtype)


def replaced_token_loss(config: BaseConfig, outputs: Outputs, labels: Labels, mask: Array) -> Array:
    """The mean of the binary cross-entropy of `logits [B, L]` over the tokens whose label is 0 or 1."""
    logits, targets = outputs["logits"], labels["labels"]
    counted = targets >= 0
    return binary_cross_entropy(logits[counted], targets[counted]).astype(logits.dtype)


# What `TaskSpec.loss` names.
LOSSES: dict[str, Callable[[BaseConfig, Outputs, Labels, Array], Array]] = {
    "cross_entropy": label_loss,
    "by_problem": sequence_classification_loss,
    "spans": question_answering_loss,
    "replaced": replaced_token_loss,
}
