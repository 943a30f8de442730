"""The parts of task models: a backbone with one of five heads, and the forward pass of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from deberta_core.config import BaseConfig
from deberta_core.outputs import make_output
from deberta_tf.data import Fed
from deberta_tf.heads import ContextPooler, LanguageModelHead, LegacyPredictions, ReplacedTokenHead, Scope
from deberta_tf.inputs import fold_choices
from deberta_tf.layers import dense, dropout, take_tokens
from deberta_tf.losses import LOSSES, labelled_tokens, mean_loss
from deberta_tf.models import Backbone, Encoded, PreTrainedModel
from deberta_tf.training import LabelledTraining, Trained


class TaskModel(Fed, Trained, PreTrainedModel):
    """A backbone with a head; subclasses make the head in `__init__` and compute with it in `predict_outputs`."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        # Published name.
        self.deberta = Backbone(config, self.decodes, name="deberta", dtype=self.dtype_policy)

    @property
    def decodes(self) -> bool:
        """Whether the head reads the enhanced mask decoder, not the last layer."""
        return self.spec.scores_words and self.config.enhances_decoder

    def predict_outputs(self, encoded: Encoded) -> dict[str, Any]:
        """What the head makes of the encoded texts, by output names."""
        raise NotImplementedError

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool | None = None,
    ) -> Any:
        """Runs backbone and head, and computes the loss where labels are given.

        Arguments are those of `Backbone.call`, `[B, L]` and for multiple choice `[B, N, L]`, and the task's labels,
        see the class.

        Returns:
            the task's output, see the class: `loss` (a scalar, where labels were given), `logits`, and on request
            `hidden_states` and `attentions`.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        return self.run(inputs, {"labels": labels}, output_attentions, output_hidden_states, return_dict)

    def run(
        self,
        inputs: tuple[Any, ...],
        labels: Mapping[str, Any],
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
        labelled_logits_only: bool = False,
    ) -> Any:
        """The forward pass of every task; inputs in the order of `INPUT_NAMES`, labels by name.

        With `labelled_logits_only` the head reads the labelled tokens alone, row by row.
        """
        choices: Any = 1
        if self.spec.folds_choices:
            inputs, choices = fold_choices(inputs)
        attentions, states, named = self.config.call_options(output_attentions, output_hidden_states, return_dict)
        given = {name: value for name, value in labels.items() if value is not None}
        rows = labelled_tokens(given) if labelled_logits_only else None
        encoded = self.deberta.encode(*inputs, attentions, states, self.decodes, rows)
        predictions = self.predict_outputs(encoded)
        if self.spec.folds_choices:
            predictions = {name: ops.reshape(values, (-1, choices)) for name, values in predictions.items()}
        if rows is not None:
            given = {name: take_tokens(value, rows) for name, value in given.items()}
        values: dict[str, Any] = {"loss": None}
        if len(given) == len(labels):
            tokens = encoded.masks.tokens
            parts = LOSSES[self.spec.loss](self.config, predictions, given, tokens, self.loss_options)
            values["loss"] = mean_loss(parts)
        values |= predictions
        values |= {"hidden_states": encoded.hidden_states, "attentions": encoded.attentions}
        return make_output(self.spec.output, values, named)


class LmModel(LabelledTraining, TaskModel):
    """Scores of the whole vocabulary for every token; the decoder is tied to the word embeddings.

    What goes into the head is the last hidden state, or with `mlm_decoder="enhanced"` what the enhanced mask decoder
    makes (NUMERICS 7).
    """

    options = (*TaskModel.options, "labelled_logits_only")

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = self.dtype_policy
        if config.legacy:
            self.cls = Scope(LegacyPredictions(config, name="predictions", dtype=dtype), name="cls", dtype=dtype)
        else:
            inner = LanguageModelHead(config, name="lm_head", dtype=dtype)
            self.lm_predictions = Scope(inner, name="lm_predictions", dtype=dtype)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.deberta.build((None, None))
        self.head.build((None, None, self.config.hidden_size))

    @property
    def head(self) -> keras.layers.Layer:
        """The head the configuration chooses."""
        return self.cls if self.config.legacy else self.lm_predictions

    def predict_outputs(self, encoded: Encoded) -> dict[str, Any]:
        """`logits [B, L, V]`, or `[N, V]`."""
        table = self.deberta.embeddings.word_embeddings
        # Of a quantized table only a lookup gives numbers.
        words = table(ops.arange(self.config.vocab_size)) if table.quantization_mode else table.embeddings
        words = ops.cast(words, self.compute_dtype)
        return {"logits": self.head(encoded.last_hidden_state, words)}

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        labels: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        labelled_logits_only: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Runs backbone and head; see `TaskModel.call`. Labels are `[B, L]` in [0, V), -100 ignored.

        `labelled_logits_only=True` gives logits `[N, V]` of the N tokens with a label, row by row; loss and gradients
        are the same. With a large vocabulary a training step is much quicker and smaller. N differs from batch to
        batch: under XLA, where all shapes are fixed, it saves nothing, and where JAX traces it is refused.

        Returns:
            `MaskedLMOutput`: `loss` (where labels were given), `logits [B, L, V]`, or `[N, V]`.

        Raises:
            InputError: `labelled_logits_only` without labels, or where JAX traces.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        wanted = (output_attentions, output_hidden_states, return_dict)
        return self.run(inputs, {"labels": labels}, *wanted, labelled_logits_only=labelled_logits_only)

    def scores_at(self, places: Any, inputs: Mapping[str, Any]) -> Any:
        """Scores of the whole vocabulary at some tokens alone.

        Args:
            places: `[M, 2]` integers, text and token.
            inputs: by the names of `INPUT_NAMES`.

        Returns:
            `[M, V]`.

        Raises:
            InputError: an input has the wrong shape or a value out of range.
        """
        named = self.named_inputs(inputs)
        self.check(named)
        length = ops.shape(named.get("input_ids", named.get("inputs_embeds")))[1]
        text, token = ops.unstack(ops.cast(places, "int32"), axis=1)
        rows = text * length + token
        return self.predict_outputs(self.deberta.encode(**named, decodes=self.decodes, rows=rows))["logits"]


class PooledModel(TaskModel):
    """A classifier over the context token.

    Labels: `[B]` classes in [0, N) (-100 is ignored), `[B]` or `[B, N]` numbers for regression, `[B, N]` of 0 and 1 for
    multi-label, or `[B, N]` distributions; `problem_type` decides, else the shape.
    """

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        dtype = self.dtype_policy
        self.pooler = ContextPooler(config, name="pooler", dtype=dtype)
        self.dropout = dropout(config.classifier_dropout, dtype)
        self.classifier = dense(config, 1 if self.spec.folds_choices else config.num_labels, "classifier", dtype)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.deberta.build((None, None))
        self.pooler.build((None, None, self.config.hidden_size))
        self.dropout.build((None, self.config.hidden_size))
        self.classifier.build((None, self.config.hidden_size))

    def predict_outputs(self, encoded: Encoded) -> dict[str, Any]:
        """`logits [B, N]`; `[B * N, 1]` for multiple choice."""
        pooled = self.pooler(encoded.last_hidden_state, encoded.masks.tokens)
        return {"logits": self.classifier(self.dropout(pooled))}


class TokenModel(TaskModel):
    """A classifier over every token."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.dropout = dropout(config.hidden_dropout_prob, self.dtype_policy)
        self.classifier = dense(config, config.num_labels, "classifier", self.dtype_policy)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.deberta.build((None, None))
        self.dropout.build((None, None, self.config.hidden_size))
        self.classifier.build((None, None, self.config.hidden_size))

    def predict_outputs(self, encoded: Encoded) -> dict[str, Any]:
        """`logits [B, L, N]`."""
        return {"logits": self.classifier(self.dropout(encoded.last_hidden_state))}


class ReplacedTokenModel(TaskModel):
    """For every token a score of being replaced, above 0 where it probably is."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.mask_predictions = ReplacedTokenHead(config, name="mask_predictions", dtype=self.dtype_policy)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.deberta.build((None, None))
        self.mask_predictions.build()

    def predict_outputs(self, encoded: Encoded) -> dict[str, Any]:
        """`logits [B, L]`."""
        return {"logits": self.mask_predictions(encoded.last_hidden_state, encoded.masks.keys)}


class SpanModel(TaskModel):
    """Scores of every token as start and as end of an answer."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.qa_outputs = dense(config, 2, "qa_outputs", self.dtype_policy)
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        self.deberta.build((None, None))
        self.qa_outputs.build((None, None, self.config.hidden_size))

    def predict_outputs(self, encoded: Encoded) -> dict[str, Any]:
        """`start_logits` and `end_logits`, both `[B, L]`."""
        start, end = ops.unstack(self.qa_outputs(encoded.last_hidden_state), axis=-1)
        return {"start_logits": start, "end_logits": end}

    def call(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        training: bool | None = None,
    ) -> Any:
        """Runs backbone and head; see `TaskModel.call`.

        Positions of start and end are `[B]` integers, in tokens; clipped to [0, L], where L, and padding, are ignored,
        and 0 means the context token (no answer).

        Returns:
            `QuestionAnsweringOutput`: `loss` (where both positions were given), `start_logits`, `end_logits` `[B, L]`.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        labels = {"start_positions": start_positions, "end_positions": end_positions}
        return self.run(inputs, labels, output_attentions, output_hidden_states, return_dict)
