"""The losses (NUMERICS 6): one value per label in float32, and their mean, 0 where every label is ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.loss_options import PLAIN, LossOptions
from deberta_core.tasks import sequence_problem
from deberta_tf.checks import is_jax_traced
from deberta_tf.distribution import sum_over_replicas

LossesAndCounts = tuple[Any, Any]
Named = Mapping[str, Any]
_CERTAIN = 1e-7  # the least that 1 - p may be, where its power is taken: the slope at 0 may be infinite


def labelled_tokens(labels: Named) -> Any:
    """The numbers in [0, B * L) of the tokens whose one label, `[B, L]`, counts; `[N]` integers.

    Raises:
        InputError: there are no labels, or values are not known where they are to give a shape.
    """
    if not labels:
        raise InputError("labelled_logits_only=True without labels leaves nothing to return. Give labels.")
    (values,) = labels.values()
    if is_jax_traced(values):
        raise InputError(
            "labelled_logits_only=True gives a shape that depends on the labels, which JAX cannot trace. Leave it out."
        )
    return ops.cast(ops.nonzero(ops.reshape(values, (-1,)) >= 0)[0], "int32")


def cross_entropy(logits: Any, labels: Any, options: LossOptions = PLAIN) -> LossesAndCounts:
    """Negative log-probability of the labels; negative labels do not count.

    Shape:
        logits: `[..., N]`; labels: `[...]`, or with a last axis of 1, integers; returns losses and counts (0 or 1, or
        the weight of the class), both `[...]`.
    """
    labels = ops.cast(ops.reshape(labels, ops.shape(logits)[:-1]), "int32")
    counted = labels >= 0
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    chosen = ops.take_along_axis(log_probabilities, ops.maximum(labels, 0)[..., None], axis=-1)[..., 0]
    losses, counts, share = -chosen, ops.cast(counted, "float32"), options.label_smoothing
    if options.focal_gamma:
        losses = losses * _focus(losses, options.focal_gamma)
    if options.class_weights is not None:
        weights = ops.convert_to_tensor(options.class_weights, "float32")
        log_probabilities = log_probabilities * weights
        own = ops.take(weights, ops.maximum(labels, 0))
        losses, counts = losses * own, counts * own
    if share:
        losses = (1 - share) * losses - share * ops.mean(log_probabilities, axis=-1)
    return ops.where(counted, losses, ops.zeros_like(losses)), counts


def span_cross_entropy(logits: Any, positions: Any, token_mask: Any) -> LossesAndCounts:
    """Negative log-probability of a position, over the real positions of each text.

    Positions are clipped to [0, L]; L, and padding, do not count; 0 (no answer) means the context token.

    Shape:
        logits: `[B, L]`; positions: `[B]` or `[B, 1]`, integers; token_mask: bool `[B, L]`; returns losses and counts,
        both `[B]`.
    """
    length = ops.shape(logits)[1]
    positions = ops.clip(ops.cast(ops.reshape(positions, (-1,)), "int32"), 0, length)
    context = ops.cast(ops.argmax(ops.cast(token_mask, "int32"), axis=1), "int32")
    positions = ops.where(positions == 0, context, positions)
    is_real = ops.take_along_axis(token_mask, ops.minimum(positions, length - 1)[:, None], axis=1)[:, 0]
    kept = ops.where(token_mask, ops.cast(logits, "float32"), float(np.finfo(np.float32).min))
    return cross_entropy(kept, ops.where(ops.logical_and(is_real, positions < length), positions, -1))


def soft_cross_entropy(logits: Any, labels: Any, options: LossOptions = PLAIN) -> LossesAndCounts:
    """Cross-entropy against a distribution per row; `[B, N]` twice to losses and counts `[B]`."""
    log_probabilities = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    losses = -ops.sum(log_probabilities * ops.cast(labels, "float32"), axis=-1)
    return losses, ops.ones_like(losses)


def binary_cross_entropy(logits: Any, labels: Any, options: LossOptions = PLAIN) -> LossesAndCounts:
    """Binary cross-entropy with logits, mean over the labels; `[B, N]` twice to losses and counts `[B]`."""
    logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "float32")
    if options.label_smoothing:
        labels = labels * (1 - options.label_smoothing) + options.label_smoothing / 2
    elements = _binary_losses(logits, labels)
    if options.focal_gamma:
        elements = elements * _focus(elements, options.focal_gamma)
    losses = ops.mean(elements, axis=-1)
    return losses, ops.ones_like(losses)


def mean_squared_error(logits: Any, labels: Any, options: LossOptions = PLAIN) -> LossesAndCounts:
    """Squared difference, mean over the numbers; `[B, N]` and as many labels to losses and counts `[B]`."""
    logits, labels = ops.cast(logits, "float32"), ops.cast(labels, "float32")
    losses = ops.mean(ops.square(logits - ops.reshape(labels, ops.shape(logits))), axis=-1)
    return losses, ops.ones_like(losses)


_SEQUENCE_LOSSES: dict[str, Callable[[Any, Any, LossOptions], LossesAndCounts]] = {
    "regression": mean_squared_error,
    "single_label_classification": cross_entropy,
    "multi_label_classification": binary_cross_entropy,
    "soft_labels": soft_cross_entropy,
}


def sequence_classification_losses(
    config: BaseConfig, predictions: Named, labels: Named, token_mask: Any, options: LossOptions = PLAIN
) -> list[LossesAndCounts]:
    """What `sequence_problem` names, of `logits [B, N]` against `labels`."""
    logits, targets = predictions["logits"], labels["labels"]
    return [_SEQUENCE_LOSSES[sequence_problem(config, label_shape(targets))](logits, targets, options)]


def label_losses(
    config: BaseConfig, predictions: Named, labels: Named, token_mask: Any, options: LossOptions = PLAIN
) -> list[LossesAndCounts]:
    """Cross-entropy of `logits [..., N]` against `labels [...]`: masked LM, tokens, choices."""
    return [cross_entropy(predictions["logits"], labels["labels"], options)]


def question_answering_losses(
    config: BaseConfig, predictions: Named, labels: Named, token_mask: Any, options: LossOptions = PLAIN
) -> list[LossesAndCounts]:
    """Those of the start and of the end of the answer."""
    return [
        span_cross_entropy(predictions[f"{side}_logits"], labels[f"{side}_positions"], token_mask)
        for side in ("start", "end")
    ]


def replaced_token_losses(
    config: BaseConfig, predictions: Named, labels: Named, token_mask: Any, options: LossOptions = PLAIN
) -> list[LossesAndCounts]:
    """Binary cross-entropy of `logits [B, L]` at the tokens whose label is 0 or 1."""
    logits, targets = ops.cast(predictions["logits"], "float32"), ops.cast(labels["labels"], "float32")
    counted = targets >= 0
    losses = _binary_losses(logits, targets)
    return [(ops.where(counted, losses, ops.zeros_like(losses)), ops.cast(counted, "float32"))]


# What `TaskSpec.loss` names.
LOSSES: dict[str, Callable[[BaseConfig, Named, Named, Any, LossOptions], list[LossesAndCounts]]] = {
    "cross_entropy": label_losses,
    "by_problem": sequence_classification_losses,
    "spans": question_answering_losses,
    "replaced": replaced_token_losses,
}


def mean_loss(parts: list[LossesAndCounts]) -> Any:  # D8
    """The mean over what counts, 0 if nothing does, and the mean of that over the parts; a scalar.

    Under a distribution strategy it is the mean of the global batch, on every replica.

    Shape:
        losses, counts: of any one shape; losses are 0 where counts are.
    """
    totals = [(_total(losses), _total(counts)) for losses, counts in parts]
    return sum(loss / ops.where(count > 0, count, 1.0) for loss, count in totals) / len(totals)


def label_shape(targets: Any) -> tuple[int | None, ...]:
    """The shape of labels; where TensorFlow's graph has seen both `[B]` and `[B, 1]`, and so knows no rank, `[B, 1]`.

    Raises:
        InputError: the rank is unknown, and the labels are floats, which may be distributions as well.
    """
    shape = targets.shape
    if getattr(shape, "rank", 0) is not None:
        return tuple(shape)
    if "int" not in keras.backend.standardize_dtype(targets.dtype):
        raise InputError(
            "labels came in several ranks, so that the graph cannot tell classes from distributions. Give all batches "
            "labels of one rank, or set problem_type in the configuration."
        )
    return (None, 1)


def _binary_losses(logits: Any, labels: Any) -> Any:
    return ops.relu(logits) - logits * labels + ops.log1p(ops.exp(-ops.absolute(logits)))


def _total(values: Any) -> Any:
    return sum_over_replicas(ops.sum(values))


def _focus(losses: Any, gamma: float) -> Any:
    """The power of 1 - p, of the negative logarithms of p."""
    return ops.power(ops.maximum(-ops.expm1(-losses), _CERTAIN), gamma)
