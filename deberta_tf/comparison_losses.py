"""Losses of texts that are compared with each other: vectors of pairs and triplets, scores of documents of one query.

Every row of a batch is a text. Labels of vectors are `[R, 4]`, the columns of `VECTOR_LABELS`; of scores `[R, 2]`, the
group (the query) and the relevance. A positive stands right behind its anchor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from deberta_core.comparisons import ANCHOR, MARGIN, NEGATIVE, POSITIVE, SCALE
from deberta_tf.losses import LossesAndCounts

_LOWEST = float(np.finfo(np.float32).min)


def pool(hidden: Any, token_mask: Any, pooling: str) -> Any:
    """One vector of those of a text's real tokens, by a name of `POOLINGS`; `[R, L, C]` to float32 `[R, C]`."""
    hidden, real = ops.cast(hidden, "float32"), ops.cast(token_mask, "float32")
    if pooling == "max":
        return ops.max(ops.where(token_mask[..., None], hidden, _LOWEST), axis=1)
    places = ops.cumsum(real, axis=1)  # from 1
    weights = {"mean": real, "first": real * ops.cast(places == 1, "float32"), "weighted": real * places}[pooling]
    return ops.sum(hidden * weights[..., None], axis=1) / ops.sum(weights, axis=1, keepdims=True)


def multiple_negatives(vectors: Any, labels: Any) -> LossesAndCounts:
    """Cross-entropy of an anchor's own positive among all positives and negatives of the batch, by scaled cosines.

    A text that is equal to the anchor or to its positive is no negative of it.

    Shape:
        vectors: `[R, C]`; labels: `[R, 4]`; returns losses and counts, both `[R]`.

    Source:
        Henderson et al. (2017), "Efficient Natural Language Response Suggestion for Smart Reply", 4.4.
    """
    groups, roles, texts, _ = ops.unstack(labels, 4, axis=1)
    cosines = _cosines(vectors)
    own = ops.logical_and(groups[:, None] == groups, roles == POSITIVE)
    equal = ops.logical_or(texts[:, None] == texts, ops.roll(texts, -1)[:, None] == texts)
    candidates = ops.logical_or(own, ops.logical_and(roles != ANCHOR, ops.logical_not(equal)))
    logits = ops.where(candidates, SCALE * cosines, _LOWEST)
    losses = ops.logsumexp(logits, axis=1) - ops.sum(SCALE * cosines * ops.cast(own, "float32"), axis=1)
    return _counted(losses, roles == ANCHOR)


def cosine_similarity(vectors: Any, labels: Any) -> LossesAndCounts:
    """Squared difference of a pair's cosine and its score; shapes as of `multiple_negatives`."""
    _, roles, _, scores = ops.unstack(labels, 4, axis=1)
    return _counted(ops.square(ops.diagonal(ops.roll(_cosines(vectors), -1, 1)) - scores), roles == ANCHOR)


def triplet(vectors: Any, labels: Any) -> LossesAndCounts:
    """By how much a negative is not farther than the positive and a margin, in squared distances of unit vectors.

    Shape:
        vectors: `[R, C]`; labels: `[R, 4]`; returns losses and counts, both `[R, R]`, an anchor and a negative of it.

    Source:
        Schroff et al. (2015), "FaceNet", equation 3.
    """
    groups, roles, _, _ = ops.unstack(labels, 4, axis=1)
    distances = 2 - 2 * _cosines(vectors)
    losses = ops.relu(ops.diagonal(ops.roll(distances, -1, 1))[:, None] - distances + MARGIN)
    negatives = ops.logical_and(roles[:, None] == ANCHOR, roles == NEGATIVE)
    return _counted(losses, ops.logical_and(groups[:, None] == groups, negatives))


def pairwise(scores: Any, labels: Any) -> LossesAndCounts:
    """-log sigmoid of the difference, for every two texts of a group of which the first is more relevant.

    Shape:
        scores: `[R, 1]`; labels: `[R, 2]`; returns losses and counts, both `[R, R]`.

    Source:
        Burges et al. (2005), "Learning to Rank using Gradient Descent" (RankNet).
    """
    (groups, relevances), scores = ops.unstack(labels, 2, axis=1), ops.cast(scores, "float32")[:, 0]
    losses = ops.softplus(scores - scores[:, None])
    return _counted(losses, ops.logical_and(groups[:, None] == groups, relevances[:, None] > relevances))


def listwise(scores: Any, labels: Any) -> LossesAndCounts:
    """Cross-entropy of the softmax of a group's scores against that of its relevances; of one text alone it is none.

    Shape:
        scores: `[R, 1]`; labels: `[R, 2]`; returns losses and counts, both `[R]`; a group's counts add up to 1.

    Source:
        Cao et al. (2007), "Learning to Rank: From Pairwise Approach to Listwise Approach" (ListNet).
    """
    (groups, relevances), scores = ops.unstack(labels, 2, axis=1), ops.cast(scores, "float32")[:, 0]
    same = groups[:, None] == groups
    losses = -ops.exp(_group_log_softmax(relevances, same)) * _group_log_softmax(scores, same)
    sizes = ops.sum(ops.cast(same, "float32"), axis=1)
    losses, counted = _counted(losses, sizes > 1)
    return losses, counted / sizes


# By the names of the option `loss`.
COMPARISONS: dict[str, Callable[[Any, Any], LossesAndCounts]] = {
    "multiple-negatives": multiple_negatives,
    "cosine": cosine_similarity,
    "triplet": triplet,
    "pairwise": pairwise,
    "listwise": listwise,
}


def comparison_losses(
    loss: str, pooling: str | None, output: Any, token_mask: Any, labels: Any
) -> list[LossesAndCounts]:
    """What a name of `COMPARISONS` says of a batch.

    Args:
        loss: the name.
        pooling: a name of `POOLINGS`, for a loss of vectors; None for one of scores.
        output: hidden states `[R, L, C]`, or logits `[R, 1]`.
        token_mask: bool `[R, L]`.
        labels: `[R, 4]`, or `[R, 2]`; see the module.
    """
    values = output if pooling is None else pool(output, token_mask, pooling)
    return [COMPARISONS[loss](values, labels)]


def _cosines(vectors: Any) -> Any:
    """`[R, C]` to `[R, R]`."""
    unit = ops.normalize(ops.cast(vectors, "float32"), axis=-1)
    return ops.matmul(unit, ops.transpose(unit))


def _group_log_softmax(values: Any, same: Any) -> Any:
    """The logarithms of the softmax over the rows of each group, `[R]`; same: bool `[R, R]`."""
    return values - ops.logsumexp(ops.where(same, values[None, :], _LOWEST), axis=1)


def _counted(losses: Any, counted: Any) -> LossesAndCounts:
    return ops.where(counted, losses, ops.zeros_like(losses)), ops.cast(counted, "float32")
