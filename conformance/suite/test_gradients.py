"""Gradients of every parameter: PyTorch against differences of the float64 reference, Keras against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.suite.adapters import KerasAdapter, ReferenceAdapter, TorchAdapter
from conformance.suite.cases import CASES, LABEL_SETTINGS, random_params, task_inputs
from conformance.suite.compare import assert_close, output_scale, relative_error
from conformance.suite.report import record

SEQUENCE = "sequence_classification"
RUNS = [
    pytest.param(name, task, setting, id=f"{name}-{task}-{setting}")
    for name, task, setting in (
        ("v1_like", SEQUENCE, "single"),
        ("v1_talking_head", "token_classification", "tokens"),
        ("v1_absolute_types", "question_answering", "spans"),
        ("v1_embedding_ne_hidden", "masked_lm", "legacy"),
        ("v1_like", "multiple_choice", "choices"),
        ("v3_like", SEQUENCE, "single"),
        ("v3_like", "masked_lm", "new"),
        ("v3_like", "question_answering", "spans"),
        ("v2_conv_groups", SEQUENCE, "multi"),
        ("v2_conv", "multiple_choice", "choices"),
        ("v2_conv", "token_classification", "tokens"),
        ("v2_unshared", SEQUENCE, "regression"),
        ("v2_absolute_types", SEQUENCE, "soft"),
        ("v2_embedding_ne_hidden", SEQUENCE, "inferred_single"),
        ("v2_no_relative", SEQUENCE, "inferred_regression"),
        ("v2_no_buckets", "masked_lm", "legacy"),
    )
]


def make(name, task, setting):
    case = CASES[name]
    config = case.config.replace(**LABEL_SETTINGS[task][setting])
    return config, random_params(config, task), task_inputs(config, task, setting, case.length)


def scales(gradients):
    """Per parameter the size of its gradient; a floor for those that are 0 in exact arithmetic."""
    largest = max(float(np.abs(values).max()) for values in gradients.values())
    return {name: max(float(np.abs(values).max()), 1e-2 * largest) for name, values in gradients.items()}


@pytest.mark.parametrize(("name", "task", "setting"), RUNS)
def test_torch_against_the_reference(name, task, setting):
    config, params, inputs = make(name, task, setting)
    judge = ReferenceAdapter(config, task, params)
    loss, gradients = TorchAdapter(config, task, params).gradients(inputs)
    expected_loss = np.asarray(judge.loss({}, inputs))
    assert_close(
        np.asarray(loss), expected_loss, quantity="loss", name="loss", scale=output_scale("loss", expected_loss)
    )
    sizes = scales(gradients)
    generator = np.random.default_rng(0)
    worst = 0.0
    for parameter, gradient in gradients.items():
        flat = gradient.ravel().astype(np.float64)
        elements = {int(np.abs(flat).argmax()), *generator.integers(0, flat.size, 3).tolist()}
        directions = [np.eye(1, flat.size, element).reshape(gradient.shape) for element in elements]
        if np.linalg.norm(flat) > 0:
            directions.append((flat / np.linalg.norm(flat)).reshape(gradient.shape))
        if parameter.endswith("word_embeddings.weight"):
            # The reference has no notion of a gradient that is stopped: the padding row's lookup is left out, and
            # without a tied decoder that row has no gradient at all.
            assert task == "masked_lm" or not gradient[config.pad_token_id].any()
            for direction in directions:
                direction[config.pad_token_id] = 0
        for direction in directions:
            expected = judge.directional_derivative(parameter, direction, inputs)
            actual = float((gradient * direction).sum())
            scale = max(sizes[parameter], abs(expected))
            worst = max(
                worst,
                assert_close(
                    np.asarray(actual), np.asarray(expected), quantity="gradient", name=parameter, scale=scale
                ),
            )
    record(f"{name} {task}", "torch", {"gradient": worst})


@pytest.mark.parametrize(("name", "task", "setting"), RUNS)
def test_keras_against_torch(name, task, setting):
    config, params, inputs = make(name, task, setting)
    torch_loss, expected = TorchAdapter(config, task, params).gradients(inputs)
    loss, gradients = KerasAdapter(config, task, params).gradients(inputs)
    assert_close(loss, torch_loss, quantity="loss", name="loss", scale=output_scale("loss", torch_loss))
    assert set(gradients) == set(expected)
    sizes = scales(expected)
    errors = [
        assert_close(values, expected[parameter], quantity="gradient", name=parameter, scale=sizes[parameter])
        for parameter, values in gradients.items()
    ]
    record(f"{name} {task}", "keras", {"gradient": max(errors)})


def test_a_wrong_gradient_is_seen():
    """The check can fail: a gradient without the position terms is far beyond its bound."""
    config, params, inputs = make("v3_like", SEQUENCE, "single")
    _, gradients = TorchAdapter(config, SEQUENCE, params).gradients(inputs)
    other = config.replace(pos_att_type="c2p")
    _, without = TorchAdapter(other, SEQUENCE, params).gradients(inputs)
    name = "deberta.encoder.rel_embeddings.weight"
    assert relative_error(without[name], gradients[name]) > 0.1


@pytest.mark.parametrize("adapter", [TorchAdapter, KerasAdapter])
def test_ignored_labels_give_no_loss_and_no_gradient(adapter):
    config, params, inputs = make("v3_like", SEQUENCE, "single")
    inputs["labels"] = np.full(3, -100)
    loss, gradients = adapter(config, SEQUENCE, params).gradients(inputs)
    assert float(loss) == 0.0
    assert not any(values.any() for values in gradients.values())
