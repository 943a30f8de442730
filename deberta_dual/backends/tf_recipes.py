"""The recipes of `deberta_dual.finetuning.recipes` in Keras: a step of `fit` with more than the task's loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from deberta_core.initialization import draw_adapter
from deberta_dual.backends.protocol import TEACHER_LOGITS
from deberta_dual.finetuning.recipes import RecipeOptions
from deberta_tf.divergences import cross_entropies, prediction_kind, prediction_rows, row_mean, symmetric_kl
from deberta_tf.masks import make_masks
from deberta_tf.sift import SiFT
from deberta_tf.weights import layers_by_parameter, lora_factors

_TINY = 1e-12  # is added to a norm that may be 0


class RecipeStep:
    """What stands in the place of a model's `train_step`; within `with`.

    A batch's weights are `[B, 2]`: of its labels, and of its rows, each the same in all rows.

    Args:
        model: compiled, without a loss.
        options: of the training.
        seed: of what is drawn.
    """

    def __init__(self, model: Any, options: RecipeOptions, seed: int) -> None:
        self._model, self._options = model, options
        self._sift = SiFT(model, options.sift, seed=seed) if options.sift else None
        # What training changes, beside the model and the optimizer.
        self.variables = [] if self._sift is None else [self._sift.random.state]

    def __bool__(self) -> bool:
        """Whether a step is another one than the model's own."""
        options = self._options
        return bool(options.r_drop or options.sift or options.awp or options.teacher)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """While the model is trained, if a step is another one."""
        if not self:
            yield
            return
        self._model.train_step = self.train_step
        if self._sift is None:
            yield
            return
        with self._sift:
            self._model.regularizer = None  # the loss is added here, where it is weighed
            yield

    def train_step(self, data: Any) -> dict[str, Any]:
        """Trains on a batch; returns Keras' metrics, with the loss of the task alone."""
        model, options = self._model, self._options
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        variables = model.trainable_variables
        task, gradients = self._gradients(x, y, weights, variables)
        # The word table may take part in no loss, and positions in no attention: they are left as they are.
        used = [(one, variable) for one, variable in zip(gradients, variables, strict=True) if one is not None]
        found, moved = ([pair[place] for pair in used] for place in (0, 1))
        if options.awp:

            def at_perturbed_weights() -> list[Any]:
                kept = perturb(moved, found, options.awp)
                with tf.control_dependencies(kept):
                    _, others = self._gradients(x, y, weights, moved)
                with tf.control_dependencies(others):
                    for variable, before in zip(moved, kept, strict=True):
                        variable.assign(before)
                return [*others]

            begins = ops.greater_equal(model.optimizer.iterations, options.awp_start)
            found = tf.cond(begins, at_perturbed_weights, lambda: [*found])
        model.optimizer.apply_gradients(zip(found, moved, strict=True))
        tracker = next(metric for metric in model.metrics if metric.name == "loss")
        tracker.update_state(task, sample_weight=ops.shape(weights)[0])
        result: dict[str, Any] = model.get_metrics_result()
        return result

    def _gradients(self, x: Any, y: Any, weights: Any, variables: list[Any]) -> tuple[Any, list[Any]]:
        """The loss of the task, and the dense gradients of all; None of variables that take no part."""
        with tf.GradientTape() as tape:
            task, total = self.losses(x, y, weights)
        values = [variable.value for variable in variables]
        found = tape.gradient(total, values)
        return task, [None if one is None else tf.convert_to_tensor(one) for one in found]

    def losses(self, x: Mapping[str, Any], y: Mapping[str, Any], weights: Any) -> tuple[Any, Any]:
        """What a batch adds to the loss of its step: of the task alone, and with all that was asked for.

        Source:
            Wu et al. (2021), R-Drop: equations 2 and 3; He et al. (2020): SiFT; Hinton et al. (2015), section 2.
        """
        model, options = self._model, self._options
        share, row_share = weights[0, 0], weights[0, 1]
        labels = {name: value for name, value in y.items() if name != TEACHER_LOGITS}
        output = model(x, training=True, return_dict=True)
        task, added = self._own_loss(x, labels, output), 0.0
        if self._sift is not None:  # first: it remembers the embeddings of the last pass
            added = added + self._sift.loss(output, **x, **labels)
        if options.r_drop:
            other = model(x, training=True, return_dict=True)
            task = (task + self._own_loss(x, labels, other)) / 2
            added = added + options.r_drop * self._consistency(output, other, x, labels)
        if TEACHER_LOGITS in y:
            task = task * (1 - options.teacher_weight)
            added = added + options.teacher_weight * self._distillation(output, y[TEACHER_LOGITS], labels)
        return task * share, task * share + added * row_share

    def _own_loss(self, x: Any, labels: Any, output: Any) -> Any:
        return self._model.compute_loss(x, labels, output, None, training=True)

    def _consistency(self, one: Any, other: Any, x: Mapping[str, Any], labels: Mapping[str, Any]) -> Any:
        kind = prediction_kind(self._model.config, self._model.spec, labels)
        pairs = zip(self._rows(one, x, labels), self._rows(other, x, labels), strict=True)
        return row_mean([(symmetric_kl(kind, own, new), counts) for (own, counts), (new, _) in pairs])

    def _distillation(self, output: Any, teacher: Any, labels: Mapping[str, Any]) -> Any:
        """The teacher's divergence from the student at the temperature, times its square: gradients shrink with it."""
        temperature = self._options.teacher_temperature
        kind = prediction_kind(self._model.config, self._model.spec, labels)
        student, teacher = ops.cast(output["logits"], "float32") / temperature, teacher / temperature
        losses = cross_entropies(kind, teacher, student) - cross_entropies(kind, teacher, teacher)
        return ops.mean(losses) * temperature**2

    def _rows(self, output: Any, x: Mapping[str, Any], labels: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        spec = self._model.spec
        predictions = {name: output[name] for name in spec.output.all_fields if name.endswith("logits")}
        token_mask = None
        if spec.loss == "spans":
            token_mask = make_masks(x["attention_mask"], *ops.shape(x["input_ids"])).tokens
        return prediction_rows(self._model.config, spec, predictions, labels, token_mask)


def perturb(variables: list[Any], gradients: list[Any], epsilon: float) -> list[Any]:
    """Moves every matrix along its gradient, by a share of its norm; returns what they all were before.

    Source:
        Wu et al. (2020), adversarial weight perturbation, equations 8 to 10, with one step; norms are of each matrix.
    """
    kept = []
    for variable, gradient in zip(variables, gradients, strict=True):
        before = tf.identity(variable.value)
        kept.append(before)
        if len(variable.shape) > 1:
            with tf.control_dependencies([before]):
                length = epsilon * tf.norm(before) / (tf.norm(gradient) + _TINY)
                variable.assign(before + gradient * length)
    return kept


class WeightAverage:
    """The exponential moving average of the weights that are trained; it begins with the first of them.

    Args:
        model: with its weights before the training.
        decay: the share of the average that stays in a step; 0: there are no averages.
    """

    def __init__(self, model: Any, decay: float) -> None:
        self._variables = [*model.trainable_variables] if decay else []
        self.averages = [keras.Variable(_copied(variable), trainable=False) for variable in self._variables]
        self._decay = decay

    def update(self) -> None:
        """A step was taken."""
        for average, variable in zip(self.averages, self._variables, strict=True):
            average.assign(average + (1 - self._decay) * (variable - average))

    def exchange(self) -> None:
        """Puts the averages into the model, and its weights in their place; a second time puts both back."""
        for average, variable in zip(self.averages, self._variables, strict=True):
            weights, averages = _copied(variable), _copied(average)
            variable.assign(averages)
            average.assign(weights)


def _copied(variable: keras.Variable) -> np.ndarray:
    """The values, which do not change with the variable: Keras makes a variable of another's memory."""
    return np.array(variable.numpy())


def add_adapters(model: Any, options: RecipeOptions, seed: int) -> dict[str, list[Any]]:
    """Gives the attention's layers an adapter each and freezes the rest of the backbone.

    Returns:
        the factors of every adapter, by the parameter that they add to; none without a rank.
    """
    if not options.lora_rank:
        return {}
    model.enable_lora(options.lora_rank, lora_alpha=options.lora_alpha)
    found = {}
    for name, layer in layers_by_parameter(model).items():
        if name.endswith("weight") and getattr(layer, "lora_enabled", False):
            first, second = found[name] = [*lora_factors(layer)]
            first.assign(np.ascontiguousarray(draw_adapter(name, options.lora_rank, first.shape[0], seed).T))
            second.assign(ops.zeros_like(second))
    return found
