"""The losses (NUMERICS 6): one value per example in float32, and their mean, 0 where every label is ignored."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from deberta_core.config import BaseConfig
from deberta_core.tasks import sequence_problem


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Negative log-probability of the labels; negative labels do not count.

    Shape:
        logits: `[B, N]`; labels: `[B]` or `[B, 1]`, integers; returns losses and counts (0 or 1), both `[B]`.
    """
    labels = labels.reshape(-1).long()
    counted = labels >= 0
    losses = F.cross_entropy(logits.float(), labels.clamp(min=0), reduction="none")
    return torch.where(counted, losses, 0.0), counted.float()


def soft_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy against a distribution per row; `[B, N]` twice to losses and counts `[B]`."""
    losses = -(logits.float().log_softmax(dim=-1) * labels.float()).sum(dim=-1)
    return losses, torch.ones_like(losses)


def binary_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy with logits, mean over the labels; `[B, N]` twice to losses and counts `[B]`."""
    losses = F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none").mean(dim=-1)
    return losses, torch.ones_like(losses)


def mean_squared_error(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Squared difference, mean over the numbers; `[B, N]` and as many labels to losses and counts `[B]`."""
    losses = (logits.float() - labels.float().reshape(logits.shape)).square().mean(dim=-1)
    return losses, torch.ones_like(losses)


_SEQUENCE_LOSSES: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "regression": mean_squared_error,
    "single_label_classification": cross_entropy,
    "multi_label_classification": binary_cross_entropy,
    "soft_labels": soft_cross_entropy,
}


def sequence_classification_losses(config: BaseConfig, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The losses `sequence_problem` names, of `logits [B, N]` against `labels`; losses and counts, both `[B]`."""
    return _SEQUENCE_LOSSES[sequence_problem(config, labels.shape)](logits, labels)


def mean_loss(losses: Tensor, counts: Tensor) -> Tensor:
    """The mean over what counts, a scalar; 0 if nothing does.

    Shape:
        losses, counts: `[B]`; losses are 0 where counts are.
    """
    return losses.sum() / counts.sum().clamp(min=1)
