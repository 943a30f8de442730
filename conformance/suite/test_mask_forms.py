"""Every form and dtype of attention mask, for every head, gives the reference's numbers."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pytest

from conformance.suite.adapters import FRAMEWORKS
from conformance.suite.compare import worst_errors
from conformance.suite.measure import compare_values
from conformance.suite.report import record
from conformance.suite.subjects import ONE_SETTING, subject

DTYPES = ("bool", "int32", "int64", "uint8", "float32", "float16")


def square(mask):
    """A mask `[..., L]` as `[..., L, L]`: every query sees the same keys."""
    return np.broadcast_to(mask[..., None, :], (*mask.shape, mask.shape[-1]))


FORMS = {"2d": lambda mask: mask, "3d": square, "4d": lambda mask: square(mask)[..., None, :, :]}


def pairs(number: int):
    """Each dtype once, each form twice; the heads, by their number, together have every pair."""
    forms = list(FORMS)
    return [(forms[(place + number) % 3], dtype) for place, dtype in enumerate(DTYPES)]


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", ["v1_like", "v2_conv"])
@pytest.mark.parametrize(("task", "setting"), ONE_SETTING)
def test_forms_and_dtypes(framework, name, task, setting):
    """All forms of one mask are the same mask: the judge is asked once, about `[B, L]` of int64."""
    case = subject(name, task, setting, "right", True)
    mask = case.inputs["attention_mask"]
    for form, dtype in pairs(ONE_SETTING.index((task, setting))):
        given = dataclasses.replace(
            case, inputs={**case.inputs, "attention_mask": FORMS[form](mask).astype(dtype)}, name=f"{form} {dtype}"
        )
        given.expected = case.expected
        record(case.name, framework, worst_errors(compare_values(given, framework), check=True))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", ["v1_like", "v2_conv"])
@pytest.mark.parametrize(("task", "setting"), ONE_SETTING)
def test_each_query_its_own_keys(framework, name, task, setting):
    """A causal mask on top of padding, which no mask `[B, L]` can say."""
    case = subject(name, task, setting, "right", False)
    causal = np.tril(square(case.inputs["attention_mask"]))
    case = dataclasses.replace(case, inputs={**case.inputs, "attention_mask": causal})
    wide = dataclasses.replace(case, inputs={**case.inputs, "attention_mask": causal[..., None, :, :].astype(bool)})
    wide.expected = case.expected
    for given in (case, wide):
        record(case.name, framework, worst_errors(compare_values(given, framework), check=True))


def test_the_heads_together_have_every_pair():
    had = {pair for number in range(len(ONE_SETTING)) for pair in pairs(number)}
    assert had == set(product(FORMS, DTYPES))


@pytest.mark.parametrize("task", [("sequence_classification", "single"), ("multiple_choice", "choices")])
def test_the_masks_matter(task):
    """Without its holes, or seen causally, a batch has other numbers: a mask that is ignored would be found."""
    case = subject("v2_conv", *task, "right", True)
    mask = case.inputs["attention_mask"]
    for other in (np.ones_like(mask), np.tril(square(mask))):
        changed = case.judge.forward({**case.inputs, "attention_mask": other})
        assert np.abs(changed["logits"] - case.expected["logits"]).max() > 1e-3
