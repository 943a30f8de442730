"""Gradient checkpointing in Keras: the gradients of the very same dropout, from less that is kept."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from conformance.suite.cases import CASES
from conformance.suite.compare import assert_close
from deberta_core.errors import InputError
from deberta_tf import TFDebertaForMaskedLM, TFDebertaV2ForMaskedLM, TFDebertaV2ForSequenceClassification

IDS = np.arange(14).reshape(2, 7) + 5
MODELS = {
    "v1_talking_head": (TFDebertaForMaskedLM, IDS),
    "v2_conv_groups": (TFDebertaV2ForSequenceClassification, np.array([0, 1])),
    "v2_enhanced_conv": (TFDebertaV2ForMaskedLM, np.where(IDS % 3 == 0, IDS, -100)),
}


def make(name, dropout, **options):
    model_class, labels = MODELS[name]
    dropouts = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    keras.utils.set_random_seed(0)
    return model_class(CASES[name].config.replace(**dropouts), **options), {"labels": labels}


def numbers(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def step(model, inputs, compiled):
    """Loss, gradients, and the states of dropout behind it."""

    def compute():
        with tf.GradientTape() as tape:
            loss = model(inputs, training=True).loss
        found = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
        return loss, [tf.convert_to_tensor(one) for one in found]

    before = numbers(model.non_trainable_variables)
    loss, gradients = (tf.function(compute) if compiled else compute)()
    after = numbers(model.non_trainable_variables)
    for variable, value in zip(model.non_trainable_variables, before, strict=True):
        variable.assign(value)
    return loss.numpy(), [gradient.numpy() for gradient in gradients], after


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_the_same(name, dropout, compiled):
    model, labels = make(name, dropout)
    inputs = {"input_ids": IDS, **labels}
    loss, gradients, seeds = step(model, inputs, compiled)
    assert not model.is_gradient_checkpointing
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    same_loss, same_gradients, same_seeds = step(model, inputs, compiled)
    assert_close(same_loss, loss, quantity="loss", name=name)
    scale = max(np.abs(gradient).max() for gradient in gradients)  # some are 0 but for rounding
    for variable, one, other in zip(model.trainable_variables, same_gradients, gradients, strict=True):
        assert_close(one, other, quantity="gradient", name=variable.path, scale=scale)
    for one, other in zip(same_seeds, seeds, strict=True):  # dropout advances once
        assert np.array_equal(one, other)


PEAK = """
import resource, sys
import numpy as np, tensorflow as tf
from conformance.suite.cases import CASES
from deberta_tf import TFDebertaV2Model
sizes = dict(num_hidden_layers=8, max_position_embeddings=512)
model = TFDebertaV2Model(CASES["v2_conv_groups"].config.replace(**sizes))
if sys.argv[1] == "on":
    model.gradient_checkpointing_enable()
ids = np.full((4, 512), 7)
def step():
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(ids, training=True).last_hidden_state ** 2)
    return [tf.convert_to_tensor(one) for one in tape.gradient(loss, [v.value for v in model.trainable_variables][:9])]
step = tf.function(step) if sys.argv[2] == "graph" else step
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["graph"])
def test_it_needs_less_memory(mode):
    grown = []
    for switch in ("off", "on"):
        command = [sys.executable, "-c", PEAK, switch, mode]
        run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        before, after = map(int, run.stdout.split())
        grown.append(after - before)
    assert grown[1] < 0.6 * grown[0], grown


def fitted(name, dropout, checkpointing, policy="float32", freeze=False, **compiled):
    model, labels = make(name, dropout, dtype=policy)
    if freeze:
        model.deberta.embeddings.trainable = model.deberta.encoder.layer[0].trainable = False
    if checkpointing:
        model.gradient_checkpointing_enable()
    model.compile(keras.optimizers.SGD(0.1), **compiled)
    history = model.fit({"input_ids": IDS}, labels["labels"], batch_size=1, epochs=2, shuffle=False, verbose=0)
    return history.history["loss"], numbers(model.weights)


@pytest.mark.parametrize(
    "options",
    [
        {"jit_compile": False},
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
        {"run_eagerly": True, "freeze": True},
        pytest.param({"policy": "mixed_bfloat16", "jit_compile": False}, marks=pytest.mark.slow),
    ],
    ids=["graph", "XLA", "frozen", "bfloat16"],
)
def test_fit_learns_the_same(options):
    (losses, plain), (same, found) = (fitted("v2_conv_groups", 0.3, on, **options) for on in (False, True))
    quantity = "training curve"
    assert_close(np.array(same), np.array(losses), quantity=quantity, name="losses")
    for number, (one, other) in enumerate(zip(found, plain, strict=True)):
        assert_close(one, other, quantity=quantity, name=str(number))


def test_it_is_switched_while_a_model_trains():
    model, labels = make("v2_conv_groups", 0.3)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit({"input_ids": IDS}, labels["labels"], verbose=0)
    assert model.train_function is not None
    model.gradient_checkpointing_enable()
    assert model.train_function is None  # traced anew
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_requested_outputs_and_evaluation():
    model, _ = make("v2_conv_groups", 0.0)
    wanted = {"output_attentions": True, "output_hidden_states": True}
    plain = model(IDS, **wanted)
    model.gradient_checkpointing_enable()
    for mode in (True, False):
        found = model(IDS, training=mode, **wanted)
        pairs = zip(found.attentions + found.hidden_states, plain.attentions + plain.hidden_states, strict=True)
        for one, other in pairs:
            assert_close(numbers([one])[0], numbers([other])[0], quantity="hidden", name="output")


def test_other_backends_are_refused(monkeypatch):
    model, _ = make("v2_conv_groups", 0.0)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="gradient checkpointing is not for Keras on 'jax'"):
        model.gradient_checkpointing_enable()
