"""Processes that work ahead of the training step, and end with it."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, BinaryIO, Generic, ParamSpec, TypeVar

from deberta_core.errors import InputError
from deberta_dual.pipelines.examples import check_count

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

# A fresh interpreter that imports what it needs and not the program that trains: no framework, no `__main__` again.
_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from deberta_dual.pretraining.workers import serve; serve()"
)
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")


class WorkerPool(Generic[Arguments, Answer]):
    """Calls a function in other processes.

    A process ends when this one does, however that ends; it takes no notice of Ctrl-C, which is for this one.

    Args:
        function: can be pickled; what it and its arguments and answers need is imported in the processes.
        workers: how many processes; 0: calls are made at once, in this one.

    Raises:
        InputError: `workers` is no count.
    """

    def __init__(self, function: Callable[Arguments, Answer], workers: int) -> None:
        check_count("workers", workers, least=0)
        self._function = function
        self._processes = [_start() for _ in range(workers)]
        for process in self._processes:  # which all begin meanwhile
            for message in (sys.path, function):
                _send(_pipe(process.stdin), message)
        self._idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(workers, "tokenizer") if workers else None

    def submit(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Future[Answer]:
        """Has the function called.

        Returns:
            Where its answer or its error will be; an `InputError` where the process died.
        """
        if self._threads is not None:
            return self._threads.submit(self._ask, (args, kwargs))
        answer: Future[Answer] = Future()
        try:
            answer.set_result(self._function(*args, **kwargs))
        except Exception as problem:
            answer.set_exception(problem)
        return answer

    def close(self) -> None:
        """Ends the processes, at once."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            for process in self._processes:
                process.kill()
            self._threads.shutdown()
            for process in self._processes:
                _end(process)

    def _ask(self, call: Any) -> Answer:
        process = self._idle.get()
        try:
            _send(_pipe(process.stdin), call)
            answer, problem = pickle.load(_pipe(process.stdout))
        except (EOFError, OSError, pickle.UnpicklingError):
            code = process.wait()
            raise InputError(
                f"a worker process ended with code {code}. Where the system ran out of memory, take fewer workers."
            ) from None
        finally:
            self._idle.put(process)
        if problem is not None:
            raise problem
        found: Answer = answer
        return found


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | _ONE_THREAD,
        start_new_session=True,  # a terminal's Ctrl-C does not reach it
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):  # what was not sent any more
            _pipe(pipe).close()


def serve() -> None:
    """What a process does: it answers calls until there is nobody any more who asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    calls, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what is printed is no answer
    try:
        function = pickle.load(calls)
        while True:
            args, kwargs = pickle.load(calls)
            answer, error = None, None
            try:
                answer = function(*args, **kwargs)
            except Exception as problem:
                error = _sendable(problem)
            _send(answers, (answer, error))
    except (EOFError, BrokenPipeError, pickle.UnpicklingError):  # the last with a message that was cut off
        os._exit(0)


def _sendable(problem: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(problem))
    except Exception:
        return RuntimeError(f"{type(problem).__name__}: {problem}")
    return problem


def _send(stream: BinaryIO, value: Any) -> None:
    pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def _pipe(stream: Any) -> Any:
    assert stream is not None  # it was asked for
    return stream
