"""Worker processes: they answer in order, hand errors on, import no framework, and end when they should."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deberta_core import InputError
from deberta_dual.pretraining.workers import WorkerPool

FRAMEWORKS = {"torch", "tensorflow", "keras", "jax"}

# Prints the ids of its workers, and learns for ever.
TRAINING = """
import sys, time
from deberta_core import MASKING_RULES
from deberta_core.tokenization import DebertaV2Tokenizer
from deberta_dual.pretraining import BatchOptions, Batches, Corpus
texts, tokenizer = sys.argv[1:]
options = BatchOptions(rule=MASKING_RULES["rtd"], length=64, batch_size=16, shuffle=1)
with Batches(Corpus(texts), DebertaV2Tokenizer.from_pretrained(tokenizer), options, workers=2) as batches:
    for step, batch in enumerate(batches):
        if step == 1:
            print(*(process.pid for process in batches._windows._pool._processes), flush=True)
"""


@pytest.fixture
def pool():
    made = WorkerPool(eval, 2)
    yield made
    made.close()


def test_answers_come_in_order(pool):
    futures = [pool.submit(f"__import__('time').sleep({wait}) or {wait}") for wait in (0.2, 0, 0.1, 0)]
    assert [future.result() for future in futures] == [0.2, 0, 0.1, 0]
    assert len({pool.submit("__import__('os').getpid()").result() for _ in range(9)} - {os.getpid()}) in (1, 2)


def test_what_is_printed_is_no_answer(pool):
    assert pool.submit("print('text')").result() is None
    assert pool.submit("5").result() == 5


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_are_handed_on(workers):
    pool = WorkerPool(eval, workers)
    with pytest.raises(ZeroDivisionError):
        pool.submit("1 / 0").result()
    with pytest.raises(InputError, match="by a worker"):
        pool.submit("(_ for _ in ()).throw(__import__('deberta_core').InputError('by a worker'))").result()
    assert pool.submit("6").result() == 6
    pool.close()


def test_an_error_that_cannot_be_sent_is_told_of(pool):
    with pytest.raises(RuntimeError, match="Odd: gone"):
        pool.submit("(_ for _ in ()).throw(type('Odd', (Exception,), {})('gone'))").result()


def test_workers_import_no_framework(pool):
    assert not FRAMEWORKS & set(pool.submit("sorted(__import__('sys').modules)").result())


def test_a_dead_worker_is_told_of(pool):
    with pytest.raises(InputError, match="a worker process ended with code -9"):
        pool.submit("__import__('os').kill(__import__('os').getpid(), 9)").result()


def test_closing_does_not_wait_for_work():
    pool = WorkerPool(eval, 1)
    futures = [pool.submit("__import__('time').sleep(600)") for _ in range(4)]
    time.sleep(0.3)
    begin = time.monotonic()
    pool.close()
    pool.close()
    assert time.monotonic() - begin < 30
    assert all(future.done() for future in futures)
    assert pool._processes[0].returncode == -9


def is_there(process):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"
    return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_the_training(shared, end):
    data = shared / "data"
    training = subprocess.Popen(
        [sys.executable, "-c", TRAINING, data / "text", data / "deberta_v3_tokenizer"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has what it starts in the background ignore SIGINT, and so all that this starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        workers = [int(process) for process in training.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(is_there, workers))
        time.sleep(0.2)
        training.send_signal(end)
        _, errors = training.communicate(timeout=60)
    finally:
        training.kill()
    assert training.returncode == -end
    assert errors.count("Traceback") == (end == signal.SIGINT)
    until = time.monotonic() + 30
    while any(map(is_there, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_there, workers))
