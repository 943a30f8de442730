"""Answers that are parts of a text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from deberta_core.collation import AnswerWindow, answer_windows
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_count, check_flag, read_texts
from deberta_dual.pipelines.scores import Floats, best, softmax
from deberta_dual.pipelines.spans import trimmed

WINDOW = 384  # tokens of question and context together, as models are fine-tuned on SQuAD
STRIDE = 128  # tokens that two windows share


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnsweringOptions:
    """What can be chosen.

    Args:
        top_k: how many answers.
        max_answer_len: of an answer, in tokens.
        max_seq_len: of a window, question and context together, in tokens; None: 384, or what the model can read if
            that is less.
        doc_stride: how many tokens of the context two windows share; None: 128, or half of what a window holds of the
            context if that is less.
        handle_impossible_answer: whether "no answer", an empty one, is among the answers.
    """

    top_k: int = 1
    max_answer_len: int = 15
    max_seq_len: int | None = None
    doc_stride: int | None = None
    handle_impossible_answer: bool = False

    def __post_init__(self) -> None:
        check_count("top_k", self.top_k)
        check_count("max_answer_len", self.max_answer_len)
        check_count("max_seq_len", self.max_seq_len, least=8, none=f"for {WINDOW}")
        check_count("doc_stride", self.doc_stride, least=0, none=f"for {STRIDE}")
        check_flag("handle_impossible_answer", self.handle_impossible_answer)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A part of the context as an answer, or, with both places 0, that there is none."""

    score: float
    start: int = 0
    end: int = 0


class QuestionAnsweringPipeline(Pipeline):
    """Inputs: {"question", "context"}. Results: {"score", "start", "end", "answer"}; a list unless `top_k` is 1.

    `answer` is `context[start:end]`. A long context is read in windows that overlap. A score is the product of the
    probabilities of the first and the last token, each among the tokens of the window's context and the context token;
    of an answer that two windows give, the higher one counts. An empty answer means that there is none; where it is not
    asked for, it is given only for contexts without any token.
    """

    name = "question-answering"
    task = "question_answering"
    options_class = QuestionAnsweringOptions

    def __call__(self, inputs: Any = None, **options: Any) -> Any:
        """As other pipelines; a single input may also be given as `question=..., context=...`."""
        if inputs is None:
            inputs = {name: options.pop(name, None) for name in ("question", "context")}
        return super().__call__(inputs, **options)

    def prepare(self, example: Any, options: QuestionAnsweringOptions) -> Prepared:
        """Makes a row for each window of the context."""
        texts = read_texts(example, ["question", "context"])
        max_length = min(self.max_length, options.max_seq_len or WINDOW)
        stride = options.doc_stride
        if stride is None:
            stride = usual_stride(self.tokenizer, texts["question"], max_length)
        windows = answer_windows(
            self.tokenizer, [texts["question"]], [texts["context"]], max_length=max_length, stride=stride
        )
        return Prepared([ModelRow(window.inputs) for window in windows], (texts["context"], windows))

    def reduce(self, prepared: Prepared, row: int, outputs: Arrays, options: QuestionAnsweringOptions) -> Any:
        """Finds the best answers of a window, and how sure it is that there is none."""
        context, windows = prepared.texts
        window: AnswerWindow = windows[row]
        in_context = np.array([span is not None for span in window.spans])
        allowed = in_context.copy()
        allowed[0] = True  # the context token, which stands for no answer
        start, end = (softmax(np.where(allowed, outputs[name], -np.inf)) for name in ("start_logits", "end_logits"))
        nothing = Candidate(float(start[0] * end[0]))
        found = _best_spans(start * in_context, end * in_context, options)
        return nothing, [one for one in (_candidate(*span, window, context) for span in found) if one is not None]

    def finish(self, prepared: Prepared, options: QuestionAnsweringOptions) -> Any:
        """Chooses among the answers of all windows."""
        context, _ = prepared.texts
        by_span: dict[tuple[int, int], Candidate] = {}
        for _, candidates in prepared.values:
            for one in candidates:
                known = by_span.get((one.start, one.end), one)
                by_span[one.start, one.end] = max(known, one, key=_score)
        answers = list(by_span.values())
        if options.handle_impossible_answer or not answers:
            answers.append(min((nothing for nothing, _ in prepared.values), key=_score))
        answers = sorted(answers, key=_score, reverse=True)[: options.top_k]
        results = [
            {"score": one.score, "start": one.start, "end": one.end, "answer": context[one.start : one.end]}
            for one in answers
        ]
        return results[0] if options.top_k == 1 else results


def usual_stride(tokenizer: Any, question: str, max_length: int) -> int:
    """How many tokens two windows share: 128, or half of what a window holds of the context if that is less."""
    asked = len(tokenizer.encode(question, add_special_tokens=False))
    room: int = max_length - asked - tokenizer.num_special_tokens_to_add(pair=True)
    return max(min(STRIDE, room // 2), 0)


def _score(candidate: Candidate) -> float:
    return candidate.score


def _best_spans(start: Floats, end: Floats, options: QuestionAnsweringOptions) -> Iterator[tuple[float, int, int]]:
    """Score, first and last token of the most probable answers, the best first; at most `max_answer_len` tokens."""
    # Along a diagonal all answers have one length, so that a window takes memory of its length times the answer's.
    lengths = range(min(options.max_answer_len, len(start)))
    scores = np.concatenate([start[: len(start) - more] * end[more:] for more in lengths])
    firsts = np.concatenate([np.arange(len(start) - more) for more in lengths])
    lasts = np.concatenate([np.arange(more, len(start)) for more in lengths])
    # Several spans of tokens may be one of characters.
    for place in best(scores, 4 * options.top_k):
        if scores[place] > 0:
            yield float(scores[place]), int(firsts[place]), int(lasts[place])


def _candidate(score: float, first: int, last: int, window: AnswerWindow, context: str) -> Candidate | None:
    """An answer by its characters, without white space around it; None if nothing is left."""
    span = window.characters(first, last)
    if span is None:
        return None
    part = trimmed(context, *span)
    return None if part is None else Candidate(score, *part)
