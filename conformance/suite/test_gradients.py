"""Gradients of every parameter: PyTorch against differences of the float64 reference, Keras against PyTorch."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from conformance.suite.adapters import TorchAdapter
from conformance.suite.cases import random_params
from conformance.suite.compare import relative_error, worst_errors
from conformance.suite.measure import compare_gradients, compare_gradients_with_torch
from conformance.suite.report import record
from conformance.suite.subjects import GRADIENT_RUNS, Subject, subject

SEQUENCE = "sequence_classification"
LIKE_V3 = ("v3_like", SEQUENCE, "single")
runs = pytest.mark.parametrize("run", GRADIENT_RUNS, ids="-".join)


@functools.cache
def two_layers(*run):
    """The first layer and the last: differences take twice as long with a third, which is like these."""
    case = subject(*run)
    config = case.config.replace(num_hidden_layers=2)
    return Subject(case.name, config, case.task, random_params(config, case.task), case.inputs)


@runs
def test_torch_against_the_reference(run):
    case = two_layers(*run)
    record(case.name, "torch", worst_errors(compare_gradients(case, "torch"), check=True))


@runs
def test_keras_against_torch(run):
    case = two_layers(*run)
    record(case.name, "keras", worst_errors(compare_gradients_with_torch(case, "keras"), check=True))


@runs
def test_only_a_tied_decoder_reaches_the_padding_row(run):
    """No lookup does; the judge cannot say so."""
    case = two_layers(*run)
    _, gradients = case.model("torch").gradients(case.inputs)
    row = gradients["deberta.embeddings.word_embeddings.weight"][case.config.pad_token_id]
    assert row.any() == (case.task == "masked_lm")


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_differences_see_a_wrong_gradient_in_either_framework(framework):
    """The way the command looks at Keras finds what it should: one parameter's gradient is off by a thousandth."""
    case = subject(*LIKE_V3)
    model = case.model(framework)

    class Wrong:
        def gradients(self, inputs):
            loss, gradients = model.gradients(inputs)
            name = "deberta.encoder.layer.1.attention.output.dense.weight"
            return loss, gradients | {name: gradients[name] * np.float32(1.001)}

    other = dataclasses.replace(case, models={framework: Wrong()})
    assert worst_errors(compare_gradients(case, framework), check=True)
    with pytest.raises(AssertionError, match=r"layer\.1\.attention\.output\.dense\.weight"):
        worst_errors(compare_gradients(other, framework), check=True)


def test_a_wrong_gradient_is_seen():
    """The check can fail: a gradient without the position terms is far beyond its bound."""
    case = subject(*LIKE_V3)
    _, gradients = case.model("torch").gradients(case.inputs)
    other = case.config.replace(pos_att_type="c2p")
    _, without = TorchAdapter(other, SEQUENCE, case.params).gradients(case.inputs)
    name = "deberta.encoder.rel_embeddings.weight"
    assert relative_error(without[name], gradients[name]) > 0.1


@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_ignored_labels_give_no_loss_and_no_gradient(framework):
    case = subject(*LIKE_V3)
    loss, gradients = case.model(framework).gradients({**case.inputs, "labels": np.full(3, -100)})
    assert float(loss) == 0.0
    assert not any(values.any() for values in gradients.values())
