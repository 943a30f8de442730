"""Answers that are parts of a text, or that there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deberta_core.collation import answer_windows
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.data.records import Record
from deberta_dual.evaluation.answers import answer_scores
from deberta_dual.evaluation.classes import Metrics
from deberta_dual.finetuning.schedule import Feature
from deberta_dual.finetuning.tasks.base import FinetuneTask, at, entry
from deberta_dual.pipelines.examples import check_text
from deberta_dual.pipelines.question_answering import WINDOW, QuestionAnsweringPipeline, usual_stride

Answers = list[tuple[int, str]]


class QuestionAnswering(FinetuneTask):
    """Records: {"question", "context", "answers"}, as SQuAD has them.

    `answers` is a list of {"text", "answer_start"}, or one such with two lists in it; it is empty, or missing beside
    `is_impossible`, where there is no answer. The first one is learnt, all count as right.
    """

    name = "question-answering"
    task = "question_answering"
    entries = ("question", "context", "answers")
    optional = ("is_impossible",)
    max_length = WINDOW

    @classmethod
    def check(cls, record: Record) -> None:
        """Two texts, and answers that are parts of the second."""
        for name in ("question", "context"):
            check_text(name, entry(record, name))
        true_answers(record)

    @classmethod
    def texts(cls, record: Record) -> list[str]:
        """Question and context."""
        return [entry(record, "question"), entry(record, "context")]

    def features(self, records: Sequence[Record], config: BaseConfig, *, judged: bool = False) -> list[dict[str, Any]]:
        """Makes the windows of every context, as the pipeline does."""
        features: list[dict[str, Any]] = []
        for record in records:
            question, context = (entry(record, name) for name in ("question", "context"))
            with at(record):
                answers = true_answers(record)
                span = (answers[0][0], answers[0][0] + len(answers[0][1])) if answers else None
                stride = usual_stride(self.tokenizer, question, self.length)
                windows = answer_windows(
                    self.tokenizer, [question], [context], [span], max_length=self.length, stride=stride
                )
            features += [window.inputs for window in windows]
        return features

    @classmethod
    def metric(cls, config: BaseConfig, records: Sequence[Record]) -> str:
        """F1 of words."""
        return "f1"

    def answer(self, model: ArrayModel, records: Sequence[Record], features: Sequence[Feature]) -> Any:
        """The pipeline's answers, a list of dicts."""
        run = QuestionAnsweringPipeline(
            model,
            self.tokenizer,
            batch_size=self.batch_size,
            max_seq_len=self.length,
            handle_impossible_answer=not all(map(true_answers, records)),
        )
        asked = [{name: entry(record, name) for name in ("question", "context")} for record in records]
        return list(run.stream(asked, progress=False))

    def compare(self, config: BaseConfig, answers: Any, records: Sequence[Record]) -> Metrics:
        """Exact match and F1 of words."""
        return answer_scores([answer["answer"] for answer in answers], true_texts(records))


def true_texts(records: Sequence[Record]) -> list[list[str]]:
    """The true answers of every record."""
    return [[text for _, text in true_answers(record)] for record in records]


def true_answers(record: Record) -> Answers:
    """The answers of a record: first character and text.

    Raises:
        InputError: they have another form, or are not where they should be.
    """
    values = record.values
    answers = [] if values.get("is_impossible") else entry(record, "answers")
    try:
        if isinstance(answers, dict):
            found = list(zip(answers["answer_start"], answers["text"], strict=True))
        else:
            found = [(answer["answer_start"], answer["text"]) for answer in answers]
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f'answers={answers!r:.60} are not like SQuAD\'s. Give a list of {{"text", "answer_start"}}.'
        ) from None
    for start, text in found:
        if not isinstance(text, str) or not isinstance(start, int) or start < 0:
            raise InputError(f"the answer {text!r:.40} at {start!r:.20} is no text at the number of a character.")
        if not text or values["context"][start : start + len(text)] != text:
            raise InputError(
                f"the answer {text!r:.40} does not stand at character {start} of its context. Count from 0; for no "
                f"answer leave the list empty."
            )
    return found
