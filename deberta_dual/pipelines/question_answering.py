"""Answers that are parts of a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from deberta_core.collation import AnswerWindow, answer_windows
from deberta_core.errors import InputError, WrongType
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pipelines.base import Pipeline, Prepared
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.pipelines.examples import check_count, check_flag, read_texts
from deberta_dual.pipelines.options import PipelineOptions
from deberta_dual.pipelines.scores import Floats, best, softmax
from deberta_dual.pipelines.spans import Span, trimmed, whole_words

WINDOW = 384  # tokens of question and context together, as models are fine-tuned on SQuAD
STRIDE = 128  # tokens that two windows share


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionAnsweringOptions(PipelineOptions):
    """What can be chosen.

    Args:
        top_k: how many answers.
        max_answer_len: of an answer, in tokens.
        max_seq_len: of a window, question and context together, in tokens; None: 384, or what the model can read if
            that is less.
        doc_stride: how many tokens of the context two windows share; None: 128, or half of what a window holds of the
            context if that is less.
        max_question_len: of a question, in tokens, of which the others are left out; None: all are read.
        handle_impossible_answer: whether "no answer", an empty one, is among the answers.
        align_to_words: whether answers are widened to whole words, as the tokenizer's vocabulary was made of: what
            white space separates (v2, v3), or also what punctuation does (v1).
    """

    top_k: int = 1
    max_answer_len: int = 15
    max_seq_len: int | None = None
    doc_stride: int | None = None
    max_question_len: int | None = None
    handle_impossible_answer: bool = False
    align_to_words: bool = False

    def __post_init__(self) -> None:
        PipelineOptions.__post_init__(self)
        check_count("top_k", self.top_k)
        check_count("max_answer_len", self.max_answer_len)
        check_count("max_seq_len", self.max_seq_len, least=8, none=f"for {WINDOW}")
        check_count("doc_stride", self.doc_stride, least=0, none=f"for {STRIDE}")
        check_count("max_question_len", self.max_question_len, none="for all of it")
        if self.doc_stride is not None and self.doc_stride > (self.max_seq_len or WINDOW):
            raise InputError(
                f"doc_stride={self.doc_stride} is more than a window holds. Lower it or raise max_seq_len."
            )
        check_flag("handle_impossible_answer", self.handle_impossible_answer)
        check_flag("align_to_words", self.align_to_words)


@dataclass(frozen=True, slots=True)
class Sample:
    """A question and a text that may hold its answer."""

    question: str
    context: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A part of the context as an answer, or, with both places 0, that there is none."""

    score: float
    start: int = 0
    end: int = 0


class QuestionAnsweringPipeline(Pipeline):
    """Inputs: {"question", "context"}. Results: {"score", "start", "end", "answer"}; a list where there are several.

    `answer` is `context[start:end]`. A long context is read in windows that overlap. A score is the product of the
    probabilities of the first and the last token, each among the tokens of the window's context and the context token;
    scores of answers with the same text are added, upper and lower case alike, as transformers does. An empty answer
    means that there is none; where it is not asked for, it is given only for contexts without any token.
    """

    task = "question-answering"
    model_task = "question_answering"
    options_class = QuestionAnsweringOptions
    in_rows = True

    def __call__(self, *inputs: Any, progress: bool | None = None, **options: Any) -> Any:
        """Answers one question, or many.

        Args:
            *inputs: a sample or a list of them, {"question", "context"} or `create_sample`; or a question and a
                context. None: `question` and `context` are among the options, a str or a list of them each, where one
                context may be for all questions.
            progress: as in other pipelines.
            **options: fields of `options_class`, for this call.

        Raises:
            InputError: an input or an option cannot be used; it says which.
        """
        named = [options.pop(name) for name in ("X", "data", "inputs") if name in options]
        if not inputs and not named and ("question" in options or "context" in options):
            inputs = (options.pop("question", None), options.pop("context", None))
        asked = _samples(*inputs, *named)
        answers = super().__call__(asked, progress=progress, **options)
        return answers[0] if isinstance(asked, list) and len(asked) == 1 else answers

    @staticmethod
    def create_sample(question: Any, context: Any) -> Any:
        """A sample of a question and a context; of two lists a list of samples."""
        if isinstance(question, list):
            return [Sample(*pair) for pair in zip(question, context, strict=True)]
        return Sample(question, context)

    def is_one(self, inputs: Any) -> bool:
        """Whether the inputs of a call are a single one."""
        return super().is_one(inputs) or isinstance(inputs, Sample)

    def prepare(self, example: Any, options: QuestionAnsweringOptions) -> Prepared:
        """Makes a row for each window of the context."""
        if isinstance(example, Sample):
            example = {"question": example.question, "context": example.context}
        texts = read_texts(example, ["question", "context"])
        question, context = texts["question"], texts["context"]
        if options.max_question_len is not None:
            kind: dict[str, Any] = {"add_special_tokens": False, "return_offsets_mapping": True, "verbose": False}
            spans = self.tokenizer(question, **kind)["offset_mapping"]
            question = question[: max((end for _, end in spans[: options.max_question_len]), default=0)]
        max_length = min(self.limit(options), options.max_seq_len or WINDOW)
        stride = options.doc_stride
        if stride is None:
            stride = usual_stride(self.tokenizer, question, max_length)
        windows = answer_windows(self.tokenizer, [question], [context], max_length=max_length, stride=stride)
        return Prepared([ModelRow(window.inputs) for window in windows], (context, windows))

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
        widened = partial(whole_words, self.tokenizer, context) if options.align_to_words else None
        return nothing, [one for one in (_candidate(*span, window, context, widened) for span in found) if one]

    def finish(self, prepared: Prepared, options: QuestionAnsweringOptions) -> Any:
        """Chooses among the answers of all windows."""
        context, _ = prepared.texts
        by_text: dict[str, Candidate] = {}
        for _, candidates in prepared.values:
            for one in candidates:
                text = context[one.start : one.end].lower()
                known = by_text.get(text)
                by_text[text] = one if known is None else replace(known, score=known.score + one.score)
        answers = list(by_text.values())
        if options.handle_impossible_answer or not answers:
            answers.append(min((nothing for nothing, _ in prepared.values), key=_score))
        answers = sorted(answers, key=_score, reverse=True)[: options.top_k]
        results = [
            {"score": one.score, "start": one.start, "end": one.end, "answer": context[one.start : one.end]}
            for one in answers
        ]
        return results[0] if len(results) == 1 else results


def usual_stride(tokenizer: Any, question: str, max_length: int) -> int:
    """How many tokens two windows share: 128, or half of what a window holds of the context if that is less."""
    asked = len(tokenizer.encode(question, add_special_tokens=False, verbose=False))
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
    # Several spans of tokens may be one answer; so many are looked at in transformers, too.
    for place in best(scores, 2 * options.top_k + 10 if options.align_to_words else options.top_k):
        if scores[place] > 0:
            yield float(scores[place]), int(firsts[place]), int(lasts[place])


def _candidate(
    score: float, first: int, last: int, window: AnswerWindow, context: str, widened: Callable[[Span], Span] | None
) -> Candidate | None:
    """An answer by its characters, without white space around it; None if nothing is left."""
    span = window.characters(first, last)
    part = None if span is None else trimmed(context, *span)
    if part is None:
        return None
    return Candidate(score, *(part if widened is None else widened(part)))


def _samples(*given: Any) -> Any:
    """What a call was given as samples: a single one, a list, or an iterable of them."""
    if len(given) == 1:
        inputs = given[0]
        return list(inputs) if isinstance(inputs, tuple) else inputs
    if not given:
        raise InputError("There is no question. Give question=... and context=..., or a dict of both.")
    if len(given) != 2:
        return list(given)
    question, context = given
    if not (isinstance(question, str | list | None) and isinstance(context, str | list | None)):
        if all(isinstance(one, Mapping | Sample) for one in given):
            return list(given)
        raise WrongType(f"question={question!r:.40} is no text. Give a str or a list of them, as context, too.")
    if not isinstance(question, list):
        return {"question": question, "context": context}
    contexts = context if isinstance(context, list) else [context] * len(question)
    if len(contexts) != len(question):
        raise InputError(
            f"There are {len(question)} questions for {len(contexts)} contexts. Give as many, or one context."
        )
    return [{"question": one, "context": other} for one, other in zip(question, contexts, strict=True)]
