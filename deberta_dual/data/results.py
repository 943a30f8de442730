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

LINE, ERROR = "line", "error"
# Task -> what an answer holds; a result that is a list, or a vector, stands under the last name.
RESULTS: dict[str, tuple[str, ...]] = {
    "text-classification": ("label", "score", "labels"),
    "token-classification": ("entities",),
    "question-answering": ("answer", "score", "start", "end", "answers"),
    "multiple-choice": ("choice", "scores"),
    "zero-shot-classification": ("labels", "scores"),
    "fill-mask": ("predictions",),
    "feature-extraction": ("embedding",),
    "sentence-embeddings": ("embedding",),
}
Row = dict[str, Any]


class Stream(Protocol):
    """What is asked of a pipeline: answers to inputs, in order; of what cannot be used it tells right after reading."""

    def stream(self, inputs: Iterable[Any], *, on_error: Any) -> Iterator[Any]:
        """See `Pipeline.stream`."""


def answer_records(task: str, run: Stream, records: Iterable[Record]) -> Iterator[Row]:
    """Answers records in order, a row each: the line, what is handed on, and the result or an error.

    An entry that is handed on and has the name of a result comes out as `input_NAME`.

    Args:
        task: a name of `RESULTS`.
        run: a pipeline of the task.
        records: with their values by role, see `read_examples`; a few batches of them are read ahead.
    """
    waiting: deque[Record] = deque()

    def inputs() -> Iterator[Any]:
        for record in records:
            waiting.append(record)
            if record.error is None:
                yield _example(task, record)

    def refused(number: int, error: DebertaError) -> None:
        waiting[-1] = replace(waiting[-1], error=InputError(str(error)))

    for result in run.stream(inputs(), on_error=refused):
        while waiting[0].error is not None:
            yield row_of(task, waiting.popleft(), None)
        yield row_of(task, waiting.popleft(), result)
    yield from (row_of(task, record, None) for record in waiting)


def _example(task: str, record: Record) -> Any:
    """What the pipeline takes: a dict, or where there is one entry alone, that."""
    values = {name: value for name, value in record.values.items() if name in FIELDS[task][0] and value is not None}
    return values if len(FIELDS[task][0]) > 1 or not values else next(iter(values.values()))


def row_of(task: str, record: Record, result: Any) -> Row:
    """The row of a record: its error, or the result under the names of `RESULTS`."""
    taken = {LINE, ERROR, *RESULTS[task]}
    row: Row = {LINE: record.line}
    row |= {f"input_{name}" if name in taken else name: value for name, value in record.rest.items()}
    if record.error is not None:
        return row | {ERROR: " ".join(str(record.error).split())}
    return row | named(task, result)


def named(task: str, result: Any) -> Row:
    """A pipeline's result by the names of `RESULTS`, as plain Python values."""
    names = RESULTS[task]
    if isinstance(result, Mapping):
        return {name: to_list(result[name]) for name in names if name in result}
    plain = to_list(result)
    if task == "text-classification" and len(plain) == 1:
        return named(task, plain[0])
    return {names[-1]: plain}
