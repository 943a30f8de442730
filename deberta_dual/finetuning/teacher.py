"""Knowledge distillation: what a teacher says of the training data, computed once, before the training.

So teacher and student may have different tokenizers and sizes, and do not share the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deberta_core.auto import AutoTokenizer
from deberta_core.checkpoint import checkpoint_folder
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, name_list
from deberta_dual.backends.protocol import TEACHER_LOGITS, Backend
from deberta_dual.data.records import Record
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, usual_length


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
        InputError: the teacher has other classes.
        WeightError: see `from_pretrained`.
    """
    folder = checkpoint_folder(teacher)
    model = backend.array_model(backend.load_model(folder, task.task, device), device)
    places = _places(config, model.config, teacher)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    length = min(task.length, usual_length(type(task), tokenizer, model.config))
    choices = {"long_texts": "windows"} if task.reads_windows else {}
    work = type(task)(tokenizer, max_length=length, batch_size=task.batch_size, **choices)
    logits = work.answer(model, records, work.features(records, model.config))[:, places]
    return [
        {**feature, TEACHER_LOGITS: logits[feature.get("record", number)].tolist()}
        for number, feature in enumerate(features)
    ]


def _places(config: BaseConfig, teacher: BaseConfig, name: str) -> list[int]:
    """Where the teacher has each of the student's classes."""
    own, theirs = ((one.id2label or {}) for one in (config, teacher))
    numbers = {label.lower(): number for number, label in theirs.items()}
    if {label.lower() for label in own.values()} != set(numbers):
        raise InputError(
            f"teacher={name!r} has the classes {name_list(theirs.values())}, and the data {name_list(own.values())}. "
            f"Give a teacher of these."
        )
    return [numbers[own[number].lower()] for number in range(len(own))]
