"""SiFT: a regulariser for fine-tuning, by perturbed embeddings (NUMERICS 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import keras
from keras import ops

from deberta_core.errors import InputError, one_of
from deberta_tf.divergences import cross_entropies, prediction_kind, prediction_rows, row_mean, row_sum, symmetric_kl
from deberta_tf.masks import make_masks
from deberta_tf.task_models import TaskModel

DISTANCES = ("kl", "mse")
_EPSILON = 1e-7  # of the norm without scale and shift
_SMALLEST = 1e-6  # is added to what the gradient is divided by


class SiFT:
    """Scale-invariant fine-tuning: the model should say the same of embeddings that are moved a little.

    While it is on (`with`), the embeddings' LayerNorm reads normalised vectors in training, and `fit` adds the
    adversarial loss; a saved model, and evaluation, know nothing of it.

        model.compile(optimizer)
        SiFT(model).fit(x, y, epochs=3)

    In mixed bfloat16 the embeddings have too few digits for a step of 1e-4.

    Args:
        model: of a task.
        weight: of the adversarial loss; the paper's 5, or 3 for v3-xsmall.
        radius: deviation of the first perturbation, which is clipped at twice that.
        step_size: of the one step towards the largest difference.
        distance: "kl", or "mse" of the logits; that of regression is the squared difference.
        seed: of the perturbations; None: Keras' own.

    Attributes:
        kl: mean symmetric divergence of the last clean and perturbed predictions; without gradient.

    Raises:
        InputError: the model has no task, the distance is unknown, or Keras does not run on TensorFlow.

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
        seed: int | None = None,
    ) -> None:
        if not isinstance(model, TaskModel):
            raise InputError(f"model is a {type(model).__name__}, not one of a task. Give the one that is trained.")
        if distance not in DISTANCES:
            raise InputError(one_of("distance", distance, DISTANCES))
        if keras.backend.backend() != "tensorflow":
            raise InputError(f"Keras runs on {keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow for SiFT.")
        self.model, self.weight, self.radius, self.step_size = model, weight, radius, step_size
        self.distance = distance
        self.random = keras.random.SeedGenerator(seed)
        self.kl: Any = None
        self._perturbation: Any = None
        self._normalised: Any = None

    def __enter__(self) -> Self:
        """Switches it on.

        Raises:
            InputError: the model is compiled to score labelled tokens alone.
        """
        if getattr(self.model, "labelled_logits_only", False):
            raise InputError("SiFT compares the logits of all tokens. Compile without labelled_logits_only.")
        self._set(self._before_norm, self)
        return self

    def __exit__(self, *error: Any) -> None:
        """Switches it off."""
        self._set(None, None)
        self._normalised = None

    def fit(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """The model's `fit`, with the adversarial loss."""
        with self:
            return self.model.fit(x, y, *arguments, **options)

    def loss(self, output: Any, **batch: Any) -> Any:
        """The adversarial loss times its weight; a scalar, to be added to the task's.

        Args:
            output: of the model for this batch, in training mode.
            **batch: inputs and labels, as the model was given them.
        """
        return self.weight * self.adversarial_loss(output, batch)

    def adversarial_loss(self, output: Any, batch: Mapping[str, Any], perturbation: Any = None) -> Any:
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
        import tensorflow as tf

        spec = self.model.spec
        labels = {name: batch[name] for name in spec.labels}
        inputs = {name: value for name, value in batch.items() if name not in labels}
        kind = "numbers" if self.distance == "mse" else prediction_kind(self.model.config, spec, labels)
        clean = self._rows(output, inputs, labels)
        first = ops.stop_gradient(self._draw() if perturbation is None else ops.convert_to_tensor(perturbation))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(first)
            found = self._rows(self._perturbed(first, inputs), inputs, labels)
            ascent = row_sum(
                [
                    (cross_entropies(kind, own, new), counts)
                    for (own, counts), (new, _) in zip(clean, found, strict=True)
                ]
            )
        second = ops.stop_gradient(self._ascend(first, tape.gradient(ascent, first)))
        found = self._rows(self._perturbed(second, inputs), inputs, labels)
        pairs = [(own, new, counts) for (own, counts), (new, _) in zip(clean, found, strict=True)]
        self.kl = ops.stop_gradient(row_mean([(symmetric_kl(kind, own, new), counts) for own, new, counts in pairs]))
        return row_mean(
            [(cross_entropies(kind, own, new) + cross_entropies(kind, new, own), counts) for own, new, counts in pairs]
        )

    def _set(self, before_norm: Any, regularizer: Any) -> None:
        self.model.deberta.embeddings.before_norm, self.model.regularizer = before_norm, regularizer
        self.model.train_function = None  # it was traced without, or with

    def _before_norm(self, hidden: Any) -> Any:
        """What the embeddings' LayerNorm reads instead of their sum."""
        precise = ops.cast(hidden, "float32")
        mean, variance = ops.moments(precise, axes=-1, keepdims=True)
        normalised = (precise - mean) * ops.rsqrt(variance + _EPSILON)
        if self._perturbation is not None:
            return ops.cast(ops.stop_gradient(normalised) + self._perturbation, hidden.dtype)
        self._normalised = ops.stop_gradient(normalised)
        return ops.cast(normalised, hidden.dtype)

    def _perturbed(self, perturbation: Any, inputs: Mapping[str, Any]) -> Any:
        self._perturbation = perturbation
        try:
            return self.model(inputs, return_dict=True, training=True)
        finally:
            self._perturbation = None

    def _draw(self) -> Any:
        noise = keras.random.normal(ops.shape(self._normalised), 0.0, self.radius, "float32", seed=self.random)
        return ops.clip(noise, -2 * self.radius, 2 * self.radius)

    def _ascend(self, first: Any, gradient: Any) -> Any:
        largest = ops.max(ops.absolute(gradient), axis=-1, keepdims=True)
        moved = first + self.step_size * gradient / (largest + _SMALLEST)
        return ops.where(ops.all(ops.isfinite(gradient), axis=-1, keepdims=True), moved, first)

    def _rows(self, output: Any, inputs: Mapping[str, Any], labels: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        predictions = {name: output[name] for name in self.model.spec.output.all_fields if name.endswith("logits")}
        token_mask = None
        if self.model.spec.loss == "spans":
            size = ops.shape(next(iter(predictions.values())))
            token_mask = make_masks(inputs.get("attention_mask"), *size).tokens
        return prediction_rows(self.model.config, self.model.spec, predictions, labels, token_mask)
