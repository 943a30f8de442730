"""Outputs of every framework against the reference, over the named cases."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from conformance.suite.adapters import FRAMEWORKS, ReferenceAdapter
from conformance.suite.cases import CASES, LABEL_SETTINGS, padding_mask, random_params
from conformance.suite.compare import assert_outputs_close, worst_errors
from conformance.suite.measure import compare_values
from conformance.suite.report import record
from conformance.suite.subjects import VALUE_RUNS, Subject, subject
from deberta_core.tasks import TASKS

frameworks = pytest.mark.parametrize("framework", FRAMEWORKS)


def check(framework: str, case: Subject) -> None:
    record(case.name, framework, worst_errors(compare_values(case, framework), check=True))


@frameworks
@pytest.mark.parametrize("run", VALUE_RUNS, ids="-".join)
def test_outputs(framework, run):
    check(framework, subject(*run))


def test_every_task_is_in_the_matrix():
    assert set(LABEL_SETTINGS) == set(TASKS)


@frameworks
@pytest.mark.parametrize("form", ["missing", "embeds"])
@pytest.mark.parametrize("name", ["v1_like", "v3_like", "v2_conv", "v2_absolute_types"])
def test_input_forms(framework, name, form):
    case = subject(name)
    inputs = dict(case.inputs)
    if form == "missing":
        inputs = {"input_ids": inputs["input_ids"]}
    else:
        shape = (*inputs.pop("input_ids").shape, case.config.embedding_width)
        inputs["inputs_embeds"] = np.random.default_rng(5).standard_normal(shape).astype(np.float32)
    check(framework, dataclasses.replace(case, inputs=inputs))


@frameworks
def test_packed_texts_do_not_see_each_other(framework):
    """A block mask over two texts in one row gives each what it has alone."""
    case = CASES["v3_like"]
    params = random_params(case.config, None)
    ids = np.random.default_rng(1).integers(0, case.config.vocab_size, (1, 14))
    block = np.zeros((1, 14, 14), np.int64)
    block[:, :9, :9] = block[:, 9:, 9:] = 1
    model = FRAMEWORKS[framework](case.config, None, params)
    packed = model.forward({"input_ids": ids, "attention_mask": block})["last_hidden_state"]
    alone = ReferenceAdapter(case.config, None, params)
    for part in (slice(0, 9), slice(9, 14)):
        expected = alone.forward({"input_ids": ids[:, part]})
        assert_outputs_close(
            {"last_hidden_state": packed[:, part]}, expected, np.ones((1, packed[:, part].shape[1]), bool)
        )


@frameworks
@pytest.mark.parametrize("mask", [np.zeros((2, 9), np.int64), np.zeros((2, 9, 9), np.int64)])
def test_a_row_without_real_tokens_is_finite(framework, mask):
    case = CASES["v2_conv"]
    task = "sequence_classification"
    model = FRAMEWORKS[framework](case.config, task, random_params(case.config, task))
    outputs = model.forward({"input_ids": np.zeros((2, 9), np.int64), "attention_mask": mask})
    assert all(np.isfinite(values).all() for values in outputs.values())


def test_padding_mask_has_padding():
    assert padding_mask(3, 8).sum(axis=1).tolist() == [8, 6, 4]
    assert padding_mask(3, 8, "left")[1].tolist() == [0, 0, 1, 1, 1, 1, 1, 1]
