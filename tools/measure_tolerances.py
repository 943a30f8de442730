"""Measures the rounding noise that the bounds of `conformance/tolerances.py` are made from.

Runs every framework on every named case with many seeds, against the reference in float64, and prints the worst error
of each quantity beside its bound: `python tools/measure_tolerances.py --seeds 11`. Task, labels and side of padding
change with the seed; 11 seeds meet every kind of labels once. A bound is four times the worst error, rounded up to one
digit. `--deep` measures the published sizes instead, `--fused` the implementations of attention.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from conformance.suite.adapters import FRAMEWORKS, IMPLEMENTATIONS, REDUCED
from conformance.suite.cases import CASES, LABEL_SETTINGS, random_params, task_inputs
from conformance.suite.compare import FUSED_HALF_QUANTITIES, Comparison
from conformance.suite.measure import (
    compare_explanations,
    compare_gradients_with_torch,
    compare_implementation,
    compare_reduced,
    compare_values,
)
from conformance.suite.subjects import DEEP_NAMES, TASKS_AND_SETTINGS, Subject, deep_subject
from conformance.tolerances import TOLERANCES


def case_subject(name: str, seed: int) -> Subject:
    """A named case with the weights, inputs, task, labels and side of padding of a seed."""
    task, setting = TASKS_AND_SETTINGS[seed % len(TASKS_AND_SETTINGS)]
    config = CASES[name].config.replace(**LABEL_SETTINGS[task][setting])
    side = ("right", "left", "none")[seed % 3]
    inputs = task_inputs(config, task, setting, CASES[name].length, seed, side)
    return Subject(name, config, task, random_params(config, task, seed), inputs)


def measure(subject: Subject, framework: str) -> Iterator[Comparison]:
    """Values and scores with the reference's; gradients with PyTorch's, whose own are checked by differences."""
    yield from compare_values(subject, framework)
    if subject.quantities is not None:
        return
    yield from compare_explanations(subject, framework)
    if framework != "torch":
        yield from compare_gradients_with_torch(subject, framework)


def measure_fused(subject: Subject, implementation: str) -> Iterator[Comparison]:
    """Values in every dtype with the reference's."""
    if implementation in REDUCED:
        yield from compare_reduced(subject, implementation)
        return
    for dtype in ("float32", *FUSED_HALF_QUANTITIES):
        yield from compare_implementation(subject, implementation, dtype)


def round_up(value: float) -> float:
    """The next number of one digit."""
    size = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / size) * size


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=len(TASKS_AND_SETTINGS), help="seeds per case")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--cases", nargs="*", choices=tuple(CASES), default=list(CASES), help="default: all")
    parser.add_argument("--deep", action="store_true", help="published sizes instead of cases; minutes and 3 GB")
    parser.add_argument("--fused", action="store_true", help="PyTorch's implementations of attention; no Keras")
    arguments = parser.parse_args()
    make, names = (deep_subject, DEEP_NAMES) if arguments.deep else (case_subject, arguments.cases)
    if arguments.fused:  # talking heads always get eager attention
        names = [name for name in names if not CASES[name].config.mixes_heads]
    measured, look = ((*IMPLEMENTATIONS, *REDUCED), measure_fused) if arguments.fused else (FRAMEWORKS, measure)
    worst: dict[str, tuple[float, str]] = {}
    for name in names:
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            subject = make(name, seed)
            for framework in measured:
                for one in look(subject, framework):
                    seen = (one.error, f"{name}, {framework}, seed {seed}")
                    worst[one.quantity] = max(worst.get(one.quantity, (0.0, "")), seen)
        print(f"{name} done", flush=True)
    print(f"{'quantity':15} {'worst':>8} {'4 x worst':>9} {'bound':>8}  where")
    for quantity, (error, where) in worst.items():
        print(f"{quantity:15} {error:8.1e} {round_up(4 * error):9.0e} {TOLERANCES[quantity].limit:8.0e}  {where}")


if __name__ == "__main__":
    main()
