"""Several trainings as one job: the folds of a cross-validation, or seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.layout import PREDICTIONS
from deberta_dual.data.columns import FIELDS
from deberta_dual.data.records import Record
from deberta_dual.data.results import LINE, answer_records
from deberta_dual.data.writers import json_line
from deberta_dual.finetuning.card import CARD, several_card
from deberta_dual.finetuning.folder import Files, Rows, RunFolder
from deberta_dual.finetuning.folds import fold_numbers
from deberta_dual.finetuning.options import TrainingOptions
from deberta_dual.finetuning.run import LOSS
from deberta_dual.finetuning.tasks.question_answering import true_answers
from deberta_dual.finetuning.train import Examples, Setting, train_model
from deberta_dual.pipelines.factory import pipeline
from deberta_dual.processes import is_main

FOLD, SEED = "fold", "seed"
# Tasks whose answers to what was held out are kept, and with which options of the pipeline.
_PREDICTED: dict[str, dict[str, Any]] = {
    "text-classification": {"top_k": None, "truncation": True},
    "token-classification": {},
    "question-answering": {},
    "multiple-choice": {"top_k": None, "truncation": True},
    "ranking": {"truncation": True},
}


@dataclass(frozen=True, slots=True)
class _Part:
    """One training of several.

    Attributes:
        number: of the fold, or the seed itself.
        examples: what it learns from, and is judged by.
        training: its options.
        about: what makes it another one than the others.
    """

    number: int
    examples: Examples
    training: TrainingOptions
    about: Mapping[str, Any]


def train_folds(
    setting: Setting, examples: Examples, folder: RunFolder, training: TrainingOptions, folds: int, first: Files
) -> Rows:
    """Cross-validation: for each fold a model that learns from the others, and is chosen and judged by it.

    Args:
        setting: of the job.
        examples: all; those that are held out are no evaluation data besides.
        folder: each model has a folder in it, `fold-0` and so on.
        training: of every model; its seed also chooses the folds.
        folds: how many.
        first: what is in files to begin with, by name.

    Returns:
        a row of scores for each fold, and one with their mean and spread.

    Raises:
        InputError: there are fewer examples than folds.
    """
    cls, records = setting.cls, examples.training
    groups, strata = [cls.group(one) for one in records], [cls.stratum(one, setting.config) for one in records]
    numbers = fold_numbers(groups, strata, folds, training.seed)

    def part(fold: int) -> _Part:
        sides: tuple[list[Record], list[Record]] = ([], [])
        for record, number in zip(records, numbers.tolist(), strict=True):
            sides[number == fold].append(record)
        return _Part(fold, Examples(*sides, examples.test), training, {FOLD: f"{fold}, of 0 to {folds - 1}"})

    rows = _train(setting, folder, training, FOLD, [part(fold) for fold in range(folds)], first)
    files = {}
    if is_main() and cls.name in _PREDICTED:
        answers = [_lines(folder.path / f"{FOLD}-{fold}" / PREDICTIONS) for fold in range(folds)]
        files[PREDICTIONS] = b"".join(next(answers[fold]) for fold in numbers.tolist())
    return _finish(setting, examples, folder, training, FOLD, rows, files)


def train_seeds(
    setting: Setting, examples: Examples, folder: RunFolder, training: TrainingOptions, seeds: int, first: Files
) -> Rows:
    """The same training with several seeds, from that of the options on; see `train_folds`.

    Every model is kept, in `seed-0` and so on; examples that are held out are the same for all.
    """
    parts = [
        _Part(seed, examples, replace(training, seed=seed), {}) for seed in range(training.seed, training.seed + seeds)
    ]
    rows = _train(setting, folder, training, SEED, parts, first)
    return _finish(setting, examples, folder, training, SEED, rows, {})


def _train(
    setting: Setting, folder: RunFolder, training: TrainingOptions, kind: str, parts: Sequence[_Part], first: Files
) -> Rows:
    """Trains every part that is not at its end, and gives a row of scores for each."""
    going_on = folder.begin_parts({**_identity(setting, training), f"{kind}s": len(parts)}, first)
    rows: Rows = []
    for part in parts:
        place = folder.path / f"{kind}-{part.number}"
        own = RunFolder(place, resume=going_on, force=not going_on, is_main=is_main())
        report = partial(_report, setting, {kind: part.number})
        more = partial(_predictions, setting, part) if kind == FOLD else None
        if own.is_finished():
            found = own.read_metrics()
        else:
            note = setting.note if part is parts[0] else _ignore  # all have the same to tell
            one = replace(setting, report=report, note=note)
            found = train_model(one, part.examples, own, part.training, about=part.about, more=more)
        scores = kept_scores(found, setting.cls.metric(setting.config, part.examples.judged))
        rows.append({kind: part.number, **scores})
    return rows


def _report(setting: Setting, about: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    setting.report({**about, **row})


def _ignore(text: str) -> None:
    pass


def kept_scores(rows: Rows, metric: str) -> dict[str, float]:
    """The scores of the model that a run keeps: the first of its best, and the scores at the end."""
    judged = [row for row in rows if f"eval_{metric}" in row]
    choose = min if metric == LOSS else max
    best = choose(judged, key=lambda row: float(row[f"eval_{metric}"])) if judged else {}
    scores = {name: value for name, value in best.items() if name.startswith("eval_")}
    return scores | {name: value for name, value in rows[-1].items() if name.startswith(("test_", "train_"))}


def summary(kind: str, rows: Rows, metric: str) -> dict[str, Any]:
    """Mean, spread (the standard deviation of a sample) and best of rows of scores."""
    names = [name for name in rows[0] if name != kind and all(name in row for row in rows)]
    values = {name: np.array([row[name] for row in rows]) for name in names}
    found: dict[str, Any] = {f"{kind}s": len(rows)}
    choose = min if metric == LOSS else max
    for name in (f"eval_{metric}", f"train_{metric}"):  # never by test data
        if name in values:
            found["best"] = f"{kind}-{choose(rows, key=lambda row: float(row[name]))[kind]}"
            break
    found["mean"] = {name: float(own.mean()) for name, own in values.items()}
    return found | {"spread": {name: float(own.std(ddof=1)) for name, own in values.items()}}


def _finish(
    setting: Setting,
    examples: Examples,
    folder: RunFolder,
    training: TrainingOptions,
    kind: str,
    rows: Rows,
    files: Files,
) -> Rows:
    rows = [*rows, summary(kind, rows, setting.cls.metric(setting.config, examples.judged))]
    if is_main():
        setting.report(rows[-1])
    card = several_card(kind, rows, _identity(setting, training), setting.base)
    folder.finish(rows, {CARD: card, **files})
    return rows


def _identity(setting: Setting, training: TrainingOptions) -> dict[str, Any]:
    start = str(setting.start.model or setting.start.preset)
    return {"task": setting.cls.name, "framework": setting.framework, "start": start, **asdict(training)}


def _predictions(setting: Setting, part: _Part, folder: Path) -> Files:
    """What the model of a fold answers to the records that it has not seen, a line of JSON each."""
    task = setting.cls.name
    if task not in _PREDICTED:
        return {}
    options: dict[str, Any] = {"max_length": setting.length, "long_texts": setting.choices["long_texts"]}
    options = {name: value for name, value in options.items() if value is not None} | _PREDICTED[task]
    if task == "question-answering":
        options["max_seq_len"] = setting.length
        options["handle_impossible_answer"] = not all(map(true_answers, part.examples.evaluation))
    run = pipeline(task, folder, framework=setting.framework, device=setting.device, **options)
    rows = answer_records(task, run, (_asked(task, record) for record in part.examples.evaluation), stop=True)
    lines = [json_line({LINE: row.pop(LINE), FOLD: part.number, **row}) for row in rows]
    return {PREDICTIONS: b"".join(lines)}


def _asked(task: str, record: Record) -> Record:
    """A record whose labels are handed on."""
    learnt = {name: value for name, value in record.values.items() if name in FIELDS[task][1]}
    values = {name: value for name, value in record.values.items() if name not in learnt}
    rest = {f"input_{name}" if name == FOLD else name: value for name, value in record.rest.items()}
    return replace(record, values=values, rest={**rest, **learnt})


def _lines(file: Path) -> Iterator[bytes]:
    with file.open("rb") as lines:
        yield from lines
