"""Windows of a corpus: text of which the rows are shuffled together, made ahead by worker processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deberta_core.errors import InputError
from deberta_dual.pretraining.corpus import Corpus
from deberta_dual.pretraining.documents import START, Place
from deberta_dual.pretraining.options import BatchOptions
from deberta_dual.pretraining.rows import RowMaker, Rows
from deberta_dual.pretraining.workers import WorkerPool

_CHUNK = 1 << 19  # characters that a worker gets at once
_CHUNKS_AHEAD = 2  # that each worker has or waits for
_MEBI = 1 << 20


class WindowStart(NamedTuple):
    """Where a window begins, and with it its rows and their order.

    Attributes:
        epoch: counts from 0.
        window: its number in the epoch.
        chunk: the number of its first chunk in the epoch.
        file: the number of its first file in the epoch.
        place: in that file.
    """

    epoch: int = 0
    window: int = 0
    chunk: int = 0
    file: int = 0
    place: Place = START


class Chunk(NamedTuple):
    """Text that a worker gets at once.

    Attributes:
        window: it is part of.
        number: in the epoch.
        texts: its documents.
        is_last: of the window.
    """

    window: WindowStart
    number: int
    texts: Sequence[str]
    is_last: bool


class Window(NamedTuple):
    """Rows in the order in which they are learned from.

    Attributes:
        start: where the window begins.
        rows: in the order of the text.
        order: their numbers, shuffled, `[N]`.
    """

    start: WindowStart
    rows: Rows
    order: NDArray[np.int64]


@dataclass(slots=True)
class _Coming:
    start: WindowStart
    parts: list[Future[Rows]] = field(default_factory=list)
    is_whole: bool = False


def chunks(corpus: Corpus, options: BatchOptions, start: WindowStart, *, held_out: bool = False) -> Iterator[Chunk]:
    """Cuts a corpus into windows, and these into chunks, epoch after epoch.

    A window ends behind a document only where reading can begin again.

    Raises:
        InputError: the corpus cannot be read, or holds no document.
    """
    longest = max(options.shuffle, 1) * _MEBI
    seed = options.seed if options.shuffle else None
    while options.epochs is None or start.epoch < options.epochs:
        number, end, total = start.chunk, (start.file, start.place), 0
        is_whole_epoch = not number
        texts: list[str] = []
        size = 0
        for text, behind in corpus.read(start.epoch, seed, end, held_out=held_out):
            is_last = total >= longest and behind != end
            if is_last or size >= _CHUNK:
                yield Chunk(start, number, texts, is_last)
                texts, size, number = [], 0, number + 1
            if is_last:
                start = WindowStart(start.epoch, start.window + 1, number, *end)
                total = 0
            texts.append(text)
            size, total, end = size + len(text), total + len(text), behind
        if texts:
            yield Chunk(start, number, texts, True)
        elif is_whole_epoch:
            share = f" in the share held_out={corpus.held_out}" if held_out else ""
            mend = ", a larger share, or held_out=0 (--held-out 0) to learn without being judged" if held_out else ""
            raise InputError(f"the corpus holds no document{share}. Give more text{mend}.")
        start = WindowStart(start.epoch + 1)


class Windows:
    """The windows of a corpus, an iterator; while one is learned from, the next is made.

    Args:
        corpus: is read once an epoch.
        make: makes the rows of a chunk.
        options: what is shuffled together, and how.
        workers: processes that make rows ahead.
        start: of the first window.
    """

    def __init__(self, corpus: Corpus, make: RowMaker, options: BatchOptions, workers: int, start: WindowStart) -> None:
        self._options = options
        self._chunks = chunks(corpus, options, start)
        self._pool = WorkerPool(make, workers)
        self._most_ahead = _CHUNKS_AHEAD * workers
        self._coming: deque[_Coming] = deque()
        self._epoch, self._rows = start.epoch, 1  # rows of the epoch; nothing is known of an epoch's first windows

    def __iter__(self) -> Iterator[Window]:
        return self

    def __next__(self) -> Window:
        """The next window, which may have no rows.

        Raises:
            InputError: the corpus cannot be read, or an epoch had no row.
            Exception: what a worker raised.
        """
        while not (self._coming and self._coming[0].is_whole):
            if not self._submit():
                raise StopIteration
        window = self._coming.popleft()
        rows = Rows.join([part.result() for part in window.parts])
        start, options = window.start, self._options
        if start.epoch != self._epoch:
            if not self._rows:
                raise InputError("the corpus holds no text that makes a token. Give files of text.")
            self._epoch, self._rows = start.epoch, 0
        self._rows += len(rows.original)
        order = np.arange(len(rows.original))
        if options.shuffle:
            order = np.random.default_rng((options.seed, start.epoch, start.window)).permutation(order)
        return Window(start, rows, order)

    def work_ahead(self) -> None:
        """Gives the workers what they can do until the next call, of one window at most."""
        while self._in_work() < self._most_ahead and not (self._coming and self._coming[0].is_whole):
            if not self._submit():
                return

    def close(self) -> None:
        """Ends the workers."""
        self._pool.close()

    def _in_work(self) -> int:
        return sum(not part.done() for window in self._coming for part in window.parts)

    def _submit(self) -> bool:
        """Reads a chunk and gives it to the workers; an error comes when its window is due."""
        try:
            chunk = next(self._chunks, None)
        except Exception as problem:
            failed: Future[Rows] = Future()
            failed.set_exception(problem)
            self._coming_at(None).parts.append(failed)
            self._coming[-1].is_whole = True
            return True
        if chunk is None:
            return False
        window = self._coming_at(chunk.window)
        window.parts.append(self._pool.submit(chunk.texts, chunk.window.epoch, chunk.number))
        window.is_whole = chunk.is_last
        return True

    def _coming_at(self, start: WindowStart | None) -> _Coming:
        """The window that is being read, which may begin here."""
        if not self._coming or self._coming[-1].is_whole:
            self._coming.append(_Coming(start or WindowStart()))
        return self._coming[-1]
