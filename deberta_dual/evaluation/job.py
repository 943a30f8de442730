"""Judging a checkpoint by a file of examples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.arguments import row_of
from deberta_core.auto import AutoTokenizer
from deberta_core.checkpoint import checkpoint_folder
from deberta_core.errors import InputError
from deberta_core.files import write_text
from deberta_core.layout import CALIBRATION
from deberta_core.transaction import replace_files
from deberta_dual.data.formats import AUTO
from deberta_dual.data.load import Named, Sources, load_data
from deberta_dual.data.records import Note, Record
from deberta_dual.data.streams import UTF8
from deberta_dual.evaluation.classes import classification_scores
from deberta_dual.evaluation.judges import JUDGES, Judgement
from deberta_dual.evaluation.zero_shot import TASK as ZERO_SHOT
from deberta_dual.evaluation.zero_shot import zero_shot_answers
from deberta_dual.finetuning.tasks import FINETUNE_TASKS, FinetuneTask
from deberta_dual.finetuning.tasks.base import at, usual_length
from deberta_dual.finetuning.tasks.text_classification import wanted_labels
from deberta_dual.pipelines.checkpoint_heads import check_head
from deberta_dual.pipelines.ensemble import average_models, check_vocabularies
from deberta_dual.pipelines.examples import check_count
from deberta_dual.pipelines.loading import load_model


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model is.

    Attributes:
        task: the name of the task.
        metrics: numbers by name; those that fine-tuning prints are the same numbers.
        judgement: what there is besides.
        records: the examples.
        truncated: how many of them were too long and were cut.
    """

    task: str
    metrics: dict[str, float]
    judgement: Judgement
    records: Sequence[Record]
    truncated: int

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as JSON has it: metrics, classes, confusion matrix, reliability, temperature."""
        found: dict[str, Any] = {"task": self.task, "examples": len(self.records), "truncated": self.truncated}
        found |= {name: _plain(value) for name, value in self.metrics.items()}
        if self.judgement.classes:
            rows = self.judgement.classes.items()
            found["classes"] = {name: {key: _plain(value) for key, value in row.items()} for name, row in rows}
        if self.judgement.confusion:
            names, counts = self.judgement.confusion
            found["confusion"] = {"labels": names, "counts": counts}
        if self.judgement.reliability:
            found["reliability"] = [list(part) for part in self.judgement.reliability]
        if self.judgement.temperature is not None:
            found["temperature"] = self.judgement.temperature
        return found

    def mistakes(self, most: int = 100) -> list[dict[str, Any]]:
        """The worst mistakes, the worst first: the example, its place, and how wrong the answer is."""
        wrong = self.judgement.mistakes
        order = [int(place) for place in np.argsort(-wrong, kind="stable") if wrong[place] > 0][:most]
        return [
            {
                "line": self.records[place].line,
                "place": self.records[place].place,
                "severity": _plain(wrong[place]),
                **self.records[place].values,
            }
            for place in order
        ]


def evaluate(
    task: str,
    model: str | Path | Sequence[str | Path],
    data: Sources,
    columns: Named = None,
    *,
    framework: str | None = None,
    device: Any = None,
    dtype: Any = None,
    batch_size: int = 32,
    max_length: int | None = None,
    long_texts: str | None = None,
    candidate_labels: Sequence[str] | None = None,
    hypothesis_template: str | None = None,
    input_format: str = AUTO,
    encoding: str = UTF8,
    calibrate: bool = False,
    note: Note | None = None,
) -> Evaluation:
    """Judges a checkpoint by labelled examples.

    Args:
        task: a name of `JUDGES`.
        model: a checkpoint folder or hub id, with the task's head; or a list of them, whose probabilities are
            averaged.
        data: files or a data set, see `read_examples`.
        columns: which column is what, see `parse_columns`; others are guessed by their names.
        framework: as of `pipeline`; None: what is installed, PyTorch first.
        device: where the model computes; None: the best device there is.
        dtype: what it computes in; None: float32.
        batch_size: rows in a batch; the result does not depend on it.
        max_length: in tokens; None: as in fine-tuning.
        long_texts: "truncate", "windows" or "error", where the task can choose; None: as is usual.
        candidate_labels: of zero-shot classification, the classes to choose from; None: those of the data.
        hypothesis_template: of zero-shot classification, with {} for the class; None: the pipeline's own.
        input_format: of files.
        encoding: of files of text.
        calibrate: whether the temperature is written into the model's folder, where pipelines find it.
        note: is told what was guessed of the data; None: a log of the level INFO.

    Raises:
        InputError: an argument or an example cannot be used; the task has no temperature; or several models do not go
            together, see `average_models`.
        WeightError: the checkpoint has no head for this task, or does not fit.
        ConfigError: config.json is missing or wrong.
        TokenizationError: the tokenizer's files are missing or wrong.
    """
    judge = row_of(JUDGES, "task", task)
    check_count("batch_size", batch_size)
    check_count("max_length", max_length, least=8, none="for what is usual")
    cls = FINETUNE_TASKS["text-classification" if task == ZERO_SHOT else task]
    if task != ZERO_SHOT and (candidate_labels or hypothesis_template):
        raise InputError(f"candidate_labels and hypothesis_template are for {ZERO_SHOT} alone. Leave them out.")
    models = [model] if isinstance(model, str | Path) else list(model)
    if not models or (calibrate and len(models) > 1):
        raise InputError(f"{len(models)} models were given. Give at least one, and for calibrate exactly one.")
    records = load_examples(cls, data, columns, input_format=input_format, encoding=encoding, note=note)
    folders = [checkpoint_folder(one) for one in models]
    for folder in folders:
        check_head(folder, cls.name, cls.task)
    truncated = 0
    if task == ZERO_SHOT:
        about = {"framework": framework, "device": device, "dtype": dtype, "batch_size": batch_size}
        own = {name: value for name, value in {**about, "max_length": max_length}.items() if value is not None}
        config, answers = zero_shot_answers(folders, records, candidate_labels, hypothesis_template, **own)
        scores = classification_scores(answers.argmax(axis=1), wanted_labels(config, records))
    else:
        tokenizers = [_tokenizer(one, folder) for one, folder in zip(models, folders, strict=True)]
        check_vocabularies(tokenizers, models)
        tokenizer, found = tokenizers[0], []
        for folder in folders:
            backend, loaded = load_model(framework, folder, cls.task, device, dtype)
            found.append(backend.array_model(loaded, device))
        arrays = average_models(found)
        config = arrays.config
        own = cls.folder_choices(models[0])
        length = max_length or own.get("max_length") or usual_length(cls, tokenizer, config)
        chosen = {"long_texts": long_texts, "pooling": own.get("pooling")}
        work = cls(tokenizer, max_length=length, batch_size=batch_size, **chosen)
        features = work.features(records, config, judged=True)
        answers = work.answer(arrays, records, features)
        scores, truncated = work.compare(config, answers, records), work.truncated
    judgement = judge(config, answers, records)
    if calibrate:
        _write_temperature(folders[0], judgement)
    return Evaluation(task, {**scores, **judgement.metrics}, judgement, records, truncated)


def _tokenizer(model: str | Path, folder: Path) -> Any:
    """The tokenizer of a model: of a folder, of a repository of the hub, or beside a weight file."""
    return AutoTokenizer.from_pretrained(str(model if folder.is_dir() else folder))


def load_examples(cls: type[FinetuneTask], data: Sources, columns: Named, **options: Any) -> list[Record]:
    """Reads the examples of a task, and checks every one; `options` are those of `load_data`.

    Raises:
        InputError: one cannot be used, with its place; or there is none.
    """
    records = load_data(cls.name, data, columns, **options)
    for record in records:
        with at(record):
            cls.check(record)
    return records


def _write_temperature(folder: Path, judgement: Judgement) -> None:
    if judgement.temperature is None:
        raise InputError("calibrate: this task, or this kind of labels, has no temperature. Leave it out.")
    with replace_files(folder, InputError) as staging:
        write_text(staging / CALIBRATION, json.dumps({"temperature": judgement.temperature}) + "\n")


def _plain(value: Any) -> Any:
    """A number as JSON can have it; what is no number is None."""
    number = float(value)
    return number if np.isfinite(number) else None
