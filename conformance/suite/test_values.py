"""Outputs of every framework against the reference, over the named cases."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.suite.adapters import FRAMEWORKS, ReferenceAdapter
from conformance.suite.cases import (
    CASES,
    LABEL_SETTINGS,
    folded_mask,
    padding_mask,
    random_inputs,
    random_params,
    task_inputs,
)
from conformance.suite.compare import assert_outputs_close
from conformance.suite.report import record
from deberta_core.config import BaseConfig
from deberta_core.tasks import TASKS, task_spec

frameworks = pytest.mark.parametrize("framework", FRAMEWORKS)


def check(
    framework: str, name: str, config: BaseConfig, inputs: dict[str, np.ndarray], task: str | None = None
) -> None:
    params = random_params(config, task)
    expected = ReferenceAdapter(config, task, params).forward(inputs)
    actual = FRAMEWORKS[framework](config, task, params).forward(inputs)
    outputs = task_spec(task).output_fields if any(label in inputs for label in task_spec(task).labels) else ()
    assert set(outputs) <= {output.split(".")[0] for output in actual}
    record(name, framework, assert_outputs_close(actual, expected, folded_mask(inputs)))


@frameworks
@pytest.mark.parametrize("name", CASES)
def test_backbone(framework, name):
    case = CASES[name]
    check(framework, name, case.config, random_inputs(case.config, case.length))


TASKS_AND_SETTINGS = [(task, setting) for task, settings in LABEL_SETTINGS.items() for setting in settings]


@frameworks
@pytest.mark.parametrize(("task", "setting"), TASKS_AND_SETTINGS)
@pytest.mark.parametrize(("name", "side"), [("v1_like", "right"), ("v2_conv", "right"), ("v2_conv", "left")])
def test_tasks(framework, task, setting, name, side):
    case = CASES[name]
    config = case.config.replace(**LABEL_SETTINGS[task][setting])
    inputs = task_inputs(config, task, setting, case.length, side=side)
    check(framework, f"{name} {task}", config, inputs, task)


@frameworks
@pytest.mark.parametrize("name", ["v1_embedding_ne_hidden", "v2_embedding_ne_hidden"])
@pytest.mark.parametrize("setting", LABEL_SETTINGS["masked_lm"])
def test_masked_lm_with_narrow_embeddings(framework, name, setting):
    config = CASES[name].config.replace(**LABEL_SETTINGS["masked_lm"][setting])
    check(framework, f"{name} masked_lm", config, task_inputs(config, "masked_lm", setting, 9), "masked_lm")


def test_every_task_is_in_the_matrix():
    assert set(LABEL_SETTINGS) == set(TASKS)


@frameworks
@pytest.mark.parametrize("name", ["v1_like", "v3_like", "v2_conv", "v2_absolute_types"])
@pytest.mark.parametrize("form", ["missing", "bool", "float32", "int32", "3d", "3d_bool", "4d", "holes", "embeds"])
def test_input_forms(framework, name, form):
    case = CASES[name]
    inputs = random_inputs(case.config, case.length)
    generator = np.random.default_rng(5)
    mask = inputs["attention_mask"]
    causal = np.tril(np.ones((case.length, case.length), np.int64))[None] * mask[:, None, :]
    if form == "missing":
        del inputs["attention_mask"]
        inputs.pop("token_type_ids", None)
        inputs.pop("position_ids", None)
    elif form == "embeds":
        ids = inputs.pop("input_ids")
        inputs["inputs_embeds"] = generator.standard_normal((*ids.shape, case.config.embedding_width)).astype(
            np.float32
        )
    else:
        inputs["attention_mask"] = {
            "bool": lambda: mask.astype(bool),
            "float32": lambda: mask.astype(np.float32),
            "int32": lambda: mask.astype(np.int32),
            "3d": lambda: causal,
            "3d_bool": lambda: causal.astype(bool),
            "4d": lambda: causal[:, None],
            "holes": lambda: mask * (generator.random(mask.shape) > 0.3),
        }[form]()
    check(framework, name, case.config, inputs)


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
@pytest.mark.parametrize("name", ["v1_like", "v3_like", "v2_conv_groups"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_changes_nothing(framework, name, side):
    """Neither the content nor the amount of padding reaches a real position."""
    case = CASES[name]
    inputs = random_inputs(case.config, 11, side=side)
    mask = inputs["attention_mask"].astype(bool)
    model = FRAMEWORKS[framework](case.config, None, random_params(case.config, None))
    expected = model.forward(inputs)["last_hidden_state"]
    other_ids = np.where(mask, inputs["input_ids"], 13)
    other = model.forward({"input_ids": other_ids, "attention_mask": inputs["attention_mask"]})["last_hidden_state"]
    np.testing.assert_array_equal(other[mask], expected[mask])
    widths = ((0, 0), (0, 6)) if side == "right" else ((0, 0), (6, 0))
    wider = {key: np.pad(value, widths) for key, value in inputs.items()}
    wide = model.forward(wider)["last_hidden_state"]
    assert np.isfinite(wide).all()
    assert_outputs_close(
        {"last_hidden_state": wide[wider["attention_mask"] == 1][None]},
        {"last_hidden_state": expected[mask][None]},
        np.ones((1, mask.sum()), bool),
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
