"""How far two predictions of one model are apart, a number for every row that counts (NUMERICS 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from deberta_core.config import BaseConfig
from deberta_core.tasks import TaskSpec, sequence_problem
from deberta_tf.distribution import sum_over_replicas
from deberta_tf.losses import label_shape

LogitsAndCounts = tuple[Any, Any]
Named = Mapping[str, Any]


def prediction_rows(
    config: BaseConfig, spec: TaskSpec, predictions: Named, labels: Named, token_mask: Any
) -> list[LogitsAndCounts]:
    """The logits that are compared, and which of their rows count.

    There is a row for each example; where every token has one, for those with a label; and for question answering two,
    of the start and of the end, over real positions.

    Shape:
        token_mask: bool `[B, L]`, read for question answering alone; returns float32 (or float64) `[..., N]` and counts
        (0 or 1) `[...]`.
    """
    if spec.loss == "spans":
        lowest = float(np.finfo(np.float32).min)
        masked = [ops.where(token_mask, _precise(values), lowest) for values in _both(predictions)]
        return [(values, ops.ones_like(values[:, 0])) for values in masked]
    logits = _precise(predictions["logits"])
    if not spec.per_token:
        return [(logits, ops.ones_like(logits[..., 0]))]
    return [(logits, ops.cast(ops.reshape(labels["labels"], ops.shape(logits)[:-1]) >= 0, logits.dtype))]


def prediction_kind(config: BaseConfig, spec: TaskSpec, labels: Named) -> str:
    """What logits say: "classes", of which one is right; "labels", of which any may be true; or "numbers"."""
    if spec.loss != "by_problem":
        return "classes"
    problem = sequence_problem(config, label_shape(labels["labels"]))
    return {"regression": "numbers", "multi_label_classification": "labels"}.get(problem, "classes")


def cross_entropies(kind: str, given: Any, logits: Any) -> Any:
    """Cross-entropy of logits against the probabilities that others give; of numbers the squared difference.

    What is given is taken as it is: it gets no gradient.

    Shape:
        given, logits: `[..., N]`; returns `[...]`.
    """
    return _CROSS_ENTROPIES[kind](ops.stop_gradient(given), logits)


def symmetric_kl(kind: str, one: Any, other: Any) -> Any:
    """Mean of the two Kullback-Leibler divergences; of numbers the squared difference.

    Shape:
        one, other: `[..., N]`; returns `[...]`.
    """
    return _SYMMETRIC[kind](one, other)


def row_sum(parts: list[tuple[Any, Any]]) -> Any:
    """The sum over the rows that count, of all replicas; of values and counts `[...]`."""
    return sum(sum_over_replicas(ops.sum(ops.where(counts > 0, values, 0.0))) for values, counts in parts)


def row_mean(parts: list[tuple[Any, Any]]) -> Any:
    """The mean over the rows that count, 0 if none does; of values and counts `[...]`."""
    return row_sum(parts) / ops.maximum(sum(sum_over_replicas(ops.sum(counts)) for _, counts in parts), 1.0)


def _both(predictions: Named) -> tuple[Any, Any]:
    return predictions["start_logits"], predictions["end_logits"]


def _precise(values: Any) -> Any:
    return values if keras.backend.standardize_dtype(values.dtype) == "float64" else ops.cast(values, "float32")


def _of_classes(given: Any, logits: Any) -> Any:
    return -ops.sum(ops.softmax(given) * ops.log_softmax(logits), axis=-1)


def _of_labels(given: Any, logits: Any) -> Any:
    elements = ops.relu(logits) - logits * ops.sigmoid(given) + ops.log1p(ops.exp(-ops.absolute(logits)))
    return ops.mean(elements, axis=-1)


def _squares(given: Any, logits: Any) -> Any:
    return ops.mean(ops.square(logits - given), axis=-1)


def _kl_of_classes(one: Any, other: Any) -> Any:
    one, other = ops.log_softmax(one), ops.log_softmax(other)
    return ops.sum((ops.exp(one) - ops.exp(other)) * (one - other), axis=-1) / 2


def _kl_of_labels(one: Any, other: Any) -> Any:
    return ops.mean((ops.sigmoid(one) - ops.sigmoid(other)) * (one - other), axis=-1) / 2


_Distances = Mapping[str, Callable[[Any, Any], Any]]
_CROSS_ENTROPIES: _Distances = {"classes": _of_classes, "labels": _of_labels, "numbers": _squares}
_SYMMETRIC: _Distances = {"classes": _kl_of_classes, "labels": _kl_of_labels, "numbers": _squares}
