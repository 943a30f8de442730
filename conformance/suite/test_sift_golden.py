"""SiFT with Microsoft's perturbation, against Microsoft's numbers and gradients, in every implementation."""

from __future__ import annotations

import pytest
from safetensors.numpy import load_file

from conformance.suite.compare import assert_close
from conformance.suite.golden import PRETRAINING
from conformance.suite.measure import gradient_scales
from conformance.suite.regularised import STEPS
from conformance.suite.report import record

GOLDEN = PRETRAINING / "sift-step"
FLOAT32 = ("golden", "golden gradient")
BOUNDS = {"keras": FLOAT32}  # the others compute in float64


@pytest.mark.skipif(not GOLDEN.exists(), reason="needs the goldens of pretraining")
@pytest.mark.parametrize("framework", STEPS)
def test_a_step(framework):
    stored = load_file(GOLDEN / "expected.safetensors")
    inputs = {name: stored[f"input.{name}"] for name in ("input_ids", "attention_mask", "labels")}
    given = {"first": stored["input.perturbation"], "second": stored["output.perturbation"]}
    outputs, gradients = STEPS[framework](GOLDEN, inputs, given)
    bound, of_gradients = BOUNDS.get(framework, ("golden float64", "golden float64"))
    errors = [
        assert_close(values, wanted.astype(values.dtype).reshape(values.shape), quantity=bound, name=name)
        for name, values in outputs.items()
        for wanted in [stored[f"output.{name}"]]
    ]
    record("sift-step", framework, {bound: max(errors)})
    if framework == "reference":
        return
    expected = {name.removeprefix("grad."): values for name, values in stored.items() if name.startswith("grad.")}
    assert gradients.keys() == expected.keys()
    scales = gradient_scales(expected)
    errors = [
        assert_close(values, expected[name].astype(values.dtype), quantity=of_gradients, name=name, scale=scales[name])
        for name, values in gradients.items()
    ]
    record("sift-step", framework, {of_gradients: max(errors)})
