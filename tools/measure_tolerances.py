"""Measures the rounding noise that the bounds of `conformance/tolerances.py` are made from.

Runs every framework on every named case with many seeds, against the reference in float64, and prints the worst error
of each quantity beside its bound: `python tools/measure_tolerances.py --seeds 12`. A bound is four times that error,
rounded up to one digit.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterator

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from conformance.suite.adapters import FRAMEWORKS, ReferenceAdapter
from conformance.suite.cases import CASES, LABEL_SETTINGS, Case, folded_mask, random_params, task_inputs
from conformance.suite.compare import QUANTITIES, at_real_positions, output_scale, relative_error
from conformance.tolerances import TOLERANCES

RUNS = [(task, setting) for task, settings in LABEL_SETTINGS.items() for setting in settings]


def measure(case: Case, framework: str, seed: int) -> Iterator[tuple[str, float]]:
    """Quantities and their errors for one case, one framework and one seed; task, labels and side change with it."""
    task, setting = RUNS[seed % len(RUNS)]
    config = case.config.replace(**LABEL_SETTINGS[task][setting])
    params = random_params(config, task, seed)
    inputs = task_inputs(config, task, setting, case.length, seed, ("right", "left", "none")[seed % 3])
    expected = ReferenceAdapter(config, task, params).forward(inputs)
    mask = folded_mask(inputs)
    model = FRAMEWORKS[framework](config, task, params)
    for name, values in model.forward(inputs).items():
        quantity = QUANTITIES[name.split(".")[0]]
        actual, judge = (at_real_positions(name, side, mask) for side in (values, expected[name]))
        yield quantity, relative_error(actual, judge, output_scale(quantity, judge))
    if framework != "torch":  # gradients are compared with PyTorch's, whose own are checked by differences
        judges = FRAMEWORKS["torch"](config, task, params).gradients(inputs)[1]
        largest = max(float(np.abs(values).max()) for values in judges.values())
        for name, values in model.gradients(inputs)[1].items():
            scale = max(float(np.abs(judges[name]).max()), 1e-2 * largest)
            yield "gradient", relative_error(values, judges[name], scale)


def round_up(value: float) -> float:
    """The next number of one digit."""
    size = 10.0 ** math.floor(math.log10(value))
    return math.ceil(value / size) * size


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=12, help="seeds per case")
    parser.add_argument("--cases", nargs="*", choices=tuple(CASES), default=list(CASES), help="default: all")
    arguments = parser.parse_args()
    worst: dict[str, tuple[float, str]] = {}
    for name in arguments.cases:
        for framework in FRAMEWORKS:
            for seed in range(arguments.seeds):
                for quantity, error in measure(CASES[name], framework, seed):
                    worst[quantity] = max(worst.get(quantity, (0.0, "")), (error, f"{name}, {framework}, seed {seed}"))
        print(f"{name} done", flush=True)
    print(f"{'quantity':12} {'worst':>8} {'4 x worst':>9} {'bound':>8}  where")
    for quantity, (error, where) in worst.items():
        bound = TOLERANCES[quantity].limit
        print(f"{quantity:12} {error:8.1e} {round_up(4 * error):9.0e} {bound:8.0e}  {where}")


if __name__ == "__main__":
    main()
