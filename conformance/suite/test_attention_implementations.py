"""PyTorch's implementations of attention, and its optimised encoder, against the reference in every dtype and mask."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from conformance.suite.adapters import IMPLEMENTATIONS, REDUCED
from conformance.suite.cases import CASES
from conformance.suite.compare import FUSED_HALF_QUANTITIES, worst_errors
from conformance.suite.invariances import compare_changes
from conformance.suite.measure import compare_fused_gradients, compare_implementation, compare_reduced
from conformance.suite.report import record
from conformance.suite.subjects import GRADIENT_RUNS, ONE_SETTING, Subject, subject
from deberta_torch.kernels import attention_blocks, onednn, short_attention

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
WITHOUT_TALKING_HEADS = [name for name, case in CASES.items() if not case.config.mixes_heads]
# Both versions, with a span that is shorter than the text and without position terms.
FEW = ("v1_like", "v1_short_span", "v2_conv", "v2_no_terms")
FORMS = {
    "none": lambda mask: None,
    "2d": lambda mask: mask,
    "3d": lambda mask: np.tril(np.broadcast_to(mask[:, None], (*mask.shape, mask.shape[-1]))),
    "4d": lambda mask: FORMS["3d"](mask)[:, None].astype(bool),
}
implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
fast = pytest.mark.parametrize("implementation", ["torch sdpa", "torch optimized"])


@pytest.fixture(params=["whole", "blocks", "blocks by steps"])
def blocks(request, monkeypatch):
    """SDPA over whole texts, in blocks that divide no text evenly, and head by head without torch's own kernel."""
    sizes = {"whole": (1000, 1, 1), "blocks": (0, 8, 5), "blocks by steps": (0, 8, 5, 1)}[request.param]
    monkeypatch.setitem(attention_blocks.BLOCK_SIZES, "cpu", attention_blocks.BlockSizes(*sizes))
    if request.param == "blocks by steps":
        monkeypatch.setitem(attention_blocks.STEPS_FROM, torch.float32, 0)
    return request.param


def with_mask(case: Subject, form: str) -> Subject:
    mask = FORMS[form](case.inputs["attention_mask"])
    others = {name: values for name, values in case.inputs.items() if name != "attention_mask"}
    inputs = others if mask is None else {**others, "attention_mask": mask}
    return dataclasses.replace(case, inputs=inputs, name=f"{case.name} {form}")


@fast
@pytest.mark.parametrize("name", WITHOUT_TALKING_HEADS)
def test_fast_paths_in_every_case(implementation, name, monkeypatch):
    """Each text in two blocks of queries, and its keys in three."""
    length = CASES[name].length
    sizes = attention_blocks.BlockSizes(0, math.ceil(length / 2), math.ceil(length / 3))
    monkeypatch.setitem(attention_blocks.BLOCK_SIZES, "cpu", sizes)
    case = subject(name)
    record(case.name, implementation, worst_errors(compare_implementation(case, implementation), check=True))


@pytest.mark.parametrize("name", [*FEW, "v2_odd_width", "v2_one_token", "v2_c2p", "v2_p2c", "v1_pruned_heads"])
def test_flex_in_some_cases(name):
    case = subject(name)
    record(case.name, "torch flex", worst_errors(compare_implementation(case, "torch flex"), check=True))


@fast
@pytest.mark.parametrize(("task", "setting"), ONE_SETTING)
@pytest.mark.parametrize("name", ["v1_like", "v2_conv"])
def test_fast_paths_in_every_task(implementation, name, task, setting):
    case = subject(name, task, setting, "right", True)
    record(case.name, implementation, worst_errors(compare_implementation(case, implementation), check=True))


@fast
@pytest.mark.parametrize("dtype", ["float32", *FUSED_HALF_QUANTITIES])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FEW)
def test_fast_paths_with_every_mask_in_every_dtype(implementation, name, form, dtype, blocks):
    case = with_mask(subject(name), form)
    errors = worst_errors(compare_implementation(case, implementation, dtype), check=True)
    record(f"{case.name} {dtype}", implementation, errors)


@pytest.mark.parametrize("dtype", ["float32", *FUSED_HALF_QUANTITIES])
@pytest.mark.parametrize("form", FORMS)
def test_flex_with_every_mask_in_every_dtype(form, dtype):
    case = with_mask(subject("v3_like"), form)
    errors = worst_errors(compare_implementation(case, "torch flex", dtype), check=True)
    record(f"{case.name} {dtype}", "torch flex", errors)


@pytest.mark.parametrize("implementation", REDUCED)
@pytest.mark.parametrize("name", WITHOUT_TALKING_HEADS)
def test_fewer_bits_in_every_case(implementation, name):
    case = subject(name)
    record(case.name, implementation, worst_errors(compare_reduced(case, implementation), check=True))


@pytest.mark.parametrize("implementation", REDUCED)
@pytest.mark.parametrize(("task", "setting"), ONE_SETTING)
@pytest.mark.parametrize("name", ["v1_like", "v2_conv"])
def test_fewer_bits_in_every_task(implementation, name, task, setting):
    case = subject(name, task, setting, "right", True)
    record(case.name, implementation, worst_errors(compare_reduced(case, implementation), check=True))


@pytest.mark.parametrize("implementation", REDUCED)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", FEW)
def test_fewer_bits_with_every_mask(implementation, name, form, blocks):
    case = with_mask(subject(name), form)
    record(case.name, implementation, worst_errors(compare_reduced(case, implementation), check=True))


@implementations
def test_nothing_changes(implementation):
    """Padding, holes and the order of a batch, as in `test_invariances.py`."""
    case = subject("v2_conv", "sequence_classification", "single", "right", True)
    record(case.name, implementation, worst_errors(compare_changes(case, implementation), check=True))


@pytest.mark.parametrize("run", [run for run in GRADIENT_RUNS if run[0] in ("v1_like", "v3_like", "v2_unshared")])
def test_gradients_through_sdpa(run):
    case = subject(*run)
    record(case.name, "torch sdpa", worst_errors(compare_fused_gradients(case), check=True))


def test_the_implementation_is_used_and_a_wrong_one_is_seen(monkeypatch):
    """Keys in blocks whose positions are off by one are found."""
    monkeypatch.setitem(attention_blocks.BLOCK_SIZES, "cpu", attention_blocks.BlockSizes(0, 8, 5))
    right = attention_blocks.skew
    monkeypatch.setattr(attention_blocks, "skew", lambda products, length: right(products.roll(1, -1), length))
    with pytest.raises(AssertionError, match="fused"):
        worst_errors(compare_implementation(subject("v3_like"), "torch sdpa"), check=True)


def test_wrong_products_of_fewer_bits_are_seen(monkeypatch):
    """8-bit numbers whose zero is forgotten; projected rows in the place of others."""
    right, case = onednn.quantize, subject("v3_like")
    with monkeypatch.context() as patch:
        patch.setattr(onednn, "quantize", lambda values: (*right(values)[:2], 0))
        with pytest.raises(AssertionError, match="optimized int8"):
            worst_errors(compare_reduced(case, "torch optimized int8"), check=True)
    read = short_attention.read_diagonals
    monkeypatch.setattr(short_attention, "read_diagonals", lambda products, *rest: read(products.roll(5, -1), *rest))
    with pytest.raises(AssertionError, match="optimized bfloat16"):
        worst_errors(compare_reduced(case, "torch optimized bfloat16"), check=True)
