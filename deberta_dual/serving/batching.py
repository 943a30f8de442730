"""Rows of many requests, put together to batches as they come: no request waits for a batch to fill up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from math import ceil, inf

from deberta_dual.backends.protocol import ArrayModel, Arrays
from deberta_dual.pipelines.batches import ModelRow, run_rows
from deberta_dual.serving.errors import Refused

# As many batches tell how quick the model is; the quickest of them counts, so that what could be answered is taken.
# They are at least half full: smaller ones say little of how quick it is when much waits.
_MEASURED = 8
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
        timeout: seconds after which nobody waits for an answer.
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
        timeout: float = inf,
    ) -> None:
        self._threads, self._at_once = threads, at_once
        self._model, self._pad, self._max_tokens, self._max_waiting = model, pad, max_tokens, max_waiting
        self._observe, self._timeout = observe, timeout
        self._jobs: deque[_Job] = deque()
        self._waiting, self._is_closed = 0, False
        self._speeds: deque[float] = deque(maxlen=_MEASURED)  # of full batches, in tokens a second
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
            Refused: too much waits, or so much that the answer would come too late.
        """
        job = _Job(rows, [{} for _ in rows], left=len(rows))
        tokens = sum(map(len, rows))
        with self._changed:
            if self._is_closed:
                raise Refused("the server is stopping.", "Unhealthy", 5)
            if self._waiting:
                self._check(len(rows), tokens)
            self._jobs.append(job)
            self._waiting += tokens
            self._threads.submit(self._work)
        return job.future

    def close(self) -> None:
        """Answers what was taken, and takes no more."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._jobs and not self._running)

    def _check(self, rows: int, tokens: int) -> None:
        """Refuses a new request if too much waits, or so much that it would be answered too late."""
        waiting, late = self._waiting, 0.0
        if self._time(waiting + tokens) > self._timeout:  # what is before it is less, and takes longer to add up
            late = self._time(self._before(rows) + tokens) - self._timeout
        if waiting + tokens > self._max_waiting:
            why, after = f"and no more than {self._max_waiting} may", max(1, ceil(self._time(waiting)))
        elif late > 0:
            why, after = f"and an answer would come {late:.1f} s after the {self._timeout:g} s of a request", ceil(late)
        else:
            return
        raise Refused(f"{waiting} tokens wait, {why}. Try again in {after} s.", "Overloaded", after)

    def _before(self, rows: int) -> int:
        """Tokens that are computed before so many rows of a new request: of each other one as many rows."""
        jobs = (job for job in self._jobs if not job.future.done())
        return sum(len(row) for job in jobs for row in job.rows[job.next : job.next + rows])

    def _time(self, tokens: int) -> float:
        """The seconds that so many tokens take at least, as was measured; 0 where too little was."""
        is_known = len(self._speeds) == _MEASURED
        return tokens / (max(self._speeds) * self._at_once) if is_known else 0.0

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
        if 2 * tokens >= self._max_tokens and seconds:
            with self._changed:
                self._speeds.append(tokens / seconds)
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
