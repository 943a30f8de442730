"""Which of two answers people prefer: the scores of a reward model."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from deberta_core.config import BaseConfig
from deberta_dual.backends.protocol import ArrayModel, Comparison
from deberta_dual.data.records import Record
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, Head, at, entry, single_rows
from deberta_dual.finetuning.tasks.ranking import score_head
from deberta_dual.pipelines.examples import check_text
from deberta_dual.pipelines.ranking import check_one_output


class Reward(FinetuneTask):
    """Records: {"text", "rejected"}, and "prompt" where there is one: the text that was chosen, and the other.

    The head has one output, a score. The loss is -log sigmoid of the difference of the scores of a record.

    Source:
        Ouyang et al. (2022), "Training language models to follow instructions with human feedback", equation 1.
    """

    name = "reward"
    task = "sequence_classification"
    entries = ("text", "rejected")
    optional = ("prompt",)

    @classmethod
    def check(cls, record: Record) -> None:
        """Two texts, or three."""
        for name in ("text", "rejected", *(["prompt"] if record.values.get("prompt") is not None else [])):
            check_text(name, entry(record, name))

    @classmethod
    def head(
        cls, records: Sequence[Record], config: BaseConfig, problem_type: str | None, loss: str | None = None
    ) -> Head:
        """One output."""
        super().head(records, config, problem_type)
        return score_head(config)

    @classmethod
    def texts(cls, record: Record) -> list[str]:
        """All there are."""
        return [record.values[name] for name in ("prompt", "text", "rejected") if record.values.get(name) is not None]

    @classmethod
    def group(cls, record: Record) -> Hashable | None:
        """The prompt, where there is one."""
        prompt = record.values.get("prompt")
        return None if prompt is None else str(prompt)

    def features(self, records: Sequence[Record], config: BaseConfig, *, judged: bool = False) -> list[dict[str, Any]]:
        """Makes two rows of every record, of prompt and text each."""
        check_one_output(config, self.name)
        features = []
        for record in records:
            texts, prompt = [entry(record, "text"), entry(record, "rejected")], record.values.get("prompt")
            with at(record):
                inputs = self.encode(texts) if prompt is None else self.encode([prompt] * 2, texts)
            features.append({**inputs, "labels": [[1.0], [0.0]]})
        return features

    def comparison(self) -> Comparison:
        """Two texts as a ranking of one query."""
        return Comparison("pairwise")

    @classmethod
    def metric(cls, config: BaseConfig, records: Sequence[Record]) -> str:
        """The share of records whose chosen text has the higher score."""
        return "accuracy"

    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """Scores `[N, 2]`."""
        rows = [row for feature in features for row in single_rows(feature)]
        logits = np.array([output["logits"][0] for output in self.outputs(model, rows)], dtype=np.float64)
        return logits.reshape(-1, 2)

    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """Accuracy; equal scores are wrong."""
        return {"accuracy": float((answers[:, 0] > answers[:, 1]).mean())}
