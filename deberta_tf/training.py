"""What `fit`, `evaluate` and `predict` need beyond the forward pass."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops, tree

from deberta_core.errors import DebertaWarning, InputError
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.loss_options import PLAIN, LossOptions
from deberta_tf.calls import Called
from deberta_tf.checks import check_fit_labels, is_jax_traced
from deberta_tf.class_weights import applies_per_token, check_class_weight, weigh_tokens
from deberta_tf.distribution import gather_rows, replica_count
from deberta_tf.inputs import named_labels
from deberta_tf.layers import take_tokens
from deberta_tf.losses import LOSSES, labelled_tokens, mean_loss
from deberta_tf.masks import make_masks


class Trained(keras.Model):
    """The training side of a task model, mixed into it.

    Labels may be y, or be inside a dict x. `compile(optimizer)` trains with the head's own loss; a loss or metric
    given to `compile` is applied to the logits (to a list of both for question answering).

    Attributes:
        loss_options: of a loss over classes; may be set at any time before the model trains, and is not saved.
        regularizer: its `loss` of outputs and a batch is added to every loss in training, while there is one.
    """

    loss_options: LossOptions = PLAIN
    regularizer: Any = None

    def fit(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Keras' `fit`; `class_weight` also weighs labels per token.

        A compiled loss that takes probabilities is warned of, since the outputs are logits. (With a `compile` of our
        own Keras would not compile a model that it loads.)

        Raises:
            InputError: labels of a wrong shape or out of range, class weights for labels that are no classes, or with
                sample weights.
        """
        if self._compile_loss is not None and any(map(_takes_probabilities, tree.flatten(self.loss))):
            warnings.warn(
                "the loss takes probabilities, and the model's outputs are logits. Leave loss out, which trains with "
                "the head's own, or give one with from_logits=True.",
                DebertaWarning,
                stacklevel=2,
            )
        weighed, options = self._weigh_classes(x, y, options)
        self._check_labels(x, y)
        if isinstance(options.get("validation_data"), tuple):
            self._check_labels(*options["validation_data"][:2])
        return super().fit(weighed, y, *arguments, **options)

    def evaluate(self, x: Any = None, y: Any = None, *arguments: Any, **options: Any) -> Any:
        """Keras' `evaluate`; see `fit`."""
        self._check_labels(x, y)
        return super().evaluate(x, y, *arguments, **options)

    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, **options: Any) -> Any:
        """Keras' `train_on_batch`; see `fit`."""
        weighed, options = self._weigh_classes(x, y, {"sample_weight": sample_weight, **options})
        self._check_labels(x, y)
        return super().train_on_batch(weighed, y, **options)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The training loss, a scalar: the compiled one, else the mean of the head's own.

        Sample weights multiply the losses; their mean is over the labels, as in Keras' own losses. For the head's own
        loss, labels of tokens at padding do not count, whatever they are: a graph cannot refuse them.

        Under a distribution strategy it is the loss of the global batch divided by the number of replicas, on each of
        them: Keras sums their gradients. A mean over the labels that count is no mean of the replicas' means, so that
        the head's own loss sums over the replicas, and a compiled one, of which nothing is known, sees all rows.

        Raises:
            InputError: there are no labels.
        """
        labels = named_labels(self.spec, x, y)
        if labels is None:
            names = ", ".join(self.spec.labels)
            raise InputError(f"there are no labels to compute a loss from. Give y, or {names} inside a dict x.")
        if self._compile_loss is not None:
            loss = self._compiled_loss(x, _plain(labels), self._scores(y_pred), sample_weight, training)
        else:
            tokens = self._token_mask(x)
            counted = {name: self._without_padding(name, value, tokens) for name, value in labels.items()}
            loss = self._own_loss(counted, y_pred, tokens, sample_weight)
        if self.regularizer is None or not training:
            return loss
        batch = {**self.named_inputs(x), **labels}
        return loss + self.regularizer.loss(self._predictions(y_pred), **batch) / replica_count()

    def _own_loss(self, labels: Mapping[str, Any], y_pred: Any, tokens: Any, sample_weight: Any) -> Any:
        """The mean of the head's own loss, divided by the number of replicas."""
        parts = LOSSES[self.spec.loss](self.config, self._predictions(y_pred), labels, tokens, self.loss_options)
        if sample_weight is not None:
            parts = [(losses * _broadcast(sample_weight, losses, losses.dtype), counts) for losses, counts in parts]
        loss = mean_loss(parts)
        return sum((ops.cast(extra, loss.dtype) for extra in self.losses), loss) / replica_count()

    def _compiled_loss(self, x: Any, labels: Any, scores: Any, sample_weight: Any, training: bool) -> Any:
        """Keras' loss of the global batch, divided by the number of replicas: by Keras, if it is a mean."""
        rows = (tree.map_structure(gather_rows, part) for part in (labels, scores, sample_weight))
        loss = super().compute_loss(x, *rows, training)
        is_sum = any(getattr(part, "reduction", None) == "sum" for part in tree.flatten(self.loss))
        return loss / replica_count() if is_sum else loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Updates the compiled metrics with the logits."""
        return super().compute_metrics(x, _plain(named_labels(self.spec, x, y)), self._scores(y_pred), sample_weight)

    def predict_step(self, *state_and_data: Any) -> Any:
        """Predicts a batch; labels inside a dict x are left aside, since a mean loss has no rows to put together.

        JAX gives the variables' values before the data.
        """
        *state, data = state_and_data
        x = data[0] if isinstance(data, tuple) else data
        if isinstance(x, Mapping):
            x = {name: value for name, value in x.items() if name not in self.spec.labels}
        return super().predict_step(*state, (x,))

    def _check_labels(self, x: Any, y: Any) -> None:
        if self._compile_loss is None:  # what another loss takes is not known
            check_fit_labels(self.config, self.spec, x, y)

    def _weigh_classes(self, x: Any, y: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Turns an option `class_weight` that Keras would misread into sample weights; x is a dataset if y is None."""
        classes = options.get("class_weight")
        if classes is None:
            return x, options
        check_class_weight(self.config, self.spec)
        if not applies_per_token(self.spec):
            return x, options
        x, weights = weigh_tokens(x, y, options.get("sample_weight"), classes)
        return x, {**options, "class_weight": None, "sample_weight": weights}

    def _scores(self, y_pred: Any) -> Any:
        """The logits; a list of them where the task has several."""
        return _plain(self._predictions(y_pred))

    def _predictions(self, y_pred: Any) -> dict[str, Any]:
        """The logits by name; without `return_dict` they are the last of the outputs that are no tuples."""
        names = [name for name in self.spec.output.all_fields if name.endswith("logits")]
        tensors = [value for value in y_pred if not isinstance(value, tuple)]
        return dict(zip(names, tensors[-len(names) :], strict=True))

    def _without_padding(self, name: str, labels: Any, tokens: Any) -> Any:
        """Labels of tokens that are -100 at padding, others as they are."""
        if not self.spec.labels[name].per_token:
            return labels
        return ops.where(tokens, ops.reshape(labels, ops.shape(tokens)), IGNORED_LABEL)

    def _token_mask(self, x: Any) -> Any:
        """True at real tokens, `[B, L]`, of the inputs of a batch."""
        named = self.named_inputs(x)
        tokens = named.get("input_ids", named.get("inputs_embeds"))
        if self.spec.folds_choices:
            return None  # no loss over choices looks at tokens
        return make_masks(named.get("attention_mask"), *ops.shape(tokens)[:2]).tokens


class LabelledTraining(Trained):
    """The training side of a masked-LM model, mixed into it: labelled tokens alone may meet the vocabulary."""

    labelled_logits_only = False  # until `compile` says so

    def compile(self, *arguments: Any, labelled_logits_only: bool = False, **options: Any) -> None:
        """Keras' `compile`.

        Args:
            *arguments: as in Keras.
            labelled_logits_only: whether `fit` and `evaluate` score the labelled tokens alone, which saves most of the
                time and memory of a large vocabulary: losses and metrics read logits `[N, V]` and labels `[N]`. Only
                with `jit_compile=False` something is saved; JAX, which traces, scores all tokens.
            **options: as in Keras.
        """
        super().compile(*arguments, **options)
        self.labelled_logits_only = labelled_logits_only

    def train_step(self, *state_and_data: Any) -> Any:
        """Trains on a batch; JAX gives the variables' values before the data."""
        *state, data = state_and_data
        return super().train_step(*state, self._labelled(data))

    def test_step(self, *state_and_data: Any) -> Any:
        """Evaluates a batch."""
        *state, data = state_and_data
        return super().test_step(*state, self._labelled(data))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """See `Trained.compute_loss`; labels `[N]` are those of the labelled tokens."""
        if self._compile_loss is None and y is not None and not isinstance(y, Mapping) and len(y.shape) == 1:
            return self._own_loss({"labels": y}, y_pred, None, sample_weight)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def _labelled(self, data: Any) -> Any:
        """The data of a step with labels and weights of the labelled tokens; the call has all labels among the inputs.

        Anything else where labelled tokens are not to be told from others.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        named = named_labels(self.spec, x, y)
        if not self.labelled_logits_only or named is None or is_jax_traced(named["labels"]):
            return data
        labels = self._without_padding("labels", named["labels"], self._token_mask(x))
        rows = labelled_tokens({"labels": labels})
        if sample_weight is not None:
            weights = _broadcast(sample_weight, labels, "float32")
            sample_weight = take_tokens(ops.broadcast_to(weights, ops.shape(labels)), rows)
        x = {**self.named_inputs(x), "labels": labels, "labelled_logits_only": True}
        return x, take_tokens(labels, rows), sample_weight


class PairTraining(Called):
    """The training side of a generator and a discriminator, mixed into their model: joint steps of both.

    Labels may be y, or be inside a dict x. Beside the loss, `fit` and `evaluate` tell the means of both parts.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trackers = [keras.metrics.Mean(name=name) for name in ("mlm_loss", "rtd_loss")]

    def train_step(self, *state_and_data: Any) -> Any:
        """Trains on a batch; JAX gives the variables' values before the data."""
        *state, data = state_and_data
        return super().train_step(*state, self._labels_inside(data))

    def test_step(self, *state_and_data: Any) -> Any:
        """Evaluates a batch."""
        *state, data = state_and_data
        return super().test_step(*state, self._labels_inside(data))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The loss of a call, of the global batch, divided by the number of replicas, whose gradients Keras sums."""
        return y_pred[0] / replica_count()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Updates the means of both losses."""
        for tracker, loss in zip(self.trackers, y_pred[1:3], strict=True):
            tracker.update_state(loss)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _labels_inside(self, data: Any) -> Any:
        """The data of a step with its labels among the inputs.

        Raises:
            InputError: there are no labels, or there are weights.
        """
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        labels = named_labels(self.spec, x, y)
        if labels is None or sample_weight is not None:
            what = "no labels" if labels is None else "sample weights, which two losses cannot share"
            raise InputError(f"there are {what}. Give masked ids, and the true ones as y, or as labels inside x.")
        return {**self.named_inputs(x), **labels}, None, None


def _plain(named: dict[str, Any] | None) -> Any:
    """A single value as it is, several as a list."""
    if named is None:
        return None
    values = list(named.values())
    return values[0] if len(values) == 1 else values


def _broadcast(sample_weight: Any, losses: Any, dtype: Any) -> Any:
    """Weights `[B]`, `[B, 1]` or of the losses' shape, to multiply losses `[B]` or `[B, L]`."""
    weights = ops.cast(sample_weight, dtype)
    if len(weights.shape) < len(losses.shape):
        return ops.expand_dims(weights, -1)
    return ops.reshape(weights, ops.shape(losses)) if len(weights.shape) > len(losses.shape) else weights


def _takes_probabilities(loss: Any) -> bool:
    """Whether a loss, or the one that Keras has by this name, could take logits and was not told that they are."""
    found = keras.losses.get(loss) if isinstance(loss, str) else loss
    if isinstance(found, keras.losses.Loss):
        return getattr(found, "from_logits", True) is False
    given = inspect.signature(found).parameters.get("from_logits") if inspect.isfunction(found) else None
    return given is not None and given.default is False
