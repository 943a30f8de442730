"""How well a document fits a query."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, shown
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.data.records import Record
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.evaluation.numbers import DEPTH, ranking_scores
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, Head, at, entry
from deberta_dual.finetuning.tasks.text_classification import MULTI, REGRESSION
from deberta_dual.pipelines.examples import check_text
from deberta_dual.pipelines.ranking import check_one_output

MOST_RELEVANT = 1000  # the gain of NDCG is 2 to that power, which is still a float


class Ranking(FinetuneTask):
    """Records: {"query", "document", "relevance"}: two texts, and a number of 0 or more.

    A cross-encoder: query and document are one row, and the head has one output. Where all relevances are in [0, 1] it
    learns them by binary cross-entropy, and other ones by the squared error. Equal queries are one query.
    """

    name = "ranking"
    task = "sequence_classification"
    entries = ("query", "document", "relevance")

    @classmethod
    def check(cls, record: Record) -> None:
        """Two texts and a relevance."""
        for name in ("query", "document"):
            check_text(name, entry(record, name))
        relevance_of(record)

    @classmethod
    def head(cls, records: Sequence[Record], config: BaseConfig, problem_type: str | None) -> Head:
        """One output; what kind of numbers it learns is read off the relevances."""
        super().head(records, config, problem_type)
        problem = MULTI if all(relevance_of(record) <= 1 for record in records) else REGRESSION
        is_new = config.num_labels != 1 or config.problem_type not in (None, problem)
        return Head({"problem_type": problem, **({"num_labels": 1} if is_new else {})}, is_new)

    @classmethod
    def texts(cls, record: Record) -> list[str]:
        """Query and document."""
        return [entry(record, "query"), entry(record, "document")]

    @classmethod
    def group(cls, record: Record) -> Hashable:
        """The query."""
        return str(entry(record, "query"))

    def features(self, records: Sequence[Record], config: BaseConfig, *, judged: bool = False) -> list[dict[str, Any]]:
        """Makes a row of every query with a document."""
        check_one_output(config)
        rows = []
        for record in records:
            with at(record):
                relevance = relevance_of(record)
                inputs = self.encode(entry(record, "query"), entry(record, "document"))
            rows.append({**inputs, "labels": [relevance] if config.problem_type == MULTI else relevance})
        return rows

    @classmethod
    def metric(cls, config: BaseConfig) -> str:
        """NDCG of the first documents."""
        return f"ndcg@{DEPTH}"

    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """Logits `[N]`."""
        return np.array([output["logits"][0] for output in self.outputs(model, features)], dtype=np.float64)

    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """MRR, NDCG and MAP, means over queries."""
        wanted, queries = wanted_relevances(records), [*queries_of(records)]
        return ranking_scores([answers[own] for own in queries], [wanted[own] for own in queries])


def relevance_of(record: Record) -> float:
    """The relevance.

    Raises:
        InputError: it is no number from 0 to `MOST_RELEVANT`.
    """
    given = entry(record, "relevance")
    try:
        number = float(given)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= MOST_RELEVANT:
        raise InputError(
            f"relevance={shown(given, 40)} is no number from 0 to {MOST_RELEVANT}. Give 0 for no relevance."
        )
    return number


def wanted_relevances(records: Sequence[Record]) -> NDArray[np.float64]:
    """The relevances, `[N]`."""
    return np.array([relevance_of(record) for record in records])


def queries_of(records: Sequence[Record]) -> Iterator[NDArray[np.int64]]:
    """The numbers of the records of each query, in the order of the queries' first records."""
    places: dict[Hashable, list[int]] = {}
    for number, record in enumerate(records):
        places.setdefault(Ranking.group(record), []).append(number)
    for own in places.values():
        yield np.array(own)
