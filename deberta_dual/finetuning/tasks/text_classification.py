"""Classes, sets of classes, or numbers, of texts or pairs of texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, shown
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.data.records import Record
from deberta_dual.finetuning.labels import ClassIds, check_label, find_classes, has_fractions
from deberta_dual.finetuning.metrics import (
    Metrics,
    classification_scores,
    multi_label_scores,
    regression_scores,
)
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, Head, at, entry
from deberta_dual.pipelines.examples import check_text

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
# What decides which model is the best.
METRICS = {SINGLE: "accuracy", MULTI: "f1", REGRESSION: "pearson"}


_MOST = float(np.finfo(np.float32).max)


class TextClassification(FinetuneTask):
    """Records: {"text", "label"}, and "text_pair" where there is one.

    A label is the name or the number of a class; a list of them, of which none or several may be true; or, with
    `problem_type="regression"`, a number.
    """

    name = "text-classification"
    task = "sequence_classification"
    entries = ("text", "label")
    optional = ("text_pair",)

    @classmethod
    def check(cls, record: Record) -> None:
        """One text or two, and a label or a list of different ones."""
        check_text("text", entry(record, "text"))
        if record.values.get("text_pair") is not None:
            check_text("text_pair", record.values["text_pair"])
        label = entry(record, "label")
        for one in label if isinstance(label, list) else [label]:
            check_label(one)
        if isinstance(label, list) and len({str(one) for one in label}) < len(label):
            raise InputError(
                f"the label {label!r:.40} has a class twice. List the classes that are true, not a 0 or 1 for each."
            )

    @classmethod
    def head(cls, records: Sequence[Record], config: BaseConfig, problem_type: str | None) -> Head:
        """Finds the classes, and what kind of labels they are."""
        labels = [entry(record, "label") for record in records]
        are_lists = isinstance(labels[0], list)
        for record, label in zip(records, labels, strict=True):
            if isinstance(label, list) != are_lists:
                raise InputError(f"{record.place}: the label is {label!r:.40}. Give a list everywhere, or nowhere.")
        problem = problem_type or (MULTI if are_lists else SINGLE)
        if are_lists != (problem == MULTI):
            raise InputError(
                f"problem_type={problem!r}, but the first label is {labels[0]!r:.40}. Lists are for {MULTI}."
            )
        if problem == REGRESSION:
            return Head({"problem_type": problem, "num_labels": 1}, config.problem_type != problem)
        flat = [one for label in labels for one in label] if are_lists else labels
        if has_fractions(flat):
            number = next(label for label in flat if isinstance(label, float) or "." in str(label))
            raise InputError(
                f"The label {number!r} is a number with a fraction, no class. For regression say problem_type="
                f"{REGRESSION!r}; the numbers of classes have no fraction."
            )
        names, is_new = find_classes(flat, config)
        return Head({"problem_type": problem, "id2label": names}, is_new)

    @classmethod
    def texts(cls, record: Record) -> list[str]:
        """The text, and the second one where there is one."""
        pair = record.values.get("text_pair")
        return [entry(record, "text"), *([] if pair is None else [pair])]

    def features(self, records: Sequence[Record], config: BaseConfig) -> list[dict[str, Any]]:
        """Makes a row of every text or pair."""
        assert config.id2label is not None
        ids = ClassIds(config.id2label)
        rows = []
        for record in records:
            with at(record):
                label = _label(entry(record, "label"), ids, str(config.problem_type))
                inputs = self.encode(entry(record, "text"), record.values.get("text_pair"))
            rows.append({**inputs, "labels": label})
        return rows

    @classmethod
    def metric(cls, config: BaseConfig) -> str:
        """By the kind of labels; see `METRICS`."""
        return METRICS[str(config.problem_type)]

    def score(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Metrics:
        """Accuracy and F1; of numbers, their correlation and squared error."""
        logits = np.stack([output["logits"] for output in self.outputs(model, features)])
        wanted = np.array([feature["labels"] for feature in features])
        if model.config.problem_type == REGRESSION:
            return regression_scores(logits[:, 0], wanted)
        if model.config.problem_type == MULTI:
            return multi_label_scores(logits > 0, wanted > 0.5)
        return classification_scores(logits.argmax(axis=1), wanted)


def _label(label: Any, ids: ClassIds, problem: str) -> Any:
    if isinstance(label, list) != (problem == MULTI):
        raise InputError(f"the label is {label!r:.40}, but problem_type={problem!r}. Lists are for {MULTI}.")
    if problem == MULTI:
        chosen = {ids[one] for one in label}
        return [float(number in chosen) for number in range(len(ids))]
    if problem == SINGLE:
        return ids[label]
    try:
        number = float(label)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= _MOST:
        raise InputError(f"the label {shown(label, 40)} is no number. Regression learns finite numbers.")
    return number
