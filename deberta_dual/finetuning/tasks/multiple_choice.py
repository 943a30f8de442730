"""One of several texts that may follow a text."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.collation import DataCollatorForMultipleChoice
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.data.records import Record
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, at, entry, single_rows
from deberta_dual.pipelines.examples import check_text
from deberta_dual.pipelines.scores import mean_logits


class MultipleChoice(FinetuneTask):
    """Records: {"text", "choices", "label"}: a text, a list of texts, and which is right.

    A label is the number of the right choice, from 0, its letter, A for the first, or its text. All records have the
    same number of choices.
    """

    name = "multiple-choice"
    task = "multiple_choice"
    entries = ("text", "choices", "label")
    collator = DataCollatorForMultipleChoice

    @classmethod
    def check(cls, record: Record) -> None:
        """A text, a list of texts, and the number of one."""
        text, choices, label = (entry(record, name) for name in cls.entries)
        check_text("text", text)
        if not isinstance(choices, list) or len(choices) < 2:
            raise InputError(f"choices={choices!r:.40} must be a list of at least two texts.")
        for choice in choices:
            check_text("a choice", choice)
        _place(label, choices)

    @classmethod
    def texts(cls, record: Record) -> list[str]:
        """The text and the choices."""
        return [entry(record, "text"), *entry(record, "choices")]

    def features(self, records: Sequence[Record], config: BaseConfig, *, judged: bool = False) -> list[dict[str, Any]]:
        """Makes a row for each choice of every record."""
        number = len(entry(records[0], "choices")) if records else 0
        features = []
        for record in records:
            text, choices, label = (entry(record, name) for name in self.entries)
            with at(record):
                if len(choices) != number:
                    raise InputError(
                        f"there are {len(choices)} choices, but the first example has {number}. Give all equally many."
                    )
                features.append({**self.encode([text] * number, choices), "labels": _place(label, choices)})
        return features

    @classmethod
    def metric(cls, config: BaseConfig, records: Sequence[Record]) -> str:
        """The share of right choices."""
        return "accuracy"

    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """Logits `[N, choices]`."""
        rows = [row for feature in features for row in single_rows(feature)]
        logits = np.stack([output["logits"] for output in self.outputs(model, rows)], axis=-1).astype(np.float64)
        return mean_logits(logits.reshape(len(logits), len(features), -1))

    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """Accuracy."""
        return {"accuracy": float((answers.argmax(axis=1) == wanted_choices(records)).mean())}


def wanted_choices(records: Sequence[Record]) -> NDArray[Any]:
    """The numbers of the right choices, `[N]`."""
    return np.array([_place(entry(record, "label"), entry(record, "choices")) for record in records])


def _place(label: Any, choices: Sequence[str]) -> int:
    """The number of the right choice."""
    letters = ascii_uppercase[: len(choices)]
    for names in ([*map(str, range(len(choices)))], [*letters], choices):
        if names.count(str(label).strip()) == 1:
            return names.index(str(label).strip())
    raise InputError(
        f"the label {label!r:.40} is none of the choices. Give its number, 0 to {len(choices) - 1}, its letter, A to "
        f"{letters[-1]}, or its text."
    )
