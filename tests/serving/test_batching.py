"""Rows of requests in batches: order, fairness, limits, failures."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from deberta_core.errors import WeightError
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.pipelines.batches import ModelRow
from deberta_dual.serving.batching import Batcher
from deberta_dual.serving.errors import Refused


class Model:
    """Gives the first id of each row back; waits at a gate, and fails for the id 666."""

    def __init__(self):
        self.batches, self.gate, self.seconds = [], threading.Event(), 0
        self.gate.set()

    def run(self, inputs, places):
        self.gate.wait(10)
        time.sleep(self.seconds)
        self.batches.append(
            [row[mask > 0].tolist() for row, mask in zip(*(inputs[name] for name in NAMES), strict=True)]
        )
        first = inputs["input_ids"][:, :1].astype(np.float32)
        return {"logits": np.where(first == 666, np.nan, first)}


NAMES = ("input_ids", "attention_mask")


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def batcher(model):
    def make(max_tokens=100, max_waiting=1000, at_once=1, timeout=60):
        arrays = ArrayModel(SimpleNamespace(), "sequence_classification", model.run)
        made.append(
            Batcher(
                threads, at_once, arrays, 0, max_tokens, max_waiting, lambda *numbers: seen.append(numbers), timeout
            )
        )
        return made[-1]

    made, seen, threads = [], [], ThreadPoolExecutor(2)
    yield make
    model.gate.set()
    for one in made:
        one.close()
        assert one.waiting == 0
    assert sum(tokens for tokens, *_ in seen) == sum(
        len(row) for batch in model.batches for row in batch
    ) or "666" in str(model.batches)


def rows(*numbers, length=4):
    return [ModelRow({"input_ids": [number] * length, "attention_mask": [1] * length}) for number in numbers]


def firsts(future):
    return [float(output["logits"][0]) for output in future.result(timeout=10)]


def test_outputs_are_in_order(batcher, model):
    run = batcher(max_tokens=10)
    lengths = [1, 9, 3, 12, 1, 5, 8]
    given = [row for number, length in enumerate(lengths) for row in rows(number, length=length)]
    assert firsts(run.submit(given)) == list(range(len(lengths)))
    assert sorted(len(row) for batch in model.batches for row in batch) == sorted(lengths)
    assert all(sum(map(len, batch)) <= 10 or len(batch) == 1 for batch in model.batches)


def test_rows_of_similar_length_are_together(batcher, model):
    run = batcher()
    model.gate.clear()
    first = run.submit(rows(0))
    while run.waiting:  # until the model is busy with it; then others come
        pass
    others = [run.submit(rows(1, length=length)) for length in (2, 40, 3, 33)]
    model.gate.set()
    assert firsts(first) == [0.0]
    assert all(firsts(one) == [1.0] for one in others)
    assert all(max(map(len, batch)) < 2 * min(map(len, batch)) for batch in model.batches)
    assert len(model.batches) == 3


def test_a_short_request_does_not_wait_for_all_of_a_long_one(batcher, model):
    run = batcher(max_tokens=16)
    model.gate.clear()
    first = run.submit(rows(0))
    long = run.submit(rows(*range(1, 41)))
    short = run.submit(rows(99))
    model.gate.set()
    assert firsts(short) == [99.0]
    assert firsts(long) == list(range(1, 41))
    assert firsts(first) == [0.0]
    number = next(number for number, batch in enumerate(model.batches) if [99] * 4 in batch)
    assert number <= 1, "the short request was not in the batch after the running one"


def test_batches_at_once_share_what_waits(batcher, model):
    run = batcher(at_once=2)
    model.gate.clear()
    busy = [run.submit(rows(0, 0)), run.submit(rows(0, 0))]
    while run.waiting:  # until both threads have something
        pass
    one = run.submit(rows(*range(1, 9)))
    model.gate.set()
    assert firsts(one) == list(range(1, 9))
    assert [firsts(other) for other in busy] == [[0.0, 0.0]] * 2
    assert max(len([row for row in batch if row[0]]) for batch in model.batches) == 4


def test_a_request_alone_is_shared_by_free_threads(batcher, model):
    run = batcher(at_once=2)
    model.gate.clear()
    one = run.submit(rows(1, 2))
    end = time.monotonic() + 10
    while run.waiting and time.monotonic() < end:
        pass
    assert not run.waiting, "a thread is free, and a row waits"
    model.gate.set()
    assert firsts(one) == [1.0, 2.0]


def test_too_much_is_refused(batcher, model):
    run = batcher(max_waiting=20)
    model.gate.clear()
    first = run.submit(rows(0))
    while run.waiting:  # until the model has it
        pass
    second = run.submit(rows(*range(30)))  # nothing waits: however much it is
    with pytest.raises(Refused, match="tokens wait, and no more than 20 may") as refused:
        run.submit(rows(1))
    assert refused.value.status == 429
    assert refused.value.retry_after >= 1
    model.gate.set()
    assert firsts(first) == [0.0]
    assert firsts(second) == list(range(30))


def test_what_would_be_answered_too_late_is_refused_at_once(batcher, model):
    """By the speed of the last batches; a short request waits for one row of each other one, and is taken."""
    run = batcher(max_tokens=4, timeout=0.5)
    model.seconds = 0.02
    for number in range(10):  # 4 tokens in 20 ms
        assert firsts(run.submit(rows(number))) == [float(number)]
    model.gate.clear()
    first = run.submit(rows(0))
    while run.waiting:  # until the model has it
        pass
    alone = run.submit(rows(*range(50)))  # a second's work, but nothing waits
    with pytest.raises(Refused, match=r"s after the 0\.5 s of a request\. Try again in \d s") as refused:
        run.submit(rows(*range(50)))
    assert (refused.value.status, refused.value.retry_after >= 1) == (429, True)
    short = run.submit(rows(99))
    model.seconds = 0
    model.gate.set()
    assert [firsts(one) for one in (first, short)] == [[0.0], [99.0]]
    assert firsts(alone) == list(range(50))
    model.gate.clear()  # it is quick now
    taken = [run.submit(rows(*range(50))) for _ in range(3)]
    model.gate.set()
    assert all(firsts(one) == list(range(50)) for one in taken)


@pytest.mark.parametrize(("batches", "max_tokens"), [(1, 4), (20, 100)])
def test_few_batches_and_small_ones_tell_nothing_of_the_time(batcher, model, batches, max_tokens):
    run = batcher(max_tokens=max_tokens, timeout=0.01)
    model.seconds = 0.02
    for _ in range(batches):
        assert firsts(run.submit(rows(1))) == [1.0]
    model.gate.clear()
    taken = [run.submit(rows(number)) for number in range(5)]
    model.seconds = 0
    model.gate.set()
    assert [firsts(one) for one in taken] == [[float(number)] for number in range(5)]


def test_a_failure_is_that_request_s_alone(batcher, model):
    run = batcher()
    model.gate.clear()
    first = run.submit(rows(0))
    good, bad, other = run.submit(rows(1, 2)), run.submit(rows(3, 666, 4)), run.submit(rows(5))
    model.gate.set()
    assert firsts(good) == [1.0, 2.0]
    assert firsts(other) == [5.0]
    with pytest.raises(WeightError, match="not finite"):
        bad.result(timeout=10)
    assert firsts(first) == [0.0]


def test_a_request_that_was_given_up_is_not_computed(batcher, model):
    run = batcher()
    model.gate.clear()
    first = run.submit(rows(0))
    while run.waiting:
        pass
    given_up = run.submit(rows(7, 8))
    assert given_up.cancel()
    model.gate.set()
    assert firsts(first) == [0.0]
    assert firsts(run.submit(rows(9))) == [9.0]
    assert not any([number] * 4 in batch for batch in model.batches for number in (7, 8))


def test_what_was_taken_is_answered_at_the_end(batcher, model):
    run = batcher(max_tokens=8)
    model.gate.clear()
    taken = [run.submit(rows(number, number + 1)) for number in range(5)]
    threading.Timer(0.1, model.gate.set).start()
    run.close()
    assert [firsts(one) for one in taken] == [[number, number + 1] for number in range(5)]
    with pytest.raises(Refused, match="stopping"):
        run.submit(rows(1))
