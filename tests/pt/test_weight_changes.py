"""Weights that another thread changes while an optimised model answers: wholly the old ones, or wholly the new."""

from __future__ import annotations

import copy
import io
import threading
import time
from collections.abc import Callable

import pytest
import torch

import deberta_torch
from deberta_torch import changing_weights, optimize, restore
from tests.pt.optimized import ids, make

STATES = 2


def states(model: torch.nn.Module) -> list[dict[str, torch.Tensor]]:
    """Weights in every part of the model, and others."""
    own = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    return [own, {name: value + 0.3 * torch.randn_like(value) for name, value in own.items()}]


def load(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    model.load_state_dict(state)


def assign(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    model.load_state_dict({name: value.clone() for name, value in state.items()}, assign=True)


def copy_one_by_one(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> None:
    with torch.no_grad(), changing_weights(model):
        for name, value in model.state_dict().items():
            value.copy_(state[name])
            time.sleep(0)


@pytest.mark.parametrize("change", [load, assign, copy_one_by_one])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.parametrize("held", [False, True], ids=["the model", "a module that holds it"])
def test_no_answer_is_of_mixed_weights(change, dtype, held):
    if dtype == "int8" and not deberta_torch.kernels.onednn.available(torch.int8):
        pytest.skip("this CPU or torch lacks 8-bit products")
    model = make("v3_like", "ForSequenceClassification")
    model = torch.nn.Sequential(model) if held else model
    both = states(model)
    batch, expected = ids(), []
    optimize(model, dtype)
    for state in both:
        load(model, state)
        expected.append(answer(model, batch))
    assert not torch.equal(*expected)
    answers: list[torch.Tensor] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(answer(model, batch))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        change(model, both[turn % STATES])
        time.sleep(0.002)
    stop.set()
    for thread in threads:
        thread.join()
    kinds = [next((n for n, one in enumerate(expected) if torch.equal(found, one)), None) for found in answers]
    assert kinds.count(None) == 0, f"{kinds.count(None)} of {len(kinds)}"
    assert set(kinds) == {0, 1}
    assert torch.equal(answer(model, batch), expected[1])  # what was loaded last


def answer(model: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(batch).logits


def finished(work: Callable[[], object]) -> bool:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(0.3)
    return not thread.is_alive()


def test_calls_wait_for_a_change_and_a_change_for_calls():
    model = optimize(make("v1_like", "ForSequenceClassification"))
    (lock,) = deberta_torch.inference.optimize.locks_of(model)
    with changing_weights(model):
        answer(model, ids())  # of the same thread
        model.load_state_dict(model.state_dict())
        assert not finished(lambda: answer(model, ids()))
    assert finished(lambda: answer(model, ids()))
    with lock.call():
        assert finished(lambda: answer(model, ids()))
        assert not finished(lambda: model.load_state_dict(model.state_dict()))
        assert not finished(lambda: answer(model, ids()))  # comes after the change that waits
        answer(model, ids())  # within the call that the change waits for
    assert finished(lambda: answer(model, ids()))


def test_an_error_within_a_call_or_a_load_keeps_nothing_locked():
    model = optimize(make("v3_like", "ForSequenceClassification"))
    with pytest.raises(ValueError, match="input_ids"):
        model(torch.full((1, 4), 10**6))
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({})
    assert finished(lambda: model.load_state_dict(model.state_dict()))
    assert finished(lambda: answer(model, ids()))


def test_copies_and_pickles_have_locks_of_their_own():
    model = optimize(make("v3_like", "ForSequenceClassification"))
    stream = io.BytesIO()
    torch.save(model, stream)
    stream.seek(0)
    for other in (copy.deepcopy(model), torch.load(stream, weights_only=False)):
        with changing_weights(model):
            assert finished(lambda other=other: answer(other, ids()))
        with changing_weights(other):
            assert not finished(lambda other=other: answer(other, ids()))
        assert torch.equal(answer(other, ids()), answer(model, ids()))


def hooks(model: torch.nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def test_restoring_takes_the_locks_away():
    model = make("v3_like", "ForSequenceClassification")
    assert hooks(optimize(model)) == hooks(optimize(model)) > 0  # not twice
    assert hooks(restore(copy.deepcopy(model))) == 0
    assert hooks(restore(model)) == 0
    with changing_weights(model):
        assert finished(lambda: answer(model, ids()))
