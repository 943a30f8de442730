"""The tasks, as data: what each returns, what labels it takes, how its loss is, which parameters are its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deberta_core.arguments import row_of
from deberta_core.config import BaseConfig
from deberta_core.outputs import ModelOutput

# What both model packages hand on to their users.
__all__ = [
    "BaseModelOutput",
    "MaskedLMOutput",
    "MultipleChoiceOutput",
    "PreTrainingOutput",
    "QuestionAnsweringOutput",
    "ReplacedTokenOutput",
    "SequenceClassifierOutput",
    "TokenClassifierOutput",
]

BACKBONE_PREFIX = "deberta."  # under a task model every backbone parameter has it (published name)


class BaseModelOutput(ModelOutput):
    """Output of a backbone: `last_hidden_state [B, L, C]`, `hidden_states`, `attentions`."""

    __slots__ = ()
    all_fields = ("last_hidden_state", "hidden_states", "attentions")


class SequenceClassifierOutput(ModelOutput):
    """Output of sequence classification: `loss` (a scalar), `logits [B, N]`, `hidden_states`, `attentions`."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


class MaskedLMOutput(ModelOutput):
    """Output of masked LM: `loss` (a scalar), `logits [B, L, V]`, `hidden_states`, `attentions`."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


class TokenClassifierOutput(ModelOutput):
    """Output of token classification: `loss` (a scalar), `logits [B, L, N]`, `hidden_states`, `attentions`."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


class QuestionAnsweringOutput(ModelOutput):
    """Output of question answering: `loss`, `start_logits` and `end_logits` `[B, L]`, and the others."""

    __slots__ = ()
    all_fields = ("loss", "start_logits", "end_logits", "hidden_states", "attentions")


class ReplacedTokenOutput(ModelOutput):
    """Output of replaced-token detection: `loss`, `logits [B, L]`, above 0 for replaced, and the others."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


class PreTrainingOutput(ModelOutput):
    """Output of generator and discriminator together.

    `loss = mlm_loss + rtd_lambda * rtd_loss`, scalars; `logits [B, L]` of the discriminator, `corrupted_ids [B, L]`
    that it read and `replaced [B, L]`, its labels; `generator_logits [n, V]` at the labelled tokens, row by row.
    """

    __slots__ = ()
    all_fields = ("loss", "mlm_loss", "rtd_loss", "logits", "corrupted_ids", "replaced", "generator_logits")


class MultipleChoiceOutput(ModelOutput):
    """Output of multiple choice: `loss`, `logits [B, N]`; the others are of the folded `B * N` texts."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


@dataclass(frozen=True, slots=True)
class LabelKind:
    """What a label input holds.

    Attributes:
        per_token: whether it is `[B, L]`, with -100 at padding; else `[B]` or `[B, 1]`.
        classes: what its numbers count: "labels", "vocabulary", "replaced", "choices" or "positions".
    """

    per_token: bool
    classes: str


CLASS_OF_TOKEN = LabelKind(per_token=True, classes="labels")
WORD_OF_TOKEN = LabelKind(per_token=True, classes="vocabulary")
REPLACED_TOKEN = LabelKind(per_token=True, classes="replaced")  # 1, or 0 for an original
CHOICE = LabelKind(per_token=False, classes="choices")
POSITION = LabelKind(per_token=False, classes="positions")
BY_PROBLEM = LabelKind(per_token=False, classes="labels")  # `sequence_problem` says which shape and numbers


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task.

    Attributes:
        name: the task's name, as in `reference.forward(task=...)`.
        class_suffix: what its model classes add to `DebertaV2` (published names).
        output: the type of its output.
        head_modules: the published top-level names of its own parameters.
        h5_layers: the top-level layers of Hugging Face's TensorFlow class, in order, those without parameters too.
        labels: its label inputs by name, in order.
        loss: the name of its loss in the tables `LOSSES` of the reference and of both frameworks.
        per_token: whether its own outputs have an axis L behind B.
        scores_words: whether its head scores the vocabulary, with a decoder tied to the word embeddings.
        folds_choices: whether inputs are `[B, N, ...]`, a text per choice, folded to `[B * N, ...]`.
    """

    name: str
    class_suffix: str
    output: type[ModelOutput]
    head_modules: tuple[str, ...]
    h5_layers: tuple[str, ...]
    labels: Mapping[str, LabelKind] = field(default_factory=dict)
    loss: str = ""
    per_token: bool = False
    scores_words: bool = False
    folds_choices: bool = False

    @property
    def auto_class(self) -> str:
        """The name of the class that makes its models, of any version."""
        return f"AutoModel{self.class_suffix.removeprefix('Model')}"


BACKBONE = TaskSpec(
    name="backbone",
    class_suffix="Model",
    output=BaseModelOutput,
    head_modules=(),
    h5_layers=("deberta",),
    per_token=True,
)

TASKS: dict[str, TaskSpec] = {  # D17
    spec.name: spec
    for spec in (
        TaskSpec(
            name="masked_lm",
            class_suffix="ForMaskedLM",
            output=MaskedLMOutput,
            head_modules=("cls", "lm_predictions"),
            h5_layers=("deberta", "cls"),
            labels={"labels": WORD_OF_TOKEN},
            loss="cross_entropy",
            per_token=True,
            scores_words=True,
        ),
        TaskSpec(
            name="sequence_classification",
            class_suffix="ForSequenceClassification",
            output=SequenceClassifierOutput,
            head_modules=("pooler", "classifier"),
            h5_layers=("deberta", "pooler", "cls_dropout", "classifier"),
            labels={"labels": BY_PROBLEM},
            loss="by_problem",
        ),
        TaskSpec(
            name="token_classification",
            class_suffix="ForTokenClassification",
            output=TokenClassifierOutput,
            head_modules=("classifier",),
            h5_layers=("deberta", "dropout", "classifier"),
            labels={"labels": CLASS_OF_TOKEN},
            loss="cross_entropy",
            per_token=True,
        ),
        TaskSpec(
            name="question_answering",
            class_suffix="ForQuestionAnswering",
            output=QuestionAnsweringOutput,
            head_modules=("qa_outputs",),
            h5_layers=("deberta", "qa_outputs"),
            labels={"start_positions": POSITION, "end_positions": POSITION},
            loss="spans",
            per_token=True,
        ),
        TaskSpec(
            name="multiple_choice",
            class_suffix="ForMultipleChoice",
            output=MultipleChoiceOutput,
            head_modules=("pooler", "classifier"),
            h5_layers=("deberta", "dropout", "pooler", "classifier"),
            labels={"labels": CHOICE},
            loss="cross_entropy",
            folds_choices=True,
        ),
        TaskSpec(
            name="replaced_token",
            class_suffix="ForReplacedTokenDetection",
            output=ReplacedTokenOutput,
            head_modules=("mask_predictions",),
            h5_layers=("deberta", "mask_predictions"),
            labels={"labels": REPLACED_TOKEN},
            loss="replaced",
            per_token=True,
        ),
    )
}

# Top-level modules of the heads that are pretrained, which files keep beside another head: of masked LM, and of
# replaced-token detection.
PRETRAINING_MODULES = ("cls", "lm_predictions", "mask_predictions")

# Head modules a checkpoint may lack: fine-tuning starts with fresh ones. A model without any other head is an error.
FRESH_MODULES = ("pooler", "classifier")  # D9


def reads_positions(config: BaseConfig, spec: TaskSpec) -> bool:
    """Whether a model reads absolute positions: in its embeddings, or in the enhanced decoder of masked LM."""
    return config.position_biased_input or (spec.scores_words and config.enhances_decoder)


def head_modules() -> frozenset[str]:
    """Top-level modules of heads that published checkpoints hold; loading a backbone or another task leaves them."""
    return frozenset(PRETRAINING_MODULES).union(*(spec.head_modules for spec in TASKS.values()))


def task_spec(task: str | None) -> TaskSpec:
    """The row of a task; `None` is the bare backbone.

    Raises:
        InputError: no such task; the message lists them.
    """
    if task is None or (isinstance(task, str) and task == BACKBONE.name):
        return BACKBONE
    return row_of(TASKS, "task", task)


def sequence_problem(config: BaseConfig, label_shape: Sequence[int | None]) -> str:
    """Which loss sequence classification uses (NUMERICS 6).

    Args:
        config: `problem_type` decides; where it is None, `num_labels` and the labels' shape.
        label_shape: `[B]`, `[B, 1]` or `[B, N]`.

    Returns:
        "regression", "single_label_classification", "multi_label_classification", or "soft_labels" for a
        distribution per row.
    """
    if config.problem_type is not None:
        return config.problem_type
    if config.num_labels == 1:
        return "regression"
    one_value_per_row = len(label_shape) == 1 or label_shape[-1] == 1
    return "single_label_classification" if one_value_per_row else "soft_labels"
