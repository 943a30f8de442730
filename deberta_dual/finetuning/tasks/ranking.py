"""How well a document fits a query."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.comparisons import GROUP_LOSSES
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, shown
from deberta_dual.backends.protocol import ArrayModel, Comparison
from deberta_dual.data.records import Record
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.evaluation.numbers import DEPTH, ranking_scores
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import MODEL_ROW, FinetuneTask, Head, at, entry, single_rows
from deberta_dual.finetuning.tasks.text_classification import MULTI, REGRESSION
from deberta_dual.pipelines.examples import check_text
from deberta_dual.pipelines.ranking import check_one_output

RECORDS = "records"  # of a feature: the numbers of its records
MOST_RELEVANT = 1000  # the gain of NDCG is 2 to that power, which is still a float


class Ranking(FinetuneTask):
    """Records: {"query", "document", "relevance"}: two texts, and a number of 0 or more.

    A cross-encoder: query and document are one row, and the head has one output. Equal queries are one query.

    Of the losses "pointwise", the usual one, learns relevances in [0, 1] by binary cross-entropy, and other ones by the
    squared error; "pairwise" and "listwise" compare the documents of a query, which is one example then.
    """

    name = "ranking"
    task = "sequence_classification"
    entries = ("query", "document", "relevance")
    losses = ("pointwise", *GROUP_LOSSES)

    @classmethod
    def check(cls, record: Record) -> None:
        """Two texts and a relevance."""
        for name in ("query", "document"):
            check_text(name, entry(record, name))
        relevance_of(record)

    @classmethod
    def head(
        cls, records: Sequence[Record], config: BaseConfig, problem_type: str | None, loss: str | None = None
    ) -> Head:
        """One output; what kind of numbers it learns is read off the relevances."""
        super().head(records, config, problem_type)
        if loss in GROUP_LOSSES:
            return score_head(config)
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
        if self.comparison() is None:
            return rows
        features = [_grouped(rows, own.tolist()) for own in queries_of(records)]
        if not judged and not any(map(self.count, features)):
            raise InputError(f"loss={self.loss!r} compares documents, but no query has two of different relevance.")
        return features

    def comparison(self) -> Comparison | None:
        """None for the pointwise loss."""
        return Comparison(self.loss) if self.loss in GROUP_LOSSES else None

    def count(self, feature: Feature) -> int:
        """The pairs of different relevance, or lists of several documents; single documents."""
        if self.loss == "pairwise":
            relevances = np.array(feature["labels"])
            return int((relevances > relevances.T).sum())
        return int(self.loss != "listwise" or len(feature["labels"]) > 1)

    @classmethod
    def metric(cls, config: BaseConfig, records: Sequence[Record]) -> str:
        """NDCG of the first documents."""
        return f"ndcg@{DEPTH}"

    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """Logits `[N]`."""
        rows, places = list(features), list(range(len(features)))
        if self.comparison() is not None:
            rows = [row for feature in features for row in single_rows(feature)]
            places = [place for feature in features for place in feature[RECORDS]]
        logits = np.zeros(len(rows))
        logits[places] = [output["logits"][0] for output in self.outputs(model, rows)]
        return logits

    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """MRR, NDCG and MAP, means over queries."""
        wanted, queries = wanted_relevances(records), [*queries_of(records)]
        return ranking_scores([answers[own] for own in queries], [wanted[own] for own in queries])


def score_head(config: BaseConfig) -> Head:
    """A head of one output, a score without bounds, of which only differences count.

    sentence-transformers' `CrossEncoder` finds in config.json that nothing is applied to it.
    """
    extra = {**config.extra, "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}
    return Head({"problem_type": None, "num_labels": 1, "extra": extra}, config.num_labels != 1)


def _grouped(rows: Sequence[Feature], own: Sequence[int]) -> dict[str, Any]:
    """One feature of the rows of a query."""
    names = [name for name in MODEL_ROW if name in rows[0]]
    grouped: dict[str, Any] = {name: [rows[place][name] for place in own] for name in names}
    return grouped | {"labels": [[rows[place]["labels"]] for place in own], RECORDS: list(own)}


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
