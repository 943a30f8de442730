"""Classes of words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.collation import DataCollatorForTokenClassification, align_word_labels
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, one_of
from deberta_core.inputs import IGNORED_LABEL
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.data.records import Record
from deberta_dual.data.words import CONFIG_KEY, choose_rule
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.evaluation.entities import SCHEMES, entity_scores, in_scheme
from deberta_dual.finetuning.labels import OUTSIDE, ClassIds, check_label, find_classes
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, Head, at, entry

# What a feature holds for the scores alone.
RECORD, STARTS = "record", "word_starts"
SCHEME = "label_scheme"  # in config.json, of a model that learnt labels of a scheme, whatever that of the data


class TokenClassification(FinetuneTask):
    """Records: {"words", "labels"}, two lists of equal length.

    The first token of a word has the word's label, the others have none, so that the pipeline's aggregation strategy
    "first" gives what was trained. What is too long is read in several windows.
    """

    name = "token-classification"
    task = "token_classification"
    entries = ("words", "labels")
    collator = DataCollatorForTokenClassification

    @classmethod
    def check(cls, record: Record) -> None:
        """As many labels as words."""
        words, labels = entry(record, "words"), entry(record, "labels")
        if not isinstance(words, list) or not isinstance(labels, list) or len(words) != len(labels) or not words:
            raise InputError("words and labels must be two lists of the same length, at least 1.")
        for word, label in zip(words, labels, strict=True):
            if not isinstance(word, str):
                raise InputError(f"words hold {word!r:.60}, of type {type(word).__name__}. A word must be a str.")
            check_label(label)

    @classmethod
    def head(
        cls, records: Sequence[Record], config: BaseConfig, problem_type: str | None, loss: str | None = None
    ) -> Head:
        """Finds the classes, and the rule by which running text has such words."""
        if problem_type is not None:
            raise InputError(f"problem_type={problem_type!r} is for text-classification alone. Leave it out.")
        names, is_new = find_classes([label for record in records for label in labels_of(record, config)], config)
        rule = choose_rule([entry(record, "words") for record in records])
        return Head({"id2label": names, "extra": {**config.extra, CONFIG_KEY: rule}}, is_new)

    @classmethod
    def labels_in(cls, scheme: str) -> dict[str, Any]:
        """The scheme, which stays with the model, so that data of any scheme judge it."""
        if scheme not in SCHEMES:
            raise InputError(one_of(SCHEME, scheme, tuple(SCHEMES)))
        return {SCHEME: scheme}

    @classmethod
    def texts(cls, record: Record) -> list[str]:
        """The words as one text."""
        return [" ".join(entry(record, "words"))]

    def features(self, records: Sequence[Record], config: BaseConfig, *, judged: bool = False) -> list[dict[str, Any]]:
        """Makes the windows of every text."""
        assert config.id2label is not None
        ids = ClassIds(config.id2label)
        features: list[dict[str, Any]] = []
        for number, record in enumerate(records):
            with at(record):
                find = ids.or_unknown if judged else ids.__getitem__
                labels = [find(label) for label in labels_of(record, config)]
                features += self._windows(entry(record, "words"), labels, number)
        return features

    def collate(self, features: Sequence[Feature]) -> Any:
        """Makes a batch without what is for the scores alone."""
        return super().collate([{k: v for k, v in one.items() if k not in (RECORD, STARTS)} for one in features])

    def count(self, feature: Feature) -> int:
        """The words with a label."""
        return sum(label >= 0 for label in feature["labels"])

    @classmethod
    def metric(cls, config: BaseConfig, records: Sequence[Record]) -> str:
        """F1 of entities."""
        return "f1"

    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """The logits of every word, a list of `[words, C]`; zeros for words without a token."""
        assert model.config.num_labels is not None
        found = [np.zeros((len(entry(record, "words")), model.config.num_labels)) for record in records]
        for feature, output in zip(features, self.outputs(model, features), strict=True):
            for token, word in feature[STARTS]:
                found[feature[RECORD]][word] = output["logits"][token]
        return found

    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """Precision, recall and F1 of whole entities; words without a token are found to be outside."""
        return entity_scores(found_labels(config, answers), wanted_labels(config, records))

    def _windows(self, words: list[str], labels: list[int], record: int) -> list[dict[str, Any]]:
        encoding = self.tokenizer(
            [words],
            is_split_into_words=True,
            truncation=True,
            max_length=self.length,
            return_overflowing_tokens=True,
        )
        rows, last = [], None
        for row in range(len(encoding["input_ids"])):
            word_ids = encoding.word_ids(row)
            inputs = {name: encoding[name][row] for name in self.tokenizer.model_input_names}
            own = align_word_labels(labels, word_ids)
            starts = [
                (place, word)
                for place, (word, before) in enumerate(zip(word_ids, [None, *word_ids], strict=False))
                if word is not None and word != before
            ]
            if starts and starts[0][1] == last:  # the rest of a word that begins in the window before
                own[starts.pop(0)[0]] = IGNORED_LABEL
            last = next((word for word in reversed(word_ids) if word is not None), None)
            rows.append({**inputs, "labels": own, RECORD: record, STARTS: starts})
        return rows


def found_labels(config: BaseConfig, answers: Sequence[NDArray[Any]]) -> list[list[str]]:
    """The names of the best classes of words; "O" for words without a token."""
    assert config.id2label is not None
    names = config.id2label
    return [[names[int(row.argmax())] if row.any() else OUTSIDE for row in rows] for rows in answers]


def wanted_labels(config: BaseConfig, records: Sequence[Record]) -> list[list[str]]:
    """The names of the classes of words, as the model calls them."""
    ids = ClassIds(config.id2label or {})
    return [[ids.name(label) for label in labels_of(record, config)] for record in records]


def labels_of(record: Record, config: BaseConfig) -> list[Any]:
    """The labels of a record, in the scheme of the model's configuration if that has one."""
    labels: list[Any] = entry(record, "labels")
    scheme = config.extra.get(SCHEME)
    if scheme not in SCHEMES:
        return labels
    if not all(isinstance(label, str) for label in labels):
        raise InputError(f"labels={labels!r:.60} are no names, and label_scheme={scheme!r} is of names. Give names.")
    return in_scheme(labels, scheme)
