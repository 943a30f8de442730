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
        logits: `[B, N]`.
        labels: `[B]` or `[B, 1]`, integers.
    """
    labels = labels.reshape(-1).astype(np.int64)
    counted = labels >= 0
    chosen = log_softmax(logits)[np.arange(len(labels)), np.where(counted, labels, 0)]
    return np.asarray(-np.sum(chosen * counted) / max(counted.sum(), 1), dtype=logits.dtype)


def soft_cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean cross-entropy against a distribution per row; both `[B, N]`."""
    return np.asarray(-np.mean(np.sum(log_softmax(logits) * labels, axis=-1)))


def binary_cross_entropy(logits: Array, labels: Array) -> Array:
    """Mean over all elements of the binary cross-entropy with logits; both `[B, N]`."""
    return np.asarray(np.mean(np.maximum(logits, 0) - logits * labels + np.log1p(np.exp(-np.abs(logits)))))


def mean_squared_error(logits: Array, labels: Array) -> Array:
    """Mean over all elements of the squared difference; `[B, N]` against as many labels."""
    return np.asarray(np.mean((logits - labels.reshape(logits.shape)) ** 2))


_SEQUENCE_LOSSES: dict[str, Callable[[Array, Array], Array]] = {
    "regression": mean_squared_error,
    "single_label_classification": cross_entropy,
    "multi_label_classification": binary_cross_entropy,
    "soft_labels": soft_cross_entropy,
}


def sequence_classification_loss(config: BaseConfig, outputs: Mapping[str, Array], labels: Array) -> Array:
    """The loss `sequence_problem` names, of `logits [B, N]` against `labels`; in the logits' dtype."""
    logits = outputs["logits"]
    return _SEQUENCE_LOSSES[sequence_problem(config, labels.shape)](logits, labels).astype(logits.dtype)
