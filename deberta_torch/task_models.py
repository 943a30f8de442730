"""The parts of task models: a backbone with one of five heads, and the forward pass of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, WeightError
from deberta_core.inputs import IGNORED_LABEL, INPUT_NAMES, fold_choices, ignores_padding
from deberta_core.loss_options import PLAIN, LossOptions
from deberta_core.outputs import make_output
from deberta_core.tasks import TaskSpec
from deberta_torch.checks import check_call
from deberta_torch.heads import ContextPooler, LanguageModelHead, LegacyPredictions, ReplacedTokenHead
from deberta_torch.kernels.dropout import Dropout
from deberta_torch.kernels.eager import is_eager
from deberta_torch.kernels.linear import Linear
from deberta_torch.losses import LOSSES, mean_loss
from deberta_torch.models import Backbone, Encoded, PreTrainedModel


class CallOptions(TypedDict, total=False):
    """Arguments of a call that are no parameters by name: Trainer takes every one with "label" in it for labels."""

    labels_at_padding: str


class LmCallOptions(CallOptions, total=False):
    """The same of masked LM."""

    labelled_logits_only: bool


class TaskModel(PreTrainedModel):
    """A backbone with a head; subclasses make the head in `__init__` and compute with it in `predict_outputs`.

    Attributes:
        loss_options: of a loss over classes; may be set at any time before the model trains, and is not saved.
    """

    loss_options: LossOptions = PLAIN

    def __init__(self, config: BaseConfig) -> None:
        super().__init__(config)
        self.deberta = Backbone(config, self.decodes)  # published name

    @property
    def decodes(self) -> bool:
        """Whether the head reads the enhanced mask decoder, not the last layer."""
        return self.spec.scores_words and self.config.enhances_decoder

    def predict_outputs(self, encoded: Encoded) -> dict[str, Tensor]:
        """What the head makes of the encoded texts, by output names."""
        raise NotImplementedError

    def loss(self, encoded: Encoded, predictions: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> Tensor:
        """The mean loss of the head's outputs against the labels, which may be on the CPU; a scalar."""
        place = encoded.last_hidden_state.device
        labels = {name: value.to(place, non_blocking=value.device.type == "cpu") for name, value in labels.items()}
        parts = LOSSES[self.spec.loss](self.config, predictions, labels, encoded.masks.tokens, self.loss_options)
        return mean_loss(parts)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **options: Unpack[CallOptions],
    ) -> Any:
        """Runs backbone and head, and computes the loss where labels are given.

        Arguments are those of `Backbone.forward`, `[B, L]` and for multiple choice `[B, N, L]`, the task's labels, see
        the class, and `labels_at_padding`: labels of tokens that are not -100 at padding are an "error", or with
        "ignore" do not count.

        Returns:
            the task's output, see the class: `loss` (a scalar, where labels were given), `logits`, and on request
            `hidden_states` and `attentions`.

        Raises:
            InputError: an input or the labels have the wrong shape or a value out of range.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        wanted = (output_attentions, output_hidden_states, return_dict)
        return self.run(inputs, {"labels": labels}, *wanted, **options)

    def run(
        self,
        inputs: tuple[Tensor | None, ...],
        labels: Mapping[str, Tensor | None],
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
        labels_at_padding: str = "error",
        labelled_logits_only: bool = False,
    ) -> Any:
        """The forward pass of every task; inputs in the order of `INPUT_NAMES`, labels by name.

        With `labelled_logits_only` the head reads the labelled tokens alone, row by row.
        """
        choices = 1
        if self.spec.folds_choices:
            inputs, choices = fold_choices(inputs)
        if ignores_padding(labels_at_padding) and inputs[1] is not None:
            labels = _without_padding(self.spec, labels, inputs[1])
        check_call(self.config, self.spec, inputs, labels, choices)
        attentions, states, named = self.config.call_options(output_attentions, output_hidden_states, return_dict)
        given = {name: value for name, value in labels.items() if value is not None}
        rows = None
        if labelled_logits_only:
            rows = (given["labels"].flatten() >= 0).nonzero()[:, 0]
            given["labels"] = given["labels"].flatten()[rows]
            rows = _moved(rows, like=next(value for value in inputs if value is not None))
        encoded = self.deberta.encode(*inputs, attentions, states, self.decodes, rows)
        predictions = self.predict_outputs(encoded)
        if self.spec.folds_choices:
            predictions = {name: values.reshape(-1, choices) for name, values in predictions.items()}
        values: dict[str, Any] = {"loss": None}
        if len(given) == len(labels):
            values["loss"] = self.loss(encoded, predictions, given)
        values |= predictions
        values |= {"hidden_states": encoded.hidden_states, "attentions": encoded.attentions}
        return make_output(self.spec.output, values, named)


def _moved(rows: Tensor, like: Tensor) -> Tensor:
    return rows.to(like.device, non_blocking=rows.device.type == "cpu")


def _without_padding(
    spec: TaskSpec, labels: Mapping[str, Tensor | None], attention_mask: Tensor
) -> dict[str, Tensor | None]:
    """Labels of tokens that are -100 where no query sees the token; others as they are."""
    seen = attention_mask != 0
    if seen.dim() > 2:
        seen = seen.any(dim=tuple(range(1, seen.dim() - 1)))  # [B, L]
    return {
        name: value.masked_fill(_moved(~seen, like=value), IGNORED_LABEL)
        if value is not None and spec.labels[name].per_token and value.shape == seen.shape
        else value
        for name, value in labels.items()
    }


class LmModel(TaskModel):
    """Scores of the whole vocabulary for every token; the decoder is tied to the word embeddings."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__(config)
        if config.legacy:
            self.cls = nn.ModuleDict({"predictions": LegacyPredictions(config)})  # published names
        else:
            self.lm_predictions = nn.ModuleDict({"lm_head": LanguageModelHead(config)})
        self.reset_parameters(self.head)
        self.register_load_state_dict_pre_hook(_drop_tied_duplicates)

    @property
    def head(self) -> nn.Module:
        """The head the configuration chooses."""
        return self.cls["predictions"] if self.config.legacy else self.lm_predictions["lm_head"]

    def predict_outputs(self, encoded: Encoded) -> dict[str, Tensor]:
        """`logits [B, L, V]`."""
        return {"logits": self._scores(encoded.last_hidden_state)}

    def loss(self, encoded: Encoded, predictions: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> Tensor:
        """See the base class. In training only the labelled tokens meet the vocabulary.

        That is the most expensive product of a step. The logits of all tokens, where they are wanted, then take no part
        in the backward pass, and no copies of their size are made.
        """
        hidden, given = encoded.last_hidden_state, labels["labels"]
        if hidden.dim() == 3 and self.training and torch.is_grad_enabled() and is_eager(hidden, given):
            flat = given.flatten()  # [B * L]
            labelled = (flat >= 0).nonzero()[:, 0]
            # With most tokens labelled, scoring them a second time costs more than it saves.
            if 2 * len(labelled) <= len(flat):
                rows = self._scores(hidden.flatten(0, 1)[_moved(labelled, like=hidden)])
                return super().loss(encoded, {"logits": rows}, {"labels": flat[labelled]})
        return super().loss(encoded, predictions, labels)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **options: Unpack[LmCallOptions],
    ) -> Any:
        """Runs backbone and head; see `TaskModel.forward`. Labels are `[B, L]` in [0, V), -100 ignored.

        `labelled_logits_only=True` makes logits at the n labelled tokens alone, `[n, V]`, row by row. Loss and
        gradients are the same; a training step with a large vocabulary is much quicker and smaller.

        Returns:
            `MaskedLMOutput`: `loss` (where labels were given), `logits [B, L, V]`, or `[n, V]`.

        Raises:
            InputError: an input or a label has the wrong shape or a value out of range, or labels are needed and not
                there.
        """
        if options.get("labelled_logits_only") and labels is None:
            raise InputError("labelled_logits_only=True without labels leaves nothing to return. Give labels.")
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        wanted = (output_attentions, output_hidden_states, return_dict)
        return self.run(inputs, {"labels": labels}, *wanted, **options)

    def scores_at(self, places: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Scores of the whole vocabulary at some tokens alone.

        Args:
            places: `[M, 2]` integers, text and token.
            inputs: by the names of `INPUT_NAMES`.

        Returns:
            `[M, V]`.

        Raises:
            InputError: an input has the wrong shape or a value out of range.
        """
        check_call(self.config, self.spec, [inputs.get(name) for name in INPUT_NAMES])
        tokens = inputs["input_ids"] if "input_ids" in inputs else inputs["inputs_embeds"]
        rows = places[:, 0] * tokens.shape[1] + places[:, 1]
        named: Mapping[str, Any] = inputs
        return self._scores(self.deberta.encode(**named, decodes=self.decodes, rows=rows).last_hidden_state)

    def _scores(self, hidden: Tensor) -> Tensor:
        """`[..., C]` to `[..., V]`."""
        return self.head(hidden, self.deberta.embeddings.word_embeddings.weight)


# Names of the tied decoder that state dicts saved by transformers hold besides the tensor itself.
_TIED_DUPLICATES = {
    "cls.predictions.decoder.weight": "deberta.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}


def _drop_tied_duplicates(model: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Takes the decoder's names out of a state dict that is about to be loaded.

    Raises:
        WeightError: a duplicate differs from the tensor it is tied to.
    """
    for duplicate, tied in _TIED_DUPLICATES.items():
        if prefix + duplicate not in state or prefix + tied not in state:
            continue
        if not torch.equal(state[prefix + duplicate], state[prefix + tied]):
            raise WeightError(
                f"{prefix}{duplicate} differs from {prefix}{tied}, but the decoder is tied to it. "
                f"Remove the one that was not trained."
            )
        del state[prefix + duplicate]


class PooledModel(TaskModel):
    """A classifier over the context token.

    Labels: `[B]` classes in [0, N) (-100 is ignored), `[B]` or `[B, N]` numbers for regression, `[B, N]` of 0 and 1 for
    multi-label, or `[B, N]` distributions; `problem_type` decides, else the shape.
    """

    def __init__(self, config: BaseConfig) -> None:
        super().__init__(config)
        self.pooler = ContextPooler(config)
        self.dropout = Dropout(config.classifier_dropout)
        self.classifier = Linear(config.hidden_size, 1 if self.spec.folds_choices else config.num_labels)
        self.reset_parameters(self.pooler, self.classifier)

    def predict_outputs(self, encoded: Encoded) -> dict[str, Tensor]:
        """`logits [B, N]`; `[B * N, 1]` for multiple choice."""
        pooled = self.pooler(encoded.last_hidden_state, encoded.masks.tokens)
        return {"logits": self.classifier(self.dropout(pooled))}


class TokenModel(TaskModel):
    """A classifier over every token."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__(config)
        self.dropout = Dropout(config.hidden_dropout_prob)
        self.classifier = Linear(config.hidden_size, config.num_labels)
        self.reset_parameters(self.classifier)

    def predict_outputs(self, encoded: Encoded) -> dict[str, Tensor]:
        """`logits [B, L, N]`."""
        return {"logits": self.classifier(self.dropout(encoded.last_hidden_state))}


class ReplacedTokenModel(TaskModel):
    """Tells of every token whether it was replaced."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__(config)
        self.mask_predictions = ReplacedTokenHead(config)  # published name
        self.reset_parameters(self.mask_predictions)

    def predict_outputs(self, encoded: Encoded) -> dict[str, Tensor]:
        """`logits [B, L]`, above 0 for replaced."""
        return {"logits": self.mask_predictions(encoded.last_hidden_state, encoded.masks.keys)}


class SpanModel(TaskModel):
    """Scores of every token as start and as end of an answer."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__(config)
        self.qa_outputs = Linear(config.hidden_size, 2)
        self.reset_parameters(self.qa_outputs)

    def predict_outputs(self, encoded: Encoded) -> dict[str, Tensor]:
        """`start_logits` and `end_logits`, both `[B, L]`."""
        start, end = self.qa_outputs(encoded.last_hidden_state).unbind(-1)
        return {"start_logits": start, "end_logits": end}

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        start_positions: Tensor | None = None,
        end_positions: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Runs backbone and head; see `TaskModel.forward`.

        Positions of start and end are `[B]` integers, in tokens; clipped to [0, L], where L, and padding, are ignored,
        and 0 means the context token (no answer).

        Returns:
            `QuestionAnsweringOutput`: `loss` (where both positions were given), `start_logits`, `end_logits` `[B, L]`.

        Raises:
            InputError: an input or a position has the wrong shape or a value out of range.
        """
        inputs = (input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        labels = {"start_positions": start_positions, "end_positions": end_positions}
        return self.run(inputs, labels, output_attentions, output_hidden_states, return_dict)
