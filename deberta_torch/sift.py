"""SiFT: a regulariser for fine-tuning, by perturbed embeddings (NUMERICS 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deberta_core.errors import InputError, one_of
from deberta_torch.divergences import cross_entropies, prediction_kind, prediction_rows, row_mean, row_sum, symmetric_kl
from deberta_torch.masks import make_masks
from deberta_torch.task_models import TaskModel

DISTANCES = ("kl", "mse")
_EPSILON = 1e-7  # of the norm without scale and shift
_SMALLEST = 1e-6  # is added to what the gradient is divided by


class SiFT:
    """Scale-invariant fine-tuning: the model should say the same of embeddings that are moved a little.

    While it is on (`with`), the embeddings' LayerNorm reads normalised vectors in training; a saved model, and
    evaluation, know nothing of it.

        with SiFT(model) as sift:
            for batch in batches:
                output = model(**batch)
                loss = output.loss + sift.loss(output, **batch)

    Args:
        model: of a task; in several processes the module that `DistributedDataParallel` wraps.
        weight: of the adversarial loss; the paper's 5, or 3 for v3-xsmall.
        radius: deviation of the first perturbation, which is clipped at twice that.
        step_size: of the one step towards the largest difference.
        distance: "kl", or "mse" of the logits; that of regression is the squared difference.

    Attributes:
        kl: mean symmetric divergence of the last clean and perturbed predictions; without gradient.

    Raises:
        InputError: the model has no task, or the distance is unknown.

    Source:
        He et al. (2020), DeBERTa, section 4; microsoft/DeBERTa, sift/sift.py. Padding does not count here.
    """

    def __init__(
        self,
        model: TaskModel,
        weight: float = 5.0,
        radius: float = 1e-2,
        step_size: float = 1e-4,
        distance: str = "kl",
    ) -> None:
        if not isinstance(model, TaskModel):
            raise InputError(f"model is a {type(model).__name__}, not one of a task. Give the one that is trained.")
        if distance not in DISTANCES:
            raise InputError(one_of("distance", distance, DISTANCES))
        self.model, self.weight, self.radius, self.step_size = model, weight, radius, step_size
        self.distance = distance
        self.kl: Tensor | None = None
        self._perturbation: Tensor | None = None
        self._normalised: Tensor | None = None
        self._hook: Any = None

    def __enter__(self) -> Self:
        """Switches it on."""
        self._hook = self.model.deberta.embeddings.LayerNorm.register_forward_pre_hook(self._before_norm)
        return self

    def __exit__(self, *error: Any) -> None:
        """Switches it off."""
        self._hook.remove()
        self._hook = self._normalised = None

    def loss(self, output: Any, **batch: Any) -> Tensor:
        """The adversarial loss times its weight; a scalar, to be added to the task's.

        Args:
            output: of the model for this batch, in training mode.
            **batch: inputs and labels, as the model was given them.
        """
        return self.weight * self.adversarial_loss(output, batch)

    def adversarial_loss(self, output: Any, batch: Mapping[str, Any], perturbation: Tensor | None = None) -> Tensor:
        """The adversarial loss; see `loss`.

        Args:
            output: of the model for this batch, in training mode.
            batch: inputs and labels, by name.
            perturbation: the first one, `[B, L, C]`, of the folded texts of multiple choice; None: drawn.

        Raises:
            InputError: it is not on, or the model was not in training mode.
        """
        if self._normalised is None:
            raise InputError("SiFT has seen no output of this model. Call the model in training mode, within `with`.")
        spec = self.model.spec
        labels = {name: batch[name] for name in spec.labels}
        inputs = {name: value for name, value in batch.items() if name not in labels}
        kind = "numbers" if self.distance == "mse" else prediction_kind(self.model.config, spec, labels)
        clean = self._rows(output, inputs, labels)
        first = self._draw() if perturbation is None else perturbation
        first = first.detach().requires_grad_()
        found = self._rows(self._perturbed(first, inputs), inputs, labels)
        ascent = [
            (cross_entropies(kind, own, new), counts) for (own, counts), (new, _) in zip(clean, found, strict=True)
        ]
        (gradient,) = torch.autograd.grad(row_sum(ascent), first)
        found = self._rows(self._perturbed(self._ascend(first.detach(), gradient), inputs), inputs, labels)
        pairs = [(own, new, counts) for (own, counts), (new, _) in zip(clean, found, strict=True)]
        self.kl = row_mean([(symmetric_kl(kind, own, new), counts) for own, new, counts in pairs]).detach()
        return row_mean(
            [(cross_entropies(kind, own, new) + cross_entropies(kind, new, own), counts) for own, new, counts in pairs]
        )

    def _before_norm(self, norm: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor] | None:
        """What the embeddings' LayerNorm reads instead of their sum."""
        if not norm.training:
            return None
        hidden = F.layer_norm(arguments[0], arguments[0].shape[-1:], eps=_EPSILON)
        if self._perturbation is not None:
            return (hidden.detach() + self._perturbation,)
        self._normalised = hidden.detach()
        return (hidden,)

    def _perturbed(self, perturbation: Tensor, inputs: Mapping[str, Any]) -> Any:
        self._perturbation = perturbation
        try:
            return self.model(**{**inputs, "return_dict": True})
        finally:
            self._perturbation = None

    def _draw(self) -> Tensor:
        assert self._normalised is not None
        noise = torch.empty_like(self._normalised).normal_(0.0, self.radius)
        return noise.clamp_(-2 * self.radius, 2 * self.radius)

    def _ascend(self, first: Tensor, gradient: Tensor) -> Tensor:
        largest = gradient.abs().amax(dim=-1, keepdim=True)
        moved = first + self.step_size * gradient / (largest + _SMALLEST)
        return torch.where(gradient.isfinite().all(dim=-1, keepdim=True), moved, first)

    def _rows(
        self, output: Any, inputs: Mapping[str, Any], labels: Mapping[str, Tensor]
    ) -> list[tuple[Tensor, Tensor]]:
        predictions = {name: output[name] for name in self.model.spec.output.all_fields if name.endswith("logits")}
        token_mask = None
        if self.model.spec.loss == "spans":
            scores = next(iter(predictions.values()))  # [B, L]
            token_mask = make_masks(inputs.get("attention_mask"), len(scores), scores.shape[1], scores.device).tokens
        return prediction_rows(self.model.config, self.model.spec, predictions, labels, token_mask)
