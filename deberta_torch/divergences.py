"""How far two predictions of one model are apart, a number for every row that counts (NUMERICS 9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from deberta_core.config import BaseConfig
from deberta_core.tasks import TaskSpec, sequence_problem

LogitsAndCounts = tuple[Tensor, Tensor]
Named = Mapping[str, Tensor]


def prediction_rows(
    config: BaseConfig, spec: TaskSpec, predictions: Named, labels: Named, token_mask: Tensor | None
) -> list[LogitsAndCounts]:
    """The logits that are compared, and which of their rows count.

    There is a row for each example; where every token has one, for those with a label; and for question answering two,
    of the start and of the end, over real positions.

    Shape:
        token_mask: bool `[B, L]`, read for question answering alone; returns float32 (or float64) `[..., N]` and counts
        (0 or 1) `[...]`.
    """
    if spec.loss == "spans":
        assert token_mask is not None
        masked = (
            _precise(values).masked_fill(~token_mask, torch.finfo(torch.float32).min) for values in _both(predictions)
        )
        return [(values, torch.ones_like(values[:, 0])) for values in masked]
    logits = _precise(predictions["logits"])
    if not spec.per_token:
        return [(logits, torch.ones_like(logits[..., 0]))]
    return [(logits, (labels["labels"].reshape(logits.shape[:-1]) >= 0).to(logits.dtype))]


def prediction_kind(config: BaseConfig, spec: TaskSpec, labels: Named) -> str:
    """What logits say: "classes", of which one is right; "labels", of which any may be true; or "numbers"."""
    if spec.loss != "by_problem":
        return "classes"
    problem = sequence_problem(config, labels["labels"].shape)
    return {"regression": "numbers", "multi_label_classification": "labels"}.get(problem, "classes")


def cross_entropies(kind: str, given: Tensor, logits: Tensor) -> Tensor:
    """Cross-entropy of logits against the probabilities that others give; of numbers the squared difference.

    What is given is taken as it is: it gets no gradient.

    Shape:
        given, logits: `[..., N]`; returns `[...]`.
    """
    return _CROSS_ENTROPIES[kind](given.detach(), logits)


def symmetric_kl(kind: str, one: Tensor, other: Tensor) -> Tensor:
    """Mean of the two Kullback-Leibler divergences; of numbers the squared difference.

    Shape:
        one, other: `[..., N]`; returns `[...]`.
    """
    return _SYMMETRIC[kind](one, other)


def row_sum(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The sum over the rows that count; of values and counts `[...]`."""
    return torch.stack([torch.where(counts > 0, values, 0.0).sum() for values, counts in parts]).sum()


def row_mean(parts: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The mean over the rows that count, 0 if none does; of values and counts `[...]`."""
    return row_sum(parts) / torch.stack([counts.sum() for _, counts in parts]).sum().clamp(min=1)


def _both(predictions: Named) -> tuple[Tensor, Tensor]:
    return predictions["start_logits"], predictions["end_logits"]


def _precise(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _of_classes(given: Tensor, logits: Tensor) -> Tensor:
    return -(given.softmax(-1) * logits.log_softmax(-1)).sum(-1)


def _of_labels(given: Tensor, logits: Tensor) -> Tensor:
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, given.sigmoid(), reduction="none").mean(-1)


def _squares(given: Tensor, logits: Tensor) -> Tensor:
    return (logits - given).square().mean(-1)


def _kl_of_classes(one: Tensor, other: Tensor) -> Tensor:
    one, other = one.log_softmax(-1), other.log_softmax(-1)
    return ((one.exp() - other.exp()) * (one - other)).sum(-1) / 2


def _kl_of_labels(one: Tensor, other: Tensor) -> Tensor:
    return ((one.sigmoid() - other.sigmoid()) * (one - other)).mean(-1) / 2


_Distances = Mapping[str, Callable[[Tensor, Tensor], Tensor]]
_CROSS_ENTROPIES: _Distances = {"classes": _of_classes, "labels": _of_labels, "numbers": _squares}
_SYMMETRIC: _Distances = {"classes": _kl_of_classes, "labels": _kl_of_labels, "numbers": _squares}
