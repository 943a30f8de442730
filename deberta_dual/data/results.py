"""One answer for every record: what a pipeline says of it, with what the record held besides, or why there is none."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from deberta_core.errors import DebertaError, InputError
from deberta_core.tensors import to_list
from deberta_dual.data.columns import FIELDS
from deberta_dual.data.records import Record

FILE, LINE, ERROR = "file", "line", "error"
# Task -> what an answer holds; a result that is a list, or a vector, stands under the last name,
# or that of entities.
RESULTS: dict[str, tuple[str, ...]] = {
    "text-classification": ("label", "score", "labels"),
    "token-classification": ("entities", "words", "tags"),
    "question-answering": ("answer", "score", "start", "end", "candidates"),
    "multiple-choice": ("choice", "scores"),
    "ranking": ("score",),
    "reward": ("score",),
    "zero-shot-classification": ("labels", "scores"),
    "masked-lm": ("perplexity", "predictions"),
    "fill-mask": ("predictions",),
    "feature-extraction": ("embedding",),
    "sentence-embeddings": ("embedding",),
}
VARYING = ("masked-lm",)  # tasks whose answers hold the one or the other
Row = dict[str, Any]


class Stream(Protocol):
    """What is asked of a pipeline: answers to inputs, in order; of what cannot be used it tells right after reading."""

    def stream(self, inputs: Iterable[Any], *, on_error: Any) -> Iterator[Any]:
        """See `Pipeline.stream`."""


def answer_records(task: str, run: Stream, records: Iterable[Record], *, stop: bool) -> Iterator[Row]:
    """Answers records in order, a row each: the line, what is handed on, and the result or an error.

    An entry that is handed on and has the name of a result comes out as `input_NAME`.

    Args:
        task: a name of `RESULTS`.
        run: a pipeline of the task.
        records: with their values by role, see `read_examples`; a few batches of them are read ahead.
        stop: whether the first record that cannot be used ends it, with its error, after the rows before it; a blank
            line does not.

    Raises:
        InputError: a record cannot be used, and `stop` is true.
    """
    waiting: deque[Record] = deque()
    unreadable: list[DebertaError] = []  # what ended the reading: the pipeline would take it for that of an example

    def inputs() -> Iterator[Any]:
        try:
            for record in records:
                waiting.append(record)
                if record.error is None:
                    yield _example(task, record)
                if stop and waiting and _is_bad(waiting[-1]):
                    return
        except DebertaError as problem:
            unreadable.append(problem)

    def refused(number: int, error: DebertaError) -> None:
        waiting[-1] = replace(waiting[-1], error=InputError(str(error)))

    def rows() -> Iterator[tuple[Record, Any]]:
        for result in run.stream(inputs(), on_error=refused):
            while waiting[0].error is not None:
                yield waiting.popleft(), None
            yield waiting.popleft(), result
        while waiting:
            yield waiting.popleft(), None

    for record, result in rows():
        if stop and _is_bad(record):
            raise InputError(f"{where(row_of(task, record, None))}: {record.error}") from record.error
        yield row_of(task, record, result)
    if unreadable:
        raise unreadable[0]


def _is_bad(record: Record) -> bool:
    return record.error is not None and not record.is_blank


def _example(task: str, record: Record) -> Any:
    """What the pipeline takes: a dict, or where there is one entry alone, that."""
    values = {name: value for name, value in record.values.items() if name in FIELDS[task][0] and value is not None}
    if "words" in values:
        return {"words": values["words"]}
    return next(iter(values.values())) if list(values) == ["text"] else values


def row_of(task: str, record: Record, result: Any) -> Row:
    """The row of a record: its error, or the result under the names of `RESULTS`."""
    taken = {FILE, LINE, ERROR, *RESULTS[task]} if record.file else {LINE, ERROR, *RESULTS[task]}
    row: Row = {FILE: record.file, LINE: record.line} if record.file else {LINE: record.line}
    row |= {f"input_{name}" if name in taken else name: value for name, value in record.rest.items()}
    if record.error is not None:
        return row | {ERROR: " ".join(str(record.error).split())}
    return row | named(task, result)


def where(row: Row) -> str:
    """The place of a row's record, for messages."""
    return f"{row[FILE]}, line {row[LINE]}" if FILE in row else f"line {row[LINE]}"


def column_names(task: str, row: Row) -> list[str]:
    """The columns of a table of rows: those of the first one, the results that others may have, and the error."""
    others = RESULTS[task] if not row or ERROR in row or task in VARYING else ()
    return list(dict.fromkeys([*(name for name in row if name != ERROR), LINE, *others, ERROR]))


def named(task: str, result: Any) -> Row:
    """A pipeline's result by the names of `RESULTS`, as plain Python values."""
    names = RESULTS[task]
    if task == "multiple-choice" and not isinstance(result, Mapping):  # all choices, the best first
        in_order = sorted(result, key=lambda one: one["label"])
        return {"choice": result[0]["choice"], "scores": [one["score"] for one in in_order]}
    if isinstance(result, Mapping):
        return {name: to_list(result[name]) for name in names if name in result}
    plain = to_list(result)
    if task in ("text-classification", "feature-extraction") and len(plain) == 1:
        return named(task, plain[0]) if isinstance(plain[0], Mapping) else {names[-1]: plain[0]}
    return {"entities" if "entities" in names else names[-1]: plain}
