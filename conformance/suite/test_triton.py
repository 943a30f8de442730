"""Our Triton kernels against the reference, in every case that they can compute; run by Triton's interpreter."""

from __future__ import annotations

import dataclasses

import pytest

import conformance.suite.interpreted  # noqa: F401 - before anything else imports Triton
from conformance.suite.cases import CASES
from conformance.suite.compare import FUSED_HALF_QUANTITIES, worst_errors
from conformance.suite.measure import compare_gradients_with_torch, compare_implementation
from conformance.suite.report import record
from conformance.suite.subjects import GRADIENT_RUNS, VALUE_RUNS, subject
from conformance.suite.test_attention_implementations import FORMS, with_mask
from conformance.suite.test_gradients import two_layers

TRITON = "torch triton"
# In `make test`: distances beyond the reach, and logarithmic buckets.
FEW = [("v1_short_span",), ("v3_like", "sequence_classification", "single")]


def runs(all_of_them):
    fitting = [run for run in all_of_them if not CASES[run[0]].config.mixes_heads]
    return [pytest.param(run, id="-".join(run), marks=() if run in FEW else pytest.mark.slow) for run in fitting]


@pytest.mark.parametrize("run", runs(VALUE_RUNS))
def test_values(run):
    case = subject(*run)
    record(case.name, TRITON, worst_errors(compare_implementation(case, TRITON), check=True))


@pytest.mark.parametrize("run", runs(GRADIENT_RUNS))
def test_gradients(run):
    """Every element, with those of eager attention, which `test_gradients.py` compares with the reference's."""
    case = two_layers(*run)
    record(case.name, TRITON, worst_errors(compare_gradients_with_torch(case, TRITON), check=True))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["v1_short_span", "v2_conv", "v2_no_terms"])
def test_every_mask(name, form, dtype):
    case = with_mask(subject(name), form)
    assert dtype == "float32" or dtype in FUSED_HALF_QUANTITIES
    record(case.name, TRITON, worst_errors(compare_implementation(case, TRITON, dtype), check=True))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["2d", "3d"])
def test_gradients_with_masks(form):
    case = with_mask(two_layers(*FEW[1]), form)
    worst_errors(compare_gradients_with_torch(dataclasses.replace(case, models={}), TRITON), check=True)
