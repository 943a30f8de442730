"""The recipes of `deberta_dual.finetuning.recipes` in PyTorch: what a step computes besides the task's loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from deberta_dual.finetuning.recipes import RecipeOptions
from deberta_torch.divergences import cross_entropies, prediction_kind, prediction_rows, row_mean, symmetric_kl
from deberta_torch.masks import make_masks
from deberta_torch.models import PreTrainedModel
from deberta_torch.sift import SiFT

Batch = dict[str, Tensor]
_TINY = 1e-12  # is added to a norm that may be 0


class Terms:
    """What is added to the loss of a batch; within `with`.

    Args:
        model: as it is, without what shares it among processes.
        options: of the training.
    """

    def __init__(self, model: Any, options: RecipeOptions) -> None:
        self._model, self._options = model, options
        self._sift = SiFT(model, options.sift) if options.sift else None

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._options.r_drop or self._options.sift or self._options.teacher)

    def __enter__(self) -> Self:
        if self._sift is not None:
            self._sift.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._sift is not None:
            self._sift.__exit__(*error)

    def of(self, output: Any, batch: Batch, teacher: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The task's loss, and what is added to it; both are means.

        R-Drop passes the batch through the model once more; the task's loss is then the mean of both passes.

        Args:
            output: of the model for the batch, in training mode.
            batch: inputs and labels.
            teacher: what another model says of it, logits `[B, N]`; the labels then have the rest of the loss.

        Source:
            Wu et al. (2021), R-Drop: equations 2 and 3; He et al. (2020): SiFT; Hinton et al. (2015), section 2.
        """
        loss, added = output.loss, output.loss.new_zeros(())
        if self._sift is not None:  # first: it remembers the embeddings of the last pass
            added = added + self._sift.loss(output, **batch)
        if self._options.r_drop:
            other = self._model(**batch, return_dict=True)
            loss = (loss + other.loss) / 2
            added = added + self._options.r_drop * self._consistency(output, other, batch)
        if teacher is not None:
            loss = loss * (1 - self._options.teacher_weight)
            added = added + self._options.teacher_weight * self._distillation(output, teacher, batch)
        return loss, added

    def _distillation(self, output: Any, teacher: Tensor, batch: Batch) -> Tensor:
        """The teacher's divergence from the student at the temperature, times its square: gradients shrink with it."""
        temperature = self._options.teacher_temperature
        kind = prediction_kind(self._model.config, self._model.spec, batch)
        student, teacher = output.logits.float() / temperature, teacher / temperature
        losses = cross_entropies(kind, teacher, student) - cross_entropies(kind, teacher, teacher)
        return losses.mean() * temperature**2

    def _consistency(self, one: Any, other: Any, batch: Batch) -> Tensor:
        kind = prediction_kind(self._model.config, self._model.spec, batch)
        pairs = zip(self._rows(one, batch), self._rows(other, batch), strict=True)
        return row_mean([(symmetric_kl(kind, own, new), counts) for (own, counts), (new, _) in pairs])

    def _rows(self, output: Any, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        spec, ids = self._model.spec, batch["input_ids"]
        predictions = {name: output[name] for name in spec.output.all_fields if name.endswith("logits")}
        token_mask = None
        if spec.loss == "spans":
            token_mask = make_masks(batch["attention_mask"], len(ids), ids.shape[1], ids.device).tokens
        return prediction_rows(self._model.config, spec, predictions, batch, token_mask)


@contextmanager
def perturbed(model: nn.Module, epsilon: float) -> Iterator[None]:
    """Moves every weight matrix along its gradient, by a share of its norm, and back at the end; gradients are emptied.

    Source:
        Wu et al. (2020), adversarial weight perturbation, equations 8 to 10, with one step; norms are of each matrix.
    """
    kept: list[tuple[Tensor, Tensor]] = []
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None and parameter.dim() > 1:
                kept.append((parameter, parameter.clone()))
                length = epsilon * parameter.norm() / (parameter.grad.norm() + _TINY)
                parameter.add_(parameter.grad * length)
            parameter.grad = None
    try:
        yield
    finally:
        with torch.no_grad():
            for moved, before in kept:
                moved.copy_(before)


class WeightAverage:
    """The exponential moving average of the weights that are trained; it begins with the first of them.

    Args:
        model: with its weights before the training.
        decay: the share of the average that stays in a step.
    """

    def __init__(self, model: PreTrainedModel, decay: float) -> None:
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.averages = [parameter.detach().clone() for parameter in self._parameters]
        self._decay = decay

    @torch.no_grad()
    def update(self) -> None:
        """A step was taken."""
        for average, parameter in zip(self.averages, self._parameters, strict=True):
            average.lerp_(parameter, 1 - self._decay)

    @torch.no_grad()
    def exchange(self) -> None:
        """Puts the averages into the model, and its weights in their place; a second time puts both back."""
        for average, parameter in zip(self.averages, self._parameters, strict=True):
            weights = parameter.clone()
            parameter.copy_(average)
            average.copy_(weights)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While the averages are the model's weights."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()
