"""The losses (NUMERICS 6): one value per example in float32, and their mean, 0 where every label is ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from deberta_core.config import BaseConfig
from deberta_core.tasks import sequence_problem


def cross_entropy(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Negative log-probability of the labels; negative labels do not count.

    Shape:
        logits: `[B, N]`; labels: `[B]` or `[B, 1]`, integers; returns losses and counts (0 or 1), both `[B]`.
    """
    labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
    counted = labels >= 0
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    chosen = ops.take_along_axis(log_probabilities, ops.maximum(labels, 0)[:, None], axis=-1)[:, 0]
    return ops.where(counted, -chosen, ops.zeros_like(chosen)), ops.cast(counted, "float32")


def soft_cross_entropy(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Cross-entropy against a distribution per row; `[B, N]` twice to losses and counts `[B]`."""
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    losses = -ops.sum(log_probabilities * ops.cast(labels, "float32"), axis=-1)
    return losses, ops.ones_like(losses)


def binary_cross_entropy(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Binary cross-entropy with logits, mean over the labels; `[B, N]` twice to losses and counts `[B]`."""
    logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "float32")
    elements = ops.relu(logits) - logits * labels + ops.log1p(ops.exp(-ops.absolute(logits)))
    losses = ops.mean(elements, axis=-1)
    return losses, ops.ones_like(losses)


def mean_squared_error(logits: Any, labels: Any) -> tuple[Any, Any]:
    """Squared difference, mean over the numbers; `[B, N]` and as many labels to losses and counts `[B]`."""
    logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "float32")
    losses = ops.mean(ops.square(logits - ops.reshape(labels, ops.shape(logits))), axis=-1)
    return losses, ops.ones_like(losses)


_SEQUENCE_LOSSES: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "regression": mean_squared_error,
    "single_label_classification": cross_entropy,
    "multi_label_classification": binary_cross_entropy,
    "soft_labels": soft_cross_entropy,
}


def sequence_classification_losses(config: BaseConfig, logits: Any, labels: Any) -> tuple[Any, Any]:
    """The losses `sequence_problem` names, of `logits [B, N]` against `labels`; losses and counts, both `[B]`."""
    return _SEQUENCE_LOSSES[sequence_problem(config, labels.shape)](logits, labels)


def mean_loss(losses: Any, counts: Any) -> Any:
    """The mean over what counts, a scalar; 0 if nothing does.

    Shape:
        losses, counts: `[B]`; losses are 0 where counts are.
    """
    return ops.sum(losses) / ops.maximum(ops.sum(counts), 1.0)
