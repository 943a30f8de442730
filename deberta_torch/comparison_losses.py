"""Losses of texts that are compared with each other: vectors of pairs and triplets, scores of documents of one query.

Every row of a batch is a text. Labels of vectors are `[R, 4]`, the columns of `VECTOR_LABELS`; of scores `[R, 2]`, the
group (the query) and the relevance. A positive stands right behind its anchor.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from deberta_core.comparisons import ANCHOR, MARGIN, NEGATIVE, POSITIVE, SCALE
from deberta_torch.losses import LossesAndCounts


def pool(hidden: Tensor, token_mask: Tensor, pooling: str) -> Tensor:
    """One vector of those of a text's real tokens, by a name of `POOLINGS`; `[R, L, C]` to float32 `[R, C]`."""
    hidden, real = hidden.float(), token_mask.float()
    if pooling == "max":
        return hidden.masked_fill(~token_mask[..., None], torch.finfo(torch.float32).min).amax(dim=1)
    places = real.cumsum(dim=1)  # from 1
    weights = {"mean": real, "first": real * (places == 1), "weighted": real * places}[pooling]
    return (hidden * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True)


def multiple_negatives(vectors: Tensor, labels: Tensor) -> LossesAndCounts:
    """Cross-entropy of an anchor's own positive among all positives and negatives of the batch, by scaled cosines.

    A text that is equal to the anchor or to its positive is no negative of it.

    Shape:
        vectors: `[R, C]`; labels: `[R, 4]`; returns losses and counts, both `[R]`.

    Source:
        Henderson et al. (2017), "Efficient Natural Language Response Suggestion for Smart Reply", 4.4.
    """
    groups, roles, texts, _ = labels.unbind(dim=1)
    cosines = _cosines(vectors)
    own = (groups[:, None] == groups) & (roles == POSITIVE)
    equal = (texts[:, None] == texts) | (texts.roll(-1)[:, None] == texts)
    candidates = own | ((roles != ANCHOR) & ~equal)
    logits = (SCALE * cosines).masked_fill(~candidates, torch.finfo(torch.float32).min)
    losses = logits.logsumexp(dim=1) - (SCALE * cosines * own).sum(dim=1)
    return _counted(losses, roles == ANCHOR)


def cosine_similarity(vectors: Tensor, labels: Tensor) -> LossesAndCounts:
    """Squared difference of a pair's cosine and its score; shapes as of `multiple_negatives`."""
    _, roles, _, scores = labels.unbind(dim=1)
    return _counted((_cosines(vectors).roll(-1, 1).diagonal() - scores).square(), roles == ANCHOR)


def triplet(vectors: Tensor, labels: Tensor) -> LossesAndCounts:
    """By how much a negative is not farther than the positive and a margin, in squared distances of unit vectors.

    Shape:
        vectors: `[R, C]`; labels: `[R, 4]`; returns losses and counts, both `[R, R]`, an anchor and a negative of it.

    Source:
        Schroff et al. (2015), "FaceNet", equation 3.
    """
    groups, roles, _, _ = labels.unbind(dim=1)
    distances = 2 - 2 * _cosines(vectors)
    losses = F.relu(distances.roll(-1, 1).diagonal()[:, None] - distances + MARGIN)
    return _counted(losses, (groups[:, None] == groups) & (roles[:, None] == ANCHOR) & (roles == NEGATIVE))


def pairwise(scores: Tensor, labels: Tensor) -> LossesAndCounts:
    """-log sigmoid of the difference, for every two texts of a group of which the first is more relevant.

    Shape:
        scores: `[R, 1]`; labels: `[R, 2]`; returns losses and counts, both `[R, R]`.

    Source:
        Burges et al. (2005), "Learning to Rank using Gradient Descent" (RankNet).
    """
    (groups, relevances), scores = labels.unbind(dim=1), scores.float()[:, 0]
    losses = F.softplus(scores - scores[:, None])
    return _counted(losses, (groups[:, None] == groups) & (relevances[:, None] > relevances))


def listwise(scores: Tensor, labels: Tensor) -> LossesAndCounts:
    """Cross-entropy of the softmax of a group's scores against that of its relevances; of one text alone it is none.

    Shape:
        scores: `[R, 1]`; labels: `[R, 2]`; returns losses and counts, both `[R]`; a group's counts add up to 1.

    Source:
        Cao et al. (2007), "Learning to Rank: From Pairwise Approach to Listwise Approach" (ListNet).
    """
    (groups, relevances), scores = labels.unbind(dim=1), scores.float()[:, 0]
    same = groups[:, None] == groups
    losses = -_group_log_softmax(relevances, same).exp() * _group_log_softmax(scores, same)
    sizes = same.sum(dim=1)
    losses, counted = _counted(losses, sizes > 1)
    return losses, counted / sizes


# By the names of the option `loss`.
COMPARISONS: dict[str, Callable[[Tensor, Tensor], LossesAndCounts]] = {
    "multiple-negatives": multiple_negatives,
    "cosine": cosine_similarity,
    "triplet": triplet,
    "pairwise": pairwise,
    "listwise": listwise,
}


def comparison_losses(
    loss: str, pooling: str | None, output: Tensor, token_mask: Tensor, labels: Tensor
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


def _cosines(vectors: Tensor) -> Tensor:
    """`[R, C]` to `[R, R]`."""
    unit = F.normalize(vectors.float(), dim=-1)
    return unit @ unit.T


def _group_log_softmax(values: Tensor, same: Tensor) -> Tensor:
    """The logarithms of the softmax over the rows of each group, `[R]`; same: bool `[R, R]`."""
    return values - values.expand(same.shape).masked_fill(~same, torch.finfo(torch.float32).min).logsumexp(dim=1)


def _counted(losses: Tensor, counted: Tensor) -> LossesAndCounts:
    return torch.where(counted, losses, 0.0), counted.float()
