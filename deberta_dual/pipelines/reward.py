"""Scores of texts, as of a reward model."""

from __future__ import annotations

from typing import Any

from deberta_dual.pipelines.base import Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import read_texts
from deberta_dual.pipelines.ranking import RankingPipeline


class RewardPipeline(RankingPipeline):
    """Inputs: a text; {"text", "prompt"}; or prompt and text as a tuple. Results: {"score"}; `rank` orders texts.

    Scores have no bounds; only differences of scores for one prompt mean something.
    """

    task = "reward"

    def prepare(self, example: Any, options: Any) -> Prepared:
        """Makes one row of a text, behind its prompt where there is one."""
        if isinstance(example, list | tuple) and len(example) == 2:
            example = dict(zip(("prompt", "text"), example, strict=True))
        texts = read_texts(example, ["text"], ["prompt"])
        first, *second = [texts[name] for name in ("prompt", "text") if name in texts]
        return Prepared([ModelRow(self.tokenize(first, next(iter(second), None), options))])

    def _activation(self) -> str:
        """None."""
        return "none"
