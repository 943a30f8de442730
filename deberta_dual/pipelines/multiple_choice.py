"""Which of several texts goes on best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from deberta_core.errors import InputError
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_count, check_text, read_fields
from deberta_dual.pipelines.options import TextOptions
from deberta_dual.pipelines.scores import best, mean_logits, softmax


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipleChoiceOptions(TextOptions):
    """What can be chosen.

    Args:
        top_k: how many choices; None: all.
    """

    top_k: int | None = 1

    def __post_init__(self) -> None:
        TextOptions.__post_init__(self)
        check_count("top_k", self.top_k, none="for all")


class MultipleChoicePipeline(Pipeline):
    """Inputs: {"text", "choices"}, a text and a list of texts that may follow.

    Results: {"label", "choice", "score"}, the number of a choice, its text and its probability; a list of them unless
    `top_k` is 1.
    """

    task = "multiple-choice"
    model_task = "multiple_choice"
    options_class = MultipleChoiceOptions
    in_rows = True

    def prepare(self, example: Any, options: MultipleChoiceOptions) -> Prepared:
        """Makes a row for each choice: the text, and the choice."""
        fields = read_fields(example, ["text", "choices"])
        check_text("text", fields["text"])
        choices = fields["choices"]
        if not isinstance(choices, list | tuple) or not choices:
            raise InputError(f"choices={choices!r:.60} is not allowed. Give a list of at least one text.")
        for number, choice in enumerate(choices):
            check_text(f"choices[{number}]", choice)
        return Prepared([ModelRow(self.tokenize(fields["text"], choice, options)) for choice in choices], choices)

    def finish(self, prepared: Prepared, options: MultipleChoiceOptions) -> Any:
        """Names the best choices."""
        logits = np.stack([value["logits"] for value in prepared.values], axis=-1)  # [models, choices]
        scores = softmax(mean_logits(logits.astype(np.float64)))
        found = [
            {"label": number, "choice": prepared.texts[number], "score": float(scores[number])}
            for number in best(scores, options.top_k)
        ]
        return found[0] if options.top_k == 1 else found
