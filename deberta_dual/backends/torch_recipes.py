"""What a step computes besides the task's loss, in PyTorch: the recipes of `deberta_dual/finetuning/recipes.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from deberta_dual.backends.protocol import TEACHER_LOGITS
from deberta_dual.finetuning.recipes import RecipeOptions
from deberta_torch.divergences import cross_entropies, prediction_kind, prediction_rows, row_mean, symmetric_kl
from deberta_torch.masks import make_masks
from deberta_torch.models import PreTrainedModel
from deberta_torch.sift import SiFT

Batch = dict[str, Tensor]
_TINY = 1e-12  # is added to a norm that may be 0


class Objective:
    """The loss of a batch: the task's, and what was asked for besides; within `with`.

    Args:
        model: as it is, without what shares it among processes.
        options: of the training.
    """

    def __init__(self, model: Any, options: RecipeOptions) -> None:
        self._model, self._options = model, options
        self._sift = SiFT(model, options.sift) if options.sift else None
        terms: dict[str, Callable[[Sequence[Any], Batch], Tensor]] = {
            "r_drop": self._consistency,
            "sift": self._adversarial,
            "teacher_weight": self._distillation,
        }
        asked = {"r_drop": options.r_drop, "sift": options.sift, "teacher_weight": options.teacher is not None}
        self._terms = [(getattr(options, name), term) for name, term in terms.items() if asked[name]]

    @contextmanager
    def __call__(self) -> Iterator[Objective]:
        """While the model is trained."""
        with ExitStack() as held:
            if self._sift is not None:
                held.enter_context(self._sift)
            yield self

    def losses(self, trained: nn.Module, batch: Batch, share: float, row_share: float) -> tuple[Tensor, Tensor]:
        """What a batch adds to the loss of its step.

        Args:
            trained: the model, as processes share it.
            batch: inputs and labels.
            share: of the step's labels, by their weights.
            row_share: of the step's labels.

        Returns:
            of the task alone, and of everything.
        """
        inputs = {name: value for name, value in batch.items() if name != TEACHER_LOGITS}
        outputs = [trained(**inputs, return_dict=True)]
        if self._options.r_drop:
            outputs.append(self._model(**inputs, return_dict=True))
        task = sum(output.loss for output in outputs) / len(outputs) * share
        total = task * (1 - self._options.teacher_weight) if TEACHER_LOGITS in batch else task
        for weight, term in self._terms:
            total = total + weight * row_share * term(outputs, batch)
        return task, total

    def _consistency(self, outputs: Sequence[Any], batch: Batch) -> Tensor:
        """R-Drop: the symmetric divergence of what two dropouts let through."""
        kind = prediction_kind(self._model.config, self._model.spec, batch)
        one, other = (self._rows(output, batch) for output in outputs)
        pairs = zip(one, other, strict=True)
        return row_mean([(symmetric_kl(kind, own, new), counts) for (own, counts), (new, _) in pairs])

    def _adversarial(self, outputs: Sequence[Any], batch: Batch) -> Tensor:
        assert self._sift is not None
        return self._sift.adversarial_loss(outputs[0], batch)

    def _distillation(self, outputs: Sequence[Any], batch: Batch) -> Tensor:
        """The teacher's divergence from the student, both at the temperature, times its square as gradients shrink."""
        temperature = self._options.temperature
        student, teacher = outputs[0].logits.float() / temperature, batch[TEACHER_LOGITS] / temperature
        loss = cross_entropies("classes", teacher, student) - cross_entropies("classes", teacher, teacher)
        return loss.mean() * temperature**2

    def _rows(self, output: Any, batch: Batch) -> list[tuple[Tensor, Tensor]]:
        model, spec = self._model, self._model.spec
        predictions = {name: output[name] for name in spec.output.all_fields if name.endswith("logits")}
        ids = batch["input_ids"]
        token_mask = None
        if spec.loss == "spans":
            token_mask = make_masks(batch["attention_mask"], *ids.shape, ids.device).tokens
        return prediction_rows(model.config, spec, predictions, batch, token_mask)


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
    yield
    with torch.no_grad():
        for parameter, before in kept:
            parameter.copy_(before)


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
        yield
        self.exchange()
