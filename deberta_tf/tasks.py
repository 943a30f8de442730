"""The task models: a backbone, a head and a loss each; and how Keras trains them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from deberta_core.config import BaseConfig, DebertaV2Config
from deberta_core.errors import InputError
from deberta_core.outputs import make_output
from deberta_tf.heads import ContextPooler
from deberta_tf.layers import dense, dropout
from deberta_tf.losses import mean_loss, sequence_classification_losses
from deberta_tf.models import Backbone, TFDebertaPreTrainedModel


class TaskModel(TFDebertaPreTrainedModel):
    """What `fit`, `evaluate` and `predict` need beyond the forward pass.

    Labels may be y, or be inside a dict x. `compile(optimizer)` trains with the head's own loss; a loss or metric
    given to `compile` is applied to the logits.
    """

    def label_losses(self, logits: Any, labels: Any) -> tuple[Any, Any]:
        """The head's own loss per example and what counts, both `[B]`."""
        raise NotImplementedError

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The training loss, a scalar: the compiled one, else the mean of the head's own.

        Sample weights multiply the examples' losses; their mean is over the examples, as in Keras' own losses.

        Raises:
            InputError: there are no labels.
        """
        labels = self._labels(x, y)
        if labels is None:
            names = ", ".join(self.spec.labels)
            raise InputError(f"there are no labels to compute a loss from. Give y, or {names} inside a dict x.")
        if self._compile_loss is not None:
            return super().compute_loss(x, labels, y_pred.logits, sample_weight, training)
        losses, counts = self.label_losses(y_pred.logits, labels)
        if sample_weight is not None:
            losses = losses * ops.cast(ops.reshape(sample_weight, ops.shape(losses)), losses.dtype)
        return sum((ops.cast(extra, losses.dtype) for extra in self.losses), mean_loss(losses, counts))

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Updates the compiled metrics with the logits."""
        return super().compute_metrics(x, self._labels(x, y), y_pred.logits, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """Predicts a batch; labels inside a dict x are left aside, since a mean loss has no rows to put together."""
        x = data[0] if isinstance(data, tuple) else data
        if isinstance(x, Mapping):
            x = {name: value for name, value in x.items() if name not in self.spec.labels}
        return super().predict_step((x,))

    def _labels(self, x: Any, y: Any) -> Any:
        if y is None and isinstance(x, Mapping):
            return x.get(self.spec.labels[0])
        return y


class PooledModel(TaskModel):
    """A classifier over the context token."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = self.dtype_policy
        self.deberta = Backbone(config, name="deberta", dtype=dtype)  # published name
        self.pooler = ContextPooler(config, name="pooler", dtype=dtype)
        self.dropout = dropout(config.classifier_dropout, dtype)
        self.classifier = dense(config, config.num_labels, "classifier", dtype)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.deberta.build()
        self.pooler.build()
        self.classifier.build((None, self.config.hidden_size))

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = False,
        output_hidden_states: bool | None = False,
        return_dict: bool | None = True,
        training: bool | None = None,
    ) -> Any:
        """Classifies a batch of texts.

        Args:
            input_ids: and the other inputs as for `Backbone.call`.
            attention_mask: see there.
            token_type_ids: see there.
            position_ids: see there.
            inputs_embeds: see there.
            labels: `[B]` classes in [0, N) (-100 is ignored), `[B]` or `[B, N]` numbers for regression, `[B, N]` of
                0 and 1 for multi-label, or `[B, N]` distributions; `problem_type` decides, else the shape.
            output_attentions: see there.
            output_hidden_states: see there.
            return_dict: see there.
            training: see there.

        Returns:
            `SequenceClassifierOutput`: `loss` (a scalar, where labels were given), `logits [B, N]`, and on request
            `hidden_states` and `attentions`.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        encoded = self.deberta.encode(*inputs, output_attentions, output_hidden_states)
        pooled = self.pooler(encoded.last_hidden_state, encoded.token_mask)
        logits = self.classifier(self.dropout(pooled))
        values = {
            "loss": None if labels is None else mean_loss(*self.label_losses(logits, labels)),
            "logits": logits,
            "hidden_states": encoded.hidden_states,
            "attentions": encoded.attentions,
        }
        return make_output(self.spec.output_name, values, return_dict)

    def label_losses(self, logits: Any, labels: Any) -> tuple[Any, Any]:
        """See the base class."""
        return sequence_classification_losses(self.config, logits, labels)


@keras.saving.register_keras_serializable("deberta_tf")
class TFDebertaV2ForSequenceClassification(PooledModel):
    """Sequence classification with DeBERTa v2 and v3: single label, multi-label, regression, soft labels."""

    config_class = DebertaV2Config
    task = "sequence_classification"
