"""Knowledge distillation: what a teacher says of the training data, computed once, before the training.

So teacher and student may have different tokenizers and sizes, and training needs memory for the student alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from deberta_core.auto import AutoTokenizer
from deberta_core.checkpoint import checkpoint_folder
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, name_list
from deberta_dual.backends.protocol import TEACHER_LOGITS, Backend
from deberta_dual.data.records import Record
from deberta_dual.finetuning.labels import DEFAULT_NAME, ClassIds
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, usual_length
from deberta_dual.finetuning.tasks.text_classification import RECORD, TextClassification


def add_teacher(
    features: Sequence[Feature],
    records: Sequence[Record],
    task: FinetuneTask,
    config: BaseConfig,
    teacher: str,
    backend: Backend,
    device: Any = None,
) -> list[dict[str, Any]]:
    """The training data with the teacher's logits, in the order of the student's classes.

    Args:
        features: the student's, a row of each record, or of each of its windows.
        records: the examples.
        task: around the student's data.
        config: of the student.
        teacher: the folder, or hub id, of a model of the same task.
        backend: of the framework that computes them.
        device: where.

    Raises:
        InputError: the teacher has other classes, or another problem type; or the task has no teachers.
        WeightError: see `from_pretrained`.
    """
    if not isinstance(task, TextClassification):
        raise InputError(
            f"teacher={teacher!r} is not for {task.name}, but for {TextClassification.name}. Leave it out."
        )
    folder = checkpoint_folder(teacher)
    model = backend.array_model(backend.load_model(folder, task.task, device), device)
    kind = model.config.problem_type or config.problem_type
    if kind != config.problem_type:
        raise InputError(f"teacher={teacher!r} is for {kind}, and the data for {config.problem_type}. Give another.")
    model = replace(model, config=model.config.replace(problem_type=kind))
    places = _places(config, model.config, teacher)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    length = min(task.length, usual_length(type(task), tokenizer, model.config))
    choices = {"long_texts": "windows"} if task.reads_windows else {}
    work = type(task)(tokenizer, max_length=length, batch_size=task.batch_size, **choices)
    logits = work.answer(model, records, work.features(records, config))[:, places]
    return [
        {**feature, TEACHER_LOGITS: logits[feature.get(RECORD, number)].tolist()}
        for number, feature in enumerate(features)
    ]


def _places(config: BaseConfig, teacher: BaseConfig, name: str) -> list[int]:
    """Where the teacher has each of the student's classes: by the name, or of classes without one by the number."""
    own, ids = [*(config.id2label or {}).values()], ClassIds(teacher.id2label or {})
    places = [ids.get(label, ids.get(label.removeprefix(DEFAULT_NAME.format("")))) for label in own]
    if len(own) != len(ids) or set(places) != set(range(len(ids))):
        what = f"has the classes {name_list(ids)}, and the data {name_list(own)}"
        raise InputError(f"teacher={name!r} {what}. Give a teacher of these.")
    return places
