"""Batches of a corpus: a step has the same rows for any number of processes, of workers and of interruptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from deberta_core.collation.masker import Masker
from deberta_core.collation.packing import document_mask, document_positions
from deberta_core.errors import InputError
from deberta_core.inputs import IGNORED_LABEL
from deberta_dual.pipelines.examples import check_count
from deberta_dual.pretraining.corpus import Corpus
from deberta_dual.pretraining.documents import Place
from deberta_dual.pretraining.options import BatchOptions
from deberta_dual.pretraining.rows import RowMaker, Rows
from deberta_dual.pretraining.windows import Window, Windows, WindowStart, chunks

# Options that may change when a run goes on: the rows and their order stay.
_FREE = ("batch_size", "epochs")


class Batch(NamedTuple):
    """What a process learns from in a step.

    Attributes:
        inputs: by the names of a model's call: `input_ids` with masks and `labels`, `[B, L]`; `attention_mask`,
            `[B, L]`, or of packed documents `[B, L, L]`, and then their `position_ids`, `[B, L]`.
        original: the ids without masks, `[B, L]`.
        documents: the number of each token's document in its row, from 1; 0 at padding; `[B, L]`.
        label_count: masked tokens of the whole step, over all processes.
        token_count: its real tokens.
        state: to go on behind this batch; the same in all processes, and JSON.
    """

    inputs: dict[str, NDArray[Any]]
    original: NDArray[np.int64]
    documents: NDArray[np.int16]
    label_count: int
    token_count: int
    state: dict[str, Any]


class Batches:
    """The batches of a corpus, an iterator; to be closed, as by `with`.

    Every process of a run makes the rows of the whole step and takes its own, so that a step is the same however many
    processes there are. Rows that are left over when the last epoch ends make no batch.

    Args:
        corpus: is read once an epoch.
        tokenizer: any of ours with [MASK].
        options: what the batches depend on.
        workers: processes that make rows ahead; 0: they are made when they are asked for. Changes no batch.
        process: the number of this process of the run.
        processes: of the run; `options.batch_size` is a multiple of it.
        state: `Batch.state` of an earlier run, to go on behind that batch. The text that was shuffled with it is read
            again, and nothing before it, but for compressed files and files of records.

    Raises:
        InputError: an argument is not allowed, or `state` is of another corpus or of other options.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Any,
        options: BatchOptions,
        *,
        workers: int = 1,
        process: int = 0,
        processes: int = 1,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        if options.batch_size % processes or not 0 <= process < processes:
            raise InputError(
                f"process={process} of {processes} has no equal part of batch_size={options.batch_size}. Give a "
                f"multiple of the number of processes."
            )
        if state is not None:
            _check_options(state["options"], _described(corpus, options))
            corpus.check(state["files"])
        self._options, self._own = options, slice(process, None, processes)
        self._run = {"files": corpus.fingerprint(), "options": _described(corpus, options)}
        self._windows = Windows(corpus, _row_maker(tokenizer, options), options, workers, _start(state))
        self._window: Window | None = None
        self._taken: int = state["rows"] if state else 0  # rows of the window, or of the one that comes first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        """The next batch.

        Raises:
            InputError: the corpus cannot be read, or a worker died.
            TokenizationError: a text cannot be tokenized.
        """
        parts: list[Rows] = []
        missing = self._options.batch_size
        while missing:
            if self._window is None:
                self._window = next(self._windows)
            numbers = self._window.order[self._taken : self._taken + missing]
            if len(numbers) == 0:
                self._window, self._taken = None, 0
                continue
            parts.append(self._window.rows.take(numbers))
            self._taken += len(numbers)
            missing -= len(numbers)
        assert self._window is not None
        self._windows.work_ahead()
        state = self._run | {"window": self._window.start._asdict(), "rows": self._taken}
        return make_batch(Rows.join(parts), self._options.packing, self._own, state)

    def close(self) -> None:
        """Ends the workers."""
        self._windows.close()


def held_out_batches(
    corpus: Corpus, tokenizer: Any, options: BatchOptions, rows: int, process: int = 0, processes: int = 1
) -> list[Batch]:
    """The first rows of the documents that are kept for evaluation, with the same masks in every call.

    As much of the corpus is read as is needed, in the order of its files. The last batch may have fewer rows, even none
    for a process.

    Args:
        corpus: with a share `held_out`.
        tokenizer: any of ours with [MASK].
        options: as for training; `epochs` and `shuffle` are of no matter.
        rows: how many, at most.
        process: the number of this process of the run.
        processes: of the run.

    Raises:
        InputError: the corpus cannot be read, or keeps no document.
    """
    check_count("rows", rows)
    make = _row_maker(tokenizer, options)
    parts: list[Rows] = []
    for chunk in chunks(corpus, replace(options, epochs=1, shuffle=0), WindowStart(), held_out=True):
        parts.append(make(chunk.texts, 0, chunk.number))
        if sum(len(part.original) for part in parts) >= rows:
            break
    found = Rows.join(parts).take(slice(rows))
    size, own = options.batch_size, slice(process, None, processes)
    starts = range(0, len(found.original), size)
    return [make_batch(found.take(slice(start, start + size)), options.packing, own, {}) for start in starts]


def make_batch(rows: Rows, packing: str, own: slice, state: dict[str, Any]) -> Batch:
    """A process's batch of the rows of a step.

    Args:
        rows: of all processes.
        packing: how they were packed.
        own: those of this process.
        state: to go on behind it.
    """
    mine = rows.take(own)
    real = mine.documents > 0
    inputs: dict[str, NDArray[Any]] = {
        "input_ids": mine.masked.astype(np.int64),
        "attention_mask": real,
        "labels": mine.labels.astype(np.int64),
    }
    if packing == "documents":
        inputs["attention_mask"] = document_mask(mine.documents)
        inputs["position_ids"] = np.where(real, document_positions(mine.documents), 0)
    return Batch(
        inputs,
        mine.original.astype(np.int64),
        mine.documents,
        int((rows.labels != IGNORED_LABEL).sum()),
        int((rows.documents > 0).sum()),
        state,
    )


def _row_maker(tokenizer: Any, options: BatchOptions) -> RowMaker:
    return RowMaker(tokenizer, Masker(tokenizer, options.rule, seed=options.seed), options.packing, options.length)


def _start(state: Mapping[str, Any] | None) -> WindowStart:
    if state is None:
        return WindowStart()
    window = state["window"]
    return WindowStart(**{**window, "place": Place(*window["place"])})


def _described(corpus: Corpus, options: BatchOptions) -> dict[str, Any]:
    return corpus.settings() | {name: value for name, value in asdict(options).items() if name not in _FREE}


def _check_options(saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    wrong = [f"{name} was {saved.get(name)!r} and is {now.get(name)!r}" for name in now if saved.get(name) != now[name]]
    if wrong:
        raise InputError(f"the state is of other options: {'; '.join(wrong)}. Give the same, or begin anew.")
