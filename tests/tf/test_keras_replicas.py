"""`MirroredStrategy` on two logical CPU devices: one SGD step gives the weights one replica gives on the same batch."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from conformance.suite.compare import assert_close

# One loss of the head's own with hardly any label on one replica, one of two parts, and a compiled one with weights.
QUICK = ("token_classification weighted", "question_answering", "compiled")
SLOW = (
    "masked_lm",
    "sequence_classification",
    "multiple_choice",
    "compiled sum",
    "compiled ignoring",
    "compiled two",
    "replaced tokens",
)


@pytest.fixture(scope="module")
def run_steps(run_script, tiny_config, batch, tmp_path_factory):
    """Runs cases in one fresh process and gives the folder with what they gave; those that ran already are kept."""
    folder = tmp_path_factory.mktemp("steps")
    tiny_config.save_pretrained(folder)
    np.savez(folder / "batch.npz", **batch)

    def run(cases):
        if not (folder / f"{cases[0]}.npz").exists():
            done = run_script("mirrored_steps.py", folder, *cases)
            assert done.returncode == 0, done.stderr
            assert tuple(done.stdout.split("\n")[:-1]) == cases
        return folder

    return run


@pytest.mark.parametrize("case", [*QUICK, *(pytest.param(case, marks=pytest.mark.slow) for case in SLOW)])
def test_one_step_equals_one_replicas(run_steps, case):
    folder = run_steps(QUICK if case in QUICK else SLOW)
    with np.load(folder / f"{case}.npz") as file:
        arrays = {name: file[name] for name in file.files}
    if not keras.__version__.startswith("3.8."):  # which reports something else, but learns the same
        assert_close(arrays["two_loss"], arrays["one_loss"], quantity="loss", name="reported loss")
    names = [name.removeprefix("one/") for name in arrays if name.startswith("one/")]
    changed = max(np.abs(arrays[f"one/{name}"] - arrays[f"before/{name}"]).max() for name in names)
    assert changed > 1e-3  # far more than the bound allows
    for name in names:
        one, two = arrays[f"one/{name}"], arrays[f"two/{name}"]
        assert_close(two, one, quantity="gradient", name=name, scale=max(float(np.abs(one).max()), float(changed)))
