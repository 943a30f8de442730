"""Gradients of every parameter: PyTorch against differences of the float64 reference, Keras against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.suite.adapters import KerasAdapter, ReferenceAdapter, TorchAdapter
from conformance.suite.cases import CASES, LABEL_SETTINGS, random_inputs, random_labels, random_params
from conformance.suite.compare import assert_close, output_scale, relative_error
from conformance.suite.report import record

TASK = "sequence_classification"
RUNS = [
    pytest.param(name, setting, id=f"{name}-{setting}")
    for name, setting in (
        ("v3_like", "single"),
        ("v2_conv_groups", "multi"),
        ("v2_unshared", "regression"),
        ("v2_absolute_types", "soft"),
        ("v2_embedding_ne_hidden", "inferred_single"),
        ("v2_no_relative", "inferred_regression"),
        ("v2_no_buckets", "single"),
    )
]


def make(name, setting):
    case = CASES[name]
    config = case.config.replace(**LABEL_SETTINGS[TASK][setting])
    params = random_params(config, TASK)
    inputs = random_inputs(config, case.length) | random_labels(config, TASK, setting, batch=3)
    return config, params, inputs


def scales(gradients):
    """Per parameter the size of its gradient; a floor for those that are 0 in exact arithmetic."""
    largest = max(float(np.abs(values).max()) for values in gradients.values())
    return {name: max(float(np.abs(values).max()), 1e-2 * largest) for name, values in gradients.items()}


@pytest.mark.parametrize(("name", "setting"), RUNS)
def test_torch_against_the_reference(name, setting):
    config, params, inputs = make(name, setting)
    judge = ReferenceAdapter(config, TASK, params)
    loss, gradients = TorchAdapter(config, TASK, params).gradients(inputs)
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
            # The reference has no notion of a gradient that is stopped: at the padding row it is 0 by definition.
            assert not gradient[config.pad_token_id].any()
            directions = [d for d in directions if not d[config.pad_token_id].any()]
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
    record(name, "torch", {"gradient": worst})


@pytest.mark.parametrize(("name", "setting"), RUNS)
def test_keras_against_torch(name, setting):
    config, params, inputs = make(name, setting)
    torch_loss, expected = TorchAdapter(config, TASK, params).gradients(inputs)
    loss, gradients = KerasAdapter(config, TASK, params).gradients(inputs)
    assert_close(loss, torch_loss, quantity="loss", name="loss", scale=output_scale("loss", torch_loss))
    assert set(gradients) == set(expected)
    sizes = scales(expected)
    errors = [
        assert_close(values, expected[parameter], quantity="gradient", name=parameter, scale=sizes[parameter])
        for parameter, values in gradients.items()
    ]
    record(name, "keras", {"gradient": max(errors)})


def test_a_wrong_gradient_is_seen():
    """The check can fail: a gradient without the position terms is far beyond its bound."""
    config, params, inputs = make("v3_like", "single")
    _, gradients = TorchAdapter(config, TASK, params).gradients(inputs)
    other = config.replace(pos_att_type="c2p")
    _, without = TorchAdapter(other, TASK, params).gradients(inputs)
    name = "deberta.encoder.rel_embeddings.weight"
    assert relative_error(without[name], gradients[name]) > 0.1


@pytest.mark.parametrize("adapter", [TorchAdapter, KerasAdapter])
def test_ignored_labels_give_no_loss_and_no_gradient(adapter):
    config, params, inputs = make("v3_like", "single")
    inputs["labels"] = np.full(3, -100)
    loss, gradients = adapter(config, TASK, params).gradients(inputs)
    assert float(loss) == 0.0
    assert not any(values.any() for values in gradients.values())
