"""The losses (NUMERICS 6): one value per label in float32 or better, and their mean, 0 where every label is ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from deberta_core.config import BaseConfig
from deberta_core.loss_options import PLAIN, LossOptions
from deberta_core.tasks import sequence_problem
from deberta_torch.kernels.eager import wide

LossesAndCounts = tuple[Tensor, Tensor]
Named = Mapping[str, Tensor]
_CERTAIN = 1e-7  # the least that 1 - p may be, where its power is taken: the slope at 0 may be infinite


def cross_entropy(logits: Tensor, labels: Tensor, options: LossOptions = PLAIN) -> LossesAndCounts:
    """Negative log-probability of the labels; negative labels do not count.

    Shape:
        logits: `[..., N]`; labels: `[...]`, or with a last axis of 1, integers; returns losses and counts (0 or 1, or
        the weight of the class), both `[...]`.
    """
    labels = labels.reshape(logits.shape[:-1]).long()
    counted = labels >= 0
    flat, chosen = wide(logits).flatten(0, -2), labels.clamp(min=0).flatten()
    weights = None if options.class_weights is None else flat.new_tensor(options.class_weights)
    losses = F.cross_entropy(flat, chosen, weights, reduction="none", label_smoothing=options.label_smoothing)
    if options.focal_gamma:
        losses = losses * _focus(F.cross_entropy(flat, chosen, reduction="none"), options.focal_gamma)
    counts = counted.float() if weights is None else counted * weights[chosen].reshape(labels.shape)
    return torch.where(counted, losses.reshape(labels.shape), 0.0), counts


def span_cross_entropy(logits: Tensor, positions: Tensor, token_mask: Tensor) -> LossesAndCounts:
    """Negative log-probability of a position, over the real positions of each text.

    Positions are clipped to [0, L]; L, and padding, do not count; 0 (no answer) means the context token.

    Shape:
        logits: `[B, L]`; positions: `[B]` or `[B, 1]`, integers; token_mask: bool `[B, L]`; returns losses and counts,
        both `[B]`.
    """
    length = logits.shape[1]
    positions = positions.reshape(-1).long().clamp(0, length)
    positions = torch.where(positions == 0, token_mask.int().argmax(dim=1), positions)
    is_real = token_mask.gather(1, positions.clamp(max=length - 1)[:, None])[:, 0]
    kept = wide(logits).masked_fill(~token_mask, torch.finfo(torch.float32).min)
    return cross_entropy(kept, torch.where(is_real & (positions < length), positions, -1))


def soft_cross_entropy(logits: Tensor, labels: Tensor, options: LossOptions = PLAIN) -> LossesAndCounts:
    """Cross-entropy against a distribution per row; `[B, N]` twice to losses and counts `[B]`."""
    logits = wide(logits)
    losses = -(logits.log_softmax(dim=-1) * labels.to(logits.dtype)).sum(dim=-1)
    return losses, torch.ones_like(losses)


def binary_cross_entropy(logits: Tensor, labels: Tensor, options: LossOptions = PLAIN) -> LossesAndCounts:
    """Binary cross-entropy with logits, mean over the labels; `[B, N]` twice to losses and counts `[B]`."""
    logits = wide(logits)
    labels = labels.to(logits.dtype)
    if options.label_smoothing:
        labels = labels * (1 - options.label_smoothing) + options.label_smoothing / 2
    elements = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    if options.focal_gamma:
        elements = elements * _focus(elements, options.focal_gamma)
    losses = elements.mean(dim=-1)
    return losses, torch.ones_like(losses)


def mean_squared_error(logits: Tensor, labels: Tensor, options: LossOptions = PLAIN) -> LossesAndCounts:
    """Squared difference, mean over the numbers; `[B, N]` and as many labels to losses and counts `[B]`."""
    logits = wide(logits)
    losses = (logits - labels.to(logits.dtype).reshape(logits.shape)).square().mean(dim=-1)
    return losses, torch.ones_like(losses)


_SEQUENCE_LOSSES: dict[str, Callable[[Tensor, Tensor, LossOptions], LossesAndCounts]] = {
    "regression": mean_squared_error,
    "single_label_classification": cross_entropy,
    "multi_label_classification": binary_cross_entropy,
    "soft_labels": soft_cross_entropy,
}


def sequence_classification_losses(
    config: BaseConfig, predictions: Named, labels: Named, token_mask: Tensor, options: LossOptions = PLAIN
) -> list[LossesAndCounts]:
    """What `sequence_problem` names, of `logits [B, N]` against `labels`."""
    logits, targets = predictions["logits"], labels["labels"]
    return [_SEQUENCE_LOSSES[sequence_problem(config, targets.shape)](logits, targets, options)]


def label_losses(
    config: BaseConfig, predictions: Named, labels: Named, token_mask: Tensor, options: LossOptions = PLAIN
) -> list[LossesAndCounts]:
    """Cross-entropy of `logits [..., N]` against `labels [...]`: masked LM, tokens, choices."""
    return [cross_entropy(predictions["logits"], labels["labels"], options)]


def question_answering_losses(
    config: BaseConfig, predictions: Named, labels: Named, token_mask: Tensor, options: LossOptions = PLAIN
) -> list[LossesAndCounts]:
    """Those of the start and of the end of the answer."""
    return [
        span_cross_entropy(predictions[f"{side}_logits"], labels[f"{side}_positions"], token_mask)
        for side in ("start", "end")
    ]


def replaced_token_losses(
    config: BaseConfig, predictions: Named, labels: Named, token_mask: Tensor, options: LossOptions = PLAIN
) -> list[LossesAndCounts]:
    """Binary cross-entropy of `logits [B, L]` at the tokens whose label is 0 or 1."""
    logits, targets = wide(predictions["logits"]), labels["labels"]
    counted = targets >= 0
    losses = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")
    return [(torch.where(counted, losses, 0.0), counted.float())]


# What `TaskSpec.loss` names.
LOSSES: dict[str, Callable[[BaseConfig, Named, Named, Tensor, LossOptions], list[LossesAndCounts]]] = {
    "cross_entropy": label_losses,
    "by_problem": sequence_classification_losses,
    "spans": question_answering_losses,
    "replaced": replaced_token_losses,
}


def mean_loss(parts: list[LossesAndCounts]) -> Tensor:  # D8
    """The mean over what counts, 0 if nothing does, and the mean of that over the parts; a scalar.

    Shape:
        losses, counts: of any one shape; losses are 0 where counts are.
    """
    totals = [(losses.sum(), counts.sum()) for losses, counts in parts]
    return torch.stack([loss / torch.where(count > 0, count, 1.0) for loss, count in totals]).mean()


def _focus(losses: Tensor, gamma: float) -> Tensor:
    """The power of 1 - p, of the negative logarithms of p."""
    return (-torch.expm1(-losses)).clamp(min=_CERTAIN) ** gamma
