"""Rows of many requests, put together to batches as they come: no request waits for a batch to fill up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from math import ceil

from deberta_dual.backends.protocol import ArrayModel, Arrays
from deberta_dual.pipelines.batches import ModelRow, run_rows
from deberta_dual.serving.errors import Refused

# What a batch had: its tokens, the seconds it took, and the seconds its rows had waited.
Observe = Callable[[int, float, list[float]], None]


@dataclass(slots=True, eq=False)
class _Job:
    """The rows of a request.

    Args:
        rows: of it.
        outputs: of each row, None until there are any.
        future: all outputs.
        begun: when it came.
        next: the first row that is in no batch yet.
        left: how many rows have no outputs.
    """

    rows: Sequence[ModelRow]
    outputs: list[Arrays]
    future: Future[list[Arrays]] = field(default_factory=Future)
    begun: float = field(default_factory=time.monotonic)
    next: int = 0
    left: int = 0


class Batcher:
    """Runs rows of requests through a model, in the threads that all models share.

    Whenever a thread is free, it gets what waits: a row of each request in turn, up to the number of tokens, so that
    a short request does not wait for all of a long one.

    Args:
        threads: in which models compute.
        at_once: batches of this model, at most; they share what waits.
        model: runs a batch.
        pad: the id at padding.
        max_tokens: in a batch, at most; a longer row goes alone.
        max_waiting: tokens that may wait.
        observe: told of every batch.
    """

    def __init__(
        self,
        threads: Executor,
        at_once: int,
        model: ArrayModel,
        pad: int,
        max_tokens: int,
        max_waiting: int,
        observe: Observe,
    ) -> None:
        self._threads, self._at_once = threads, at_once
        self._model, self._pad, self._max_tokens, self._max_waiting = model, pad, max_tokens, max_waiting
        self._observe = observe
        self._jobs: deque[_Job] = deque()
        self._waiting, self._speed, self._is_closed = 0, 0.0, False
        self._running, self._changed = 0, threading.Condition()

    @property
    def waiting(self) -> int:
        """How many tokens wait."""
        return self._waiting

    def submit(self, rows: Sequence[ModelRow]) -> Future[list[Arrays]]:
        """Takes the rows of a request; they leave when the future is cancelled.

        Returns:
            the outputs of each row, as of `run_rows`, in order; or the error of the model.

        Raises:
            Refused: too much waits.
        """
        job = _Job(rows, [{} for _ in rows], left=len(rows))
        tokens = sum(map(len, rows))
        with self._changed:
            if self._is_closed:
                raise Refused("the server is stopping.", "Unhealthy", 5)
            if self._waiting and self._waiting + tokens > self._max_waiting:
                after = ceil(self._waiting / self._speed) if self._speed else 1
                raise Refused(
                    f"{self._waiting} tokens wait, and no more than {self._max_waiting} may. Try again in {after} s.",
                    "Overloaded",
                    after,
                )
            self._jobs.append(job)
            self._waiting += tokens
            self._threads.submit(self._work)
        return job.future

    def close(self) -> None:
        """Answers what was taken, and takes no more."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._jobs and not self._running)

    def _work(self) -> None:
        """Runs one batch, if anything waits; another turn takes what is left, after those of other models."""
        with self._changed:
            if self._running == self._at_once:
                return  # whoever ends sees to what waits
            self._running += 1
            taken = self._take()
            if self._jobs:
                self._threads.submit(self._work)
        try:
            if taken:
                self._run(taken)
        finally:
            with self._changed:
                self._running -= 1
                if self._jobs:
                    self._threads.submit(self._work)
                self._changed.notify_all()

    def _take(self) -> list[tuple[_Job, int]]:
        taken: list[tuple[_Job, int]] = []
        tokens, most = 0, min(self._max_tokens, ceil(self._waiting / self._at_once))
        while self._jobs:
            job = self._jobs[0]
            if job.future.done():  # cancelled, or failed
                self._jobs.popleft()
                self._waiting -= sum(map(len, job.rows[job.next :]))
                continue
            size = len(job.rows[job.next])
            if taken and tokens + size > most:
                break
            self._jobs.popleft()
            taken.append((job, job.next))
            tokens += size
            self._waiting -= size
            job.next += 1
            if job.next < len(job.rows):
                self._jobs.append(job)
        return taken

    def _run(self, taken: list[tuple[_Job, int]]) -> None:
        begun = time.monotonic()
        for group in _groups(taken):
            try:
                self._answer(group)
            except Exception:  # one request must not spoil those it shares a batch with
                for one in group:
                    self._answer_alone(one)
        seconds = time.monotonic() - begun
        tokens = sum(len(job.rows[row]) for job, row in taken)
        self._speed = tokens / seconds if seconds else self._speed
        self._observe(tokens, seconds, [begun - job.begun for job, _ in taken])

    def _answer(self, group: Sequence[tuple[_Job, int]]) -> None:
        rows = [job.rows[row] for job, row in group]
        found = dict(run_rows(self._model, rows, len(rows), self._pad))
        for number, (job, row) in enumerate(group):
            job.outputs[row] = found[number]
            with self._changed:  # other rows of it may be in another thread
                job.left -= 1
                is_whole = not job.left and job.future.set_running_or_notify_cancel()
            if is_whole:
                job.future.set_result(job.outputs)

    def _answer_alone(self, one: tuple[_Job, int]) -> None:
        job = one[0]
        try:
            self._answer([one])
        except Exception as problem:
            with self._changed:
                if not job.future.done() and job.future.set_running_or_notify_cancel():
                    job.future.set_exception(problem)


def _groups(taken: list[tuple[_Job, int]]) -> list[list[tuple[_Job, int]]]:
    """Rows of similar length together: padding is at most as much again as the texts."""
    groups: dict[int, list[tuple[_Job, int]]] = {}
    for job, row in taken:
        groups.setdefault(len(job.rows[row]).bit_length(), []).append((job, row))
    return list(groups.values())
