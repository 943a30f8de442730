"""Padding, holes, and the order of a batch reach no real position, no pooled logit and no loss."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from conformance.suite.adapters import FRAMEWORKS
from conformance.suite.compare import worst_errors
from conformance.suite.invariances import aligned, changes, compare_changes, move_texts
from conformance.suite.report import record
from conformance.suite.subjects import INVARIANCE_RUNS, subject

IDS = ["-".join(run[:3]) for run in INVARIANCE_RUNS]
NAMES = ["content of padding", "content of holes", "more padding", "padding on the left", "rows in another order"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("run", INVARIANCE_RUNS, ids=IDS)
def test_nothing_changes(framework, run):
    case = subject(*run)
    record(case.name, framework, worst_errors(compare_changes(case, framework), check=True))


class Reference:
    """The judge as a framework; what `leak` makes of the inputs is added to every output."""

    def __init__(self, judge, leak=lambda inputs: 0.0):
        self.judge, self.leak = judge, leak

    def forward(self, inputs):
        outputs = self.judge.forward(inputs)
        return {name: values + self.leak(inputs) for name, values in outputs.items() if not name.startswith("scores.")}


LEAKS = {
    "content of padding": lambda inputs: 1e-9 * inputs["input_ids"][..., -1].sum(),
    "content of holes": lambda inputs: 1e-9 * inputs["input_ids"][..., 2].sum(),
    "more padding": lambda inputs: 1e-3 * inputs["input_ids"].shape[-1],
    "padding on the left": lambda inputs: 1e-3 * inputs["attention_mask"][..., 0].sum(),
    "rows in another order": lambda inputs: 1e-3 * inputs["input_ids"][0].sum(),
}


def wrong_changes(run, leak):
    case = subject(*run)
    model = Reference(case.judge, leak)
    case = dataclasses.replace(case, models={"reference": model})
    case.expected = model.forward(case.inputs)
    return {one.name.split(":")[0] for one in compare_changes(case, "reference") if one.error > 1e-12}


@pytest.mark.parametrize("run", INVARIANCE_RUNS, ids=IDS)
def test_the_reference_does_not_change_either(run):
    assert not wrong_changes(run, lambda inputs: 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_a_leak_is_seen(name):
    """Of hidden content the smallest one, since not a bit may differ."""
    assert name in wrong_changes(("v2_conv", "sequence_classification", "single", "right", True), LEAKS[name])


def test_every_change_is_one():
    """Each differs from the batch it was made from; only hidden content does where shapes stay."""
    case = subject("v2_absolute_types", "sequence_classification", "single", "right", True)
    made = list(changes(case.config, case.inputs))
    assert [change.name for change in made] == NAMES
    mask = case.inputs["attention_mask"] == 1
    for change in made:
        assert any(not np.array_equal(change.inputs[name], values) for name, values in case.inputs.items())
        if change.same_shape:
            np.testing.assert_array_equal(change.inputs["attention_mask"], mask)
            assert (change.inputs["input_ids"] != case.inputs["input_ids"]).any()
            np.testing.assert_array_equal(change.inputs["input_ids"][mask], case.inputs["input_ids"][mask])


def test_labels_move_with_their_tokens():
    config = subject("v1_like", "question_answering", "spans", "right", True).config
    inputs = {
        "input_ids": np.array([[1, 2, 3, 0], [4, 5, 0, 0], [6, 7, 8, 9]]),
        "attention_mask": np.array([[1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]]),
        "start_positions": np.array([2, 0, 4]),
    }
    moved = move_texts(config, inputs, 6, "left", np.random.default_rng(0))
    assert moved["attention_mask"].tolist() == [[0, 0, 0, 1, 0, 1], [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 1]]
    assert moved["input_ids"][0, 3:].tolist() == [1, 2, 3]
    assert moved["start_positions"].tolist() == [5, 0, 6]
    tokens = move_texts(config, inputs | {"labels": inputs["input_ids"]}, 5, "right", np.random.default_rng(0))
    assert tokens["labels"][0].tolist() == [1, 2, 3, -100, -100]


def test_attentions_are_aligned_without_padding():
    mask = np.array([[False, True, True], [True, True, False]])
    attentions = np.arange(18).reshape(2, 1, 3, 3)
    assert aligned("attentions.0", attentions, mask).tolist() == [4, 5, 7, 8, 9, 10, 12, 13]
