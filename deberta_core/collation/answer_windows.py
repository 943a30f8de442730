"""Question answering: long contexts cut into windows, answers to token positions and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from deberta_core.errors import InputError

Span = tuple[int, int]
NO_ANSWER = 0  # the position that stands for the context token, whichever side is padded


@dataclass(frozen=True, slots=True)
class AnswerWindow:
    """A part of a context with its question, `[CLS] question [SEP] part [SEP]`.

    Args:
        inputs: the model's inputs, not padded, for a collator; with `start_positions` and `end_positions`, in tokens,
            the last one included, if answers were given: both 0 where this window does not hold the whole answer.
        example: which of the questions it is for.
        spans: for each token, its characters in the context; None for tokens of the question and special ones.
    """

    inputs: dict[str, Any]
    example: int
    spans: list[Span | None]

    def characters(self, start: int, end: int) -> Span | None:
        """The way back: the characters of the context from one token to another, the end excluded.

        Args:
            start: position of the first token in `inputs`; padding on the left is not counted.
            end: position of the last token.

        Returns:
            The characters; None if either token is not of the context, or the end comes before the start.
        """
        places = range(len(self.spans))
        first = self.spans[start] if start in places else None
        last = self.spans[end] if end in places else None
        return None if first is None or last is None or end < start else (first[0], last[1])


def answer_windows(
    tokenizer: Any,
    questions: Sequence[str],
    contexts: Sequence[str],
    answers: Sequence[Span | None] | None = None,
    *,
    max_length: int = 384,
    stride: int = 128,
) -> list[AnswerWindow]:
    """Cuts contexts into overlapping windows that fit the model.

    Args:
        tokenizer: tokenizes question and context as a pair.
        questions: one per example.
        contexts: as many.
        answers: as many; the first character of the answer in the context, and the first one after it; None for a
            question without an answer. None: nothing is to be learned.
        max_length: of a window, in tokens, with question and special tokens.
        stride: how many tokens of the context two neighbouring windows share; a longer answer may be in no window.

    Returns:
        The windows of all examples in order, at least one for each.

    Raises:
        InputError: an answer is not in its context, a question leaves no room, or the numbers of texts differ.
    """
    if answers is not None and len(answers) != len(questions):
        raise InputError(f"There are {len(answers)} answers for {len(questions)} questions. Give None for no answer.")
    encoding = tokenizer(
        list(questions),
        list(contexts),
        truncation="only_second",
        max_length=max_length,
        stride=stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    windows: list[AnswerWindow] = []
    for row, example in enumerate(encoding["overflow_to_sample_mapping"]):
        inputs = {name: encoding[name][row] for name in tokenizer.model_input_names}
        places = zip(encoding["offset_mapping"][row], encoding.sequence_ids(row), strict=True)
        windows.append(AnswerWindow(inputs, example, [tuple(span) if text == 1 else None for span, text in places]))
    if answers is not None:
        for example, group in groupby(windows, key=attrgetter("example")):
            _add_positions(list(group), answers[example], contexts[example])
    return windows


def _add_positions(windows: Sequence[AnswerWindow], answer: Span | None, context: str) -> None:
    """Adds the positions of the answer to the windows of one example."""
    limits = None
    if answer is not None:
        name = f"answers[{windows[0].example}]={answer!r}"
        if not 0 <= answer[0] < answer[1] <= len(context):
            raise InputError(
                f"{name} is no part of its context, which has {len(context)} characters. Give the first character and "
                f"the first one after the answer, or None."
            )
        limits = _token_limits(answer, windows, name)
    for window in windows:
        start, end = (NO_ANSWER, NO_ANSWER) if limits is None else _positions(limits, window)
        window.inputs.update(start_positions=start, end_positions=end)


def _token_limits(answer: Span, windows: Sequence[AnswerWindow], name: str) -> Span:
    """The first character of the first token that shares one with the answer, and the end of the last such token."""
    shared = [
        span
        for window in windows
        for span in window.spans
        if span and max(span[0], answer[0]) < min(span[1], answer[1])
    ]
    if not shared:
        raise InputError(f"{name} covers no token of its context. Give None for no answer.")
    return min(start for start, _ in shared), max(end for _, end in shared)


def _positions(limits: Span, window: AnswerWindow) -> tuple[int, int]:
    # Tokens without characters stand where others begin or end, and are no limits.
    tokens = {place: span for place, span in enumerate(window.spans) if span and span[0] < span[1]}
    starts = [place for place, (start, _) in tokens.items() if start == limits[0]]
    ends = [place for place, (_, end) in tokens.items() if end == limits[1]]
    return (starts[0], ends[0]) if starts and ends else (NO_ANSWER, NO_ANSWER)
