"""The tasks, as data: what each returns, what labels it takes, which parameters are its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, one_of

BACKBONE_PREFIX = "deberta."  # under a task model every backbone parameter has it (published name)


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task.

    Attributes:
        name: the task's name, as in `reference.forward(task=...)`.
        class_suffix: what its model classes add to `DebertaV2` (published names).
        output_name: the name of its output type.
        output_fields: everything that output can hold, in order.
        labels: the names of its label inputs, in order.
        head_modules: the published top-level names of its own parameters.
        h5_layers: the top-level layers of Hugging Face's TensorFlow class, in order, those without parameters too.
        folds_choices: whether inputs are `[B, N, ...]`, a text per choice, folded to `[B * N, ...]`.
    """

    name: str
    class_suffix: str
    output_name: str
    output_fields: tuple[str, ...]
    labels: tuple[str, ...]
    head_modules: tuple[str, ...]
    h5_layers: tuple[str, ...]
    folds_choices: bool = False

    @property
    def auto_class(self) -> str:
        """The name of the class that makes its models, of any version."""
        return f"AutoModel{self.class_suffix.removeprefix('Model')}"


BACKBONE = TaskSpec(
    name="backbone",
    class_suffix="Model",
    output_name="BaseModelOutput",
    output_fields=("last_hidden_state", "hidden_states", "attentions"),
    labels=(),
    head_modules=(),
    h5_layers=("deberta",),
)

TASKS: dict[str, TaskSpec] = {
    spec.name: spec
    for spec in (
        TaskSpec(
            name="masked_lm",
            class_suffix="ForMaskedLM",
            output_name="MaskedLMOutput",
            output_fields=("loss", "logits", "hidden_states", "attentions"),
            labels=("labels",),
            head_modules=("cls", "lm_predictions"),
            h5_layers=("deberta", "cls"),
        ),
        TaskSpec(
            name="sequence_classification",
            class_suffix="ForSequenceClassification",
            output_name="SequenceClassifierOutput",
            output_fields=("loss", "logits", "hidden_states", "attentions"),
            labels=("labels",),
            head_modules=("pooler", "classifier"),
            h5_layers=("deberta", "pooler", "cls_dropout", "classifier"),
        ),
        TaskSpec(
            name="token_classification",
            class_suffix="ForTokenClassification",
            output_name="TokenClassifierOutput",
            output_fields=("loss", "logits", "hidden_states", "attentions"),
            labels=("labels",),
            head_modules=("classifier",),
            h5_layers=("deberta", "dropout", "classifier"),
        ),
        TaskSpec(
            name="question_answering",
            class_suffix="ForQuestionAnswering",
            output_name="QuestionAnsweringOutput",
            output_fields=("loss", "start_logits", "end_logits", "hidden_states", "attentions"),
            labels=("start_positions", "end_positions"),
            head_modules=("qa_outputs",),
            h5_layers=("deberta", "qa_outputs"),
        ),
        TaskSpec(
            name="multiple_choice",
            class_suffix="ForMultipleChoice",
            output_name="MultipleChoiceOutput",
            output_fields=("loss", "logits", "hidden_states", "attentions"),
            labels=("labels",),
            head_modules=("pooler", "classifier"),
            h5_layers=("deberta", "dropout", "pooler", "classifier"),
            folds_choices=True,
        ),
    )
}

# Top-level modules of heads that published checkpoints hold; loading a backbone or another task leaves them aside.
HEAD_MODULES = ("pooler", "classifier", "qa_outputs", "cls", "lm_predictions", "mask_predictions")

# Head modules a checkpoint may lack: fine-tuning starts with fresh ones. A model without any other head is an error.
FRESH_MODULES = ("pooler", "classifier")


def task_spec(task: str | None) -> TaskSpec:
    """The row of a task; `None` is the bare backbone.

    Raises:
        InputError: no such task; the message lists them.
    """
    if task is None or task == BACKBONE.name:
        return BACKBONE
    if task not in TASKS:
        raise InputError(one_of("task", task, sorted(TASKS)))
    return TASKS[task]


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
