"""Classes, sets of classes, or numbers, of texts or pairs of texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, name_list, shown
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.data.records import Record
from deberta_dual.evaluation.classes import Metrics, classification_scores, multi_label_scores
from deberta_dual.evaluation.numbers import regression_scores
from deberta_dual.finetuning.labels import ClassIds, check_label, find_classes, has_fractions, lost_numbers
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, Head, at, entry
from deberta_dual.pipelines.examples import check_text
from deberta_dual.pipelines.scores import sigmoid, softmax
from deberta_dual.pipelines.windows import LONG_TEXTS, text_windows

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
# What decides which model is the best.
METRICS = {SINGLE: "accuracy", MULTI: "f1", REGRESSION: "pearson"}
RECORD = "record"  # of a feature: the number of its record
_TINY = 1e-12
# What the logits of windows become to be averaged, and how they become logits again.
_MEANS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    SINGLE: (softmax, lambda mean: np.log(mean + _TINY)),
    MULTI: (sigmoid, lambda mean: np.log(mean + _TINY) - np.log1p(_TINY - mean)),
    REGRESSION: (np.asarray, np.asarray),
}
_MOST = float(np.finfo(np.float32).max)


class TextClassification(FinetuneTask):
    """Records: {"text", "label"}, and "text_pair" where there is one.

    A label is the name or the number of a class; a list of them, of which none or several may be true; with
    `problem_type="regression"`, a number or a list of numbers; or, of several columns, a dict of their names to 0 and 1
    (classes that are true or not) or to other numbers (regression).
    """

    name = "text-classification"
    task = "sequence_classification"
    entries = ("text", "label")
    optional = ("text_pair",)
    long_texts = LONG_TEXTS

    @classmethod
    def check(cls, record: Record) -> None:
        """One text or two, and a label or a list of different ones."""
        check_text("text", entry(record, "text"))
        if record.values.get("text_pair") is not None:
            check_text("text_pair", record.values["text_pair"])
        label = entry(record, "label")
        for one in label if isinstance(label, list) else [label]:
            if isinstance(label, dict):
                for name, value in label.items():
                    with _of_column(name):
                        _number(value)
            else:
                check_label(one)

    @classmethod
    def head(
        cls, records: Sequence[Record], config: BaseConfig, problem_type: str | None, loss: str | None = None
    ) -> Head:
        """Finds the classes, and what kind of labels they are."""
        labels = [entry(record, "label") for record in records]
        kind = type(labels[0]) if isinstance(labels[0], list | dict) else None
        for record, label in zip(records, labels, strict=True):
            if (type(label) if isinstance(label, list | dict) else None) is not kind:
                raise InputError(f"{record.place}: the label is {label!r:.40}. Give a list everywhere, or nowhere.")
        if kind is dict:
            return _columns_head(labels, config, problem_type)
        problem = problem_type or (MULTI if kind is list else SINGLE)
        if problem == REGRESSION:
            sizes = {len(label) if isinstance(label, list) else 1 for label in labels}
            if len(sizes) > 1:
                raise InputError(f"The labels have {name_list(map(str, sizes))} numbers. Give all equally many.")
            return _regression_head(config, {"num_labels": sizes.pop()})
        if (kind is list) != (problem == MULTI):
            raise InputError(
                f"problem_type={problem!r}, but the first label is {labels[0]!r:.40}. Lists are for {MULTI}."
            )
        flat = [one for label in labels for one in label] if kind is list else labels
        if kind is None and (lost := lost_numbers(labels)):
            raise InputError(
                f"{records[lost[0]].place}: the label is {labels[lost[0]]!r:.40}, and others are numbers. Give a "
                f"number, or leave the example out."
            )
        if has_fractions(flat):
            number = next(label for label in flat if isinstance(label, float) or "." in str(label))
            raise InputError(
                f"The label {number!r} is a number with a fraction, no class. For regression say problem_type="
                f"{REGRESSION!r}; the numbers of classes have no fraction."
            )
        for record, label in zip(records, labels, strict=True):
            if kind is list and len({str(one) for one in label}) < len(label):
                raise InputError(
                    f"{record.place}: the label {label!r:.40} has a class twice. List the classes that are true; a 0 "
                    f"or 1 for each class is read from a column of its own, and for numbers to learn say problem_type="
                    f"{REGRESSION!r}."
                )
        names, is_new = find_classes(flat, config)
        return Head({"problem_type": problem, "id2label": names}, is_new)

    @classmethod
    def texts(cls, record: Record) -> list[str]:
        """The text, and the second one where there is one."""
        pair = record.values.get("text_pair")
        return [entry(record, "text"), *([] if pair is None else [pair])]

    @classmethod
    def stratum(cls, record: Record, config: BaseConfig) -> Hashable | None:
        """The class, or the set of classes; of numbers nothing."""
        if config.problem_type == REGRESSION:
            return None
        label = _label(entry(record, "label"), ClassIds(config.id2label or {}), str(config.problem_type), judged=False)
        return tuple(label) if isinstance(label, list) else label

    def features(self, records: Sequence[Record], config: BaseConfig, *, judged: bool = False) -> list[dict[str, Any]]:
        """Makes a row of every text or pair, or of every window, with the label of its text."""
        assert config.id2label is not None
        ids = ClassIds(config.id2label)
        rows: list[dict[str, Any]] = []
        for number, record in enumerate(records):
            with at(record):
                label = _label(entry(record, "label"), ids, str(config.problem_type), judged)
                text, pair = entry(record, "text"), record.values.get("text_pair")
                if not self.reads_windows:
                    rows.append({**self.encode(text, pair), "labels": label})
                    continue
                windows = text_windows(self.tokenizer, text, pair, self.length)
            rows += [{**inputs, "labels": label, RECORD: number} for inputs in windows]
        return rows

    def collate(self, features: Sequence[Feature]) -> Any:
        """Makes a batch without what is for the scores alone."""
        return super().collate([{name: v for name, v in one.items() if name != RECORD} for one in features])

    @classmethod
    def metric(cls, config: BaseConfig, records: Sequence[Record]) -> str:
        """By the kind of labels; see `METRICS`."""
        return METRICS.get(str(config.problem_type), METRICS[SINGLE])

    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """Logits `[N, C]`; of a text in windows, those of the mean of its probabilities."""
        logits = np.stack([output["logits"] for output in self.outputs(model, features)]).astype(np.float64)
        if not self.reads_windows:
            return logits
        places = np.array([feature[RECORD] for feature in features])
        function, inverse = _MEANS[str(model.config.problem_type)]
        windows = [function(logits[places == number]).mean(axis=0) for number in range(len(records))]
        return inverse(np.stack(windows))

    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """Accuracy and F1; of numbers, their correlation and squared error."""
        wanted = wanted_labels(config, records)
        if config.problem_type == REGRESSION:
            return regression_scores(answers, wanted)
        if config.problem_type == MULTI:
            found = np.zeros(wanted.shape, dtype=bool)
            found[:, : answers.shape[1]] = answers > 0
            return multi_label_scores(found, wanted)
        return classification_scores(answers.argmax(axis=1), wanted)


def wanted_labels(config: BaseConfig, records: Sequence[Record]) -> NDArray[Any]:
    """The labels of records that a model is judged by.

    Returns:
        classes `[N]`, with `IGNORED_LABEL` for one that the model does not have; numbers `[N, C]`; or, of several
        classes a text, booleans `[N, C]`, with a further column for classes that the model does not have.
    """
    assert config.id2label is not None
    ids, problem = ClassIds(config.id2label), str(config.problem_type)
    labels = [_label(entry(record, "label"), ids, problem, judged=True) for record in records]
    if problem == REGRESSION:
        return np.array(labels, dtype=np.float64).reshape(len(labels), -1)
    if problem != MULTI:
        return np.array(labels)
    unknown = [[any(one not in ids for one in entry(record, "label"))] for record in records]
    wanted = np.array(labels) > 0.5
    return np.hstack([wanted, unknown]) if np.any(unknown) else wanted


def _columns_head(labels: Sequence[Mapping[str, Any]], config: BaseConfig, problem_type: str | None) -> Head:
    """The head for labels that stand in several columns; the classes are those columns."""
    numbers = {_number(value) for label in labels for value in label.values()}
    problem = problem_type or (MULTI if numbers <= {0.0, 1.0} else REGRESSION)
    if problem == SINGLE or (problem == MULTI and not numbers <= {0.0, 1.0}):
        other = next(iter(numbers - {0.0, 1.0}), 0.0)
        rule = f"a 0 or 1 in each; there is {other:g}" if problem == MULTI else "one column"
        raise InputError(f"problem_type={problem!r} needs {rule}. Choose other columns, or another problem type.")
    names = dict(enumerate(labels[0]))
    if problem == REGRESSION:
        return _regression_head(config, {"id2label": names})
    known = {name.lower() for name in (config.id2label or {}).values()}
    same = known == {name.lower() for name in names.values()}
    return Head({"problem_type": problem, "id2label": config.id2label if same else names}, not same)


def _regression_head(config: BaseConfig, changes: dict[str, Any]) -> Head:
    count = changes.get("num_labels") or len(changes["id2label"])
    is_new = config.problem_type != REGRESSION or config.num_labels != count
    return Head({"problem_type": REGRESSION, **changes}, is_new)


def _label(label: Any, ids: ClassIds, problem: str, judged: bool) -> Any:
    if isinstance(label, dict):
        values = {}
        for name, value in label.items():
            with _of_column(name):
                values[ids[name]] = _number(value)
        return [values[number] for number in range(len(ids))]
    if problem == REGRESSION:
        return [_number(one) for one in label] if isinstance(label, list) else _number(label)
    if isinstance(label, list) != (problem == MULTI):
        raise InputError(f"the label is {label!r:.40}, but problem_type={problem!r}. Lists are for {MULTI}.")
    if problem == MULTI:
        chosen = {ids.or_unknown(one) if judged else ids[one] for one in label}
        return [float(number in chosen) for number in range(len(ids))]
    return ids.or_unknown(label) if judged else ids[label]


def _number(label: Any) -> float:
    try:
        number = float(label)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= _MOST:
        raise InputError(f"the label {shown(label, 40)} is no number. Regression learns finite numbers.")
    return number


@contextmanager
def _of_column(name: str) -> Iterator[None]:
    try:
        yield
    except InputError as problem:
        raise InputError(f"column {name!r}: {problem}") from None
