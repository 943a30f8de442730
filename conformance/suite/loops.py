"""Training loops of applications, handed to the suite from above: PyTorch and Keras lower the same losses alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from conformance.suite.compare import assert_close
from conformance.suite.report import record

BOUND = "training curve, AdamW"
LOSSES = ("loss", "mlm_loss", "rtd_loss")
# A framework's name to a row for each step, of the losses by name. Dropout is off, and what is drawn is the likeliest.
Loop = Callable[[str], Sequence[Mapping[str, Any]]]


def check_loop(case: str, loop: Loop, steps: int) -> None:
    """Trains in both frameworks, from the same weights on the same rows, and compares the losses of every step.

    Raises:
        AssertionError: a loss differs by more than `BOUND`, or there are fewer steps.
    """
    ours, theirs = loop("torch"), loop("tf")
    assert len(ours) == len(theirs) == steps, f"{len(ours)} and {len(theirs)} steps, not {steps}"
    names = [name for name in LOSSES if name in ours[0]]
    errors = [
        assert_close(np.array(other[name]), np.array(one[name]), quantity=BOUND, name=f"{name} of step {step}")
        for step, (one, other) in enumerate(zip(ours, theirs, strict=True), 1)
        for name in names
    ]
    record(case, "keras", {BOUND: max(errors)})
