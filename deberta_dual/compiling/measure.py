"""Timing the ways to run a checkpoint, and what their dtypes do to its outputs."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.config import BaseConfig
from deberta_core.errors import DebertaError, DebertaWarning
from deberta_core.tasks import task_spec
from deberta_dual.backends import get_backend
from deberta_dual.backends.protocol import Arrays
from deberta_dual.compiling.candidates import AUTOMATIC, CLOSE, EXACT, GOALS, Candidate, candidates
from deberta_dual.compiling.choice import Choice, Measured, choice_file, choose, read_choice, write_choice
from deberta_dual.compiling.race import race

# Of the largest number of an output in float32: what a dtype may change that no examples judge.
LARGEST_CHANGE = 0.1
_FAILURES = (DebertaError, DebertaWarning, RuntimeError, ImportError, MemoryError)
_CHOICES = 2  # of multiple choice


def known_choice(folder: Path, task: str | None, framework: str) -> Choice:
    """The choice that is kept for a name of `AUTOMATIC`, or one that is measured now."""
    goal = AUTOMATIC[framework]
    file = choice_file(folder, task, goal)
    found = read_choice(file)
    if found is None:
        rows, judge = measure(folder, task, goal, (EXACT, *CLOSE))
        found = choose(goal, rows, judge)
        write_choice(file, found)
    return found


def measure(
    folder: Path, task: str | None, goal: str, dtypes: Sequence[str], seconds: float = 1.0
) -> tuple[list[Measured], Callable[[Measured], bool]]:
    """Times every way to run a checkpoint.

    Args:
        folder: the checkpoint folder, or an exported one.
        task: of the model; None is the backbone.
        goal: a name of `GOALS`.
        dtypes: those to try, float32 among them.
        seconds: how long, loading aside.

    Returns:
        a row for each way, in the order of preference; and what judges one by how far its outputs are from float32's.
    """
    outputs: dict[Candidate, Arrays] = {}

    def loader(candidate: Candidate) -> Callable[[], Callable[[], object]]:
        return lambda: _call(folder, task, goal, candidate, outputs)

    found = race({one: loader(one) for one in candidates(dtypes)}, _FAILURES, seconds, time.perf_counter)
    rows = [Measured(one, found.seconds.get(one), found.failed.get(one, "")) for one in candidates(dtypes)]

    def judge(row: Measured) -> bool:
        exact = next(one for one in outputs if one.dtype == EXACT)
        change = _change(outputs[row.candidate], outputs[exact])
        row.note = f"changes outputs by {change:.1e} of their largest; {LARGEST_CHANGE} is allowed"
        return change <= LARGEST_CHANGE

    return rows, judge


def _call(
    folder: Path, task: str | None, goal: str, candidate: Candidate, outputs: dict[Candidate, Arrays]
) -> Callable[[], object]:
    backend = get_backend(candidate.framework)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DebertaWarning)  # as of a dtype that this processor has to emulate
        model = backend.load_model(folder, task, "cpu", candidate.dtype, **thread_option(candidate.threads))
        arrays = backend.array_model(model)
        inputs, places = _inputs(arrays.config, task, *GOALS[goal])
        outputs[candidate] = arrays.run(inputs, places)
    return lambda: arrays.run(inputs, places)


def thread_option(threads: int | None) -> dict[str, Any]:
    """The option of `load_model` for a number of threads."""
    return {} if threads is None else {"threads": threads}


def _inputs(config: BaseConfig, task: str | None, size: int, length: int) -> tuple[Arrays, NDArray[Any] | None]:
    """Random ids `[B, L]`, `[B, N, L]` where the task folds choices, and the first token of each for masked LM."""
    shape: tuple[int, ...] = (size, min(length, config.max_position_embeddings))
    if task_spec(task).folds_choices:
        shape = (size, _CHOICES, shape[1])
    ids = np.random.default_rng(0).integers(0, config.vocab_size, shape)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    places = np.stack([np.arange(size), np.zeros(size, dtype=np.int64)], axis=1) if task == "masked_lm" else None
    return inputs, places


def _change(found: Arrays, exact: Arrays) -> float:
    changes = [np.abs(found[name] - exact[name]).max() / max(np.abs(exact[name]).max(), 1e-9) for name in exact]
    return float(max(changes))
