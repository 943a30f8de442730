"""Scores of documents for a query, as of a cross-encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, one_of
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import read_texts
from deberta_dual.pipelines.options import TextOptions
from deberta_dual.pipelines.scores import FUNCTIONS
from deberta_dual.pipelines.text_classification import TextClassificationPipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class RankingOptions(TextOptions):
    """What can be chosen.

    Args:
        function_to_apply: to the logit: "sigmoid" or "none"; None: what the model was trained for.
    """

    function_to_apply: str | None = None

    def __post_init__(self) -> None:
        TextOptions.__post_init__(self)
        if self.function_to_apply is not None and self.function_to_apply not in FUNCTIONS:
            raise InputError(one_of("function_to_apply", self.function_to_apply, tuple(FUNCTIONS)))


class RankingPipeline(TextClassificationPipeline):
    """Inputs: {"query", "document"}, or the two as a tuple. Results: {"score"}; `rank` orders documents.

    Scores are from 0 to 1 where the model was trained on such relevances, and unbounded otherwise.
    """

    task = "ranking"
    options_class: ClassVar[type[Any]] = RankingOptions
    every_score: ClassVar[Mapping[str, Any]] = {}

    def __call__(self, inputs: Any, *, progress: bool | None = None, **options: Any) -> Any:
        """Answers one input, or many; see `Pipeline.__call__`."""
        return Pipeline.__call__(self, inputs, progress=progress, **options)

    @classmethod
    def folder_options(cls, folder: str | Path, **hub_options: Any) -> dict[str, Any]:
        """None: a temperature changes no order."""
        return {}

    def check_model(self, options: Any) -> None:
        """Raises InputError if the model has several outputs."""
        Pipeline.check_model(self, options)
        check_one_output(self.arrays.config, self.task)

    def prepare(self, example: Any, options: Any) -> Prepared:
        """Makes one row of query and document."""
        if isinstance(example, list | tuple) and len(example) == 2:
            example = dict(zip(("query", "document"), example, strict=True))
        texts = read_texts(example, ["query", "document"])
        return Prepared([ModelRow(self.tokenize(texts["query"], texts["document"], options))])

    def finish(self, prepared: Prepared, options: Any) -> Any:
        """Gives the score."""
        function = FUNCTIONS[options.function_to_apply or self._activation()]
        return {"score": float(function(prepared.values[0]["logits"])[0])}


def check_one_output(config: BaseConfig, task: str = "ranking") -> None:
    """Raises InputError unless the head has one output."""
    if config.num_labels != 1:
        raise InputError(
            f"{task} needs a model of one class, and this one has {config.num_labels}. Fine-tune it for {task} first."
        )
