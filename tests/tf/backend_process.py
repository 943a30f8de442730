"""The goldens, and `fit`, `predict` and saving, on the Keras backend of the environment; prints what was compared."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

import deberta_tf
from conformance.suite.adapters import flatten_outputs
from conformance.suite.compare import assert_close, assert_outputs_close
from conformance.suite.golden import goldens
from deberta_core import DebertaV2Config, DebertaV2Tokenizer
from deberta_core.parameters import expand
from deberta_tf.weights import assign, parameter_variables

BACKEND = keras.backend.backend()
TEXTS = [
    "A film that never loses its nerve.",
    "Two hours I would like to have back.",
    "Fine.",
    "Old jokes, told twice.",
]


def golden_model(golden):
    family = type(golden.config).__name__.removesuffix("Config")
    name = next(
        name
        for name in deberta_tf.__all__
        if name.startswith(f"TF{family}")
        and not name.endswith("PreTrainedModel")
        and getattr(deberta_tf, name).task == golden.task
    )
    model = getattr(deberta_tf, name)(golden.config)
    assign(model, golden.params())
    return model


def gradients(model, inputs):
    """By parameter name, in PyTorch's layout."""
    variables, table = parameter_variables(model), expand(model.config, model.task)
    if BACKEND == "torch":
        model(inputs, training=False).loss.backward()
        found = {name: variable.value.grad for name, variable in variables.items()}
        found = {name: None if grad is None else grad.numpy() for name, grad in found.items()}
    else:
        import jax

        fixed = [variable.value for variable in model.non_trainable_variables]
        loss = lambda values: model.stateless_call(values, fixed, inputs, training=False)[0].loss  # noqa: E731
        values = jax.grad(loss)([variable.value for variable in model.trainable_variables])
        by_path = {
            variable.path: np.asarray(value) for variable, value in zip(model.trainable_variables, values, strict=True)
        }
        found = {name: by_path[variable.path] for name, variable in variables.items()}
    return {
        name: table[name].kind.convert(np.zeros(variables[name].shape, np.float32) if grad is None else grad)
        for name, grad in found.items()
    }


def check_goldens():
    count = 0
    for golden in (case.values[0] for case in goldens()):
        model, mask = golden_model(golden), golden.mask()
        inputs = golden.tensors("input")
        output = model(dict(inputs), output_hidden_states=True, output_attentions=True)
        actual = flatten_outputs(output, keras.ops.convert_to_numpy)
        for kind in ("output", "tf_output"):
            skipped = {"loss"} if golden.task == "question_answering" and not mask.all() else set()
            expected = golden.tensors(kind)
            chosen = {name: actual[name] for name in expected if name not in skipped}
            assert_outputs_close(chosen, expected, mask, quantity="golden")
        count += 1
    return count


def check_gradients():
    count = 0
    for golden in (case.values[0] for case in goldens(with_gradients=True)):
        if golden.task == "question_answering" and not golden.mask().all():
            continue  # NUMERICS decision 10
        expected = golden.tensors("grad")
        found = gradients(golden_model(golden), golden.tensors("input"))
        assert set(found) == set(expected)
        largest = max(float(np.abs(values).max()) for values in expected.values())
        for name, values in found.items():
            scale = max(float(np.abs(expected[name]).max()), 1e-3 * largest)
            assert_close(values, expected[name], quantity="golden gradient", name=name, scale=scale)
        count += 1
    return count


def check_training(folder):
    tokenizer = DebertaV2Tokenizer.train(TEXTS, vocab_size=320, hard_vocab_limit=False)
    config = DebertaV2Config.preset(
        "deberta-v3-xsmall", vocab_size=len(tokenizer), num_hidden_layers=1, hidden_size=48, intermediate_size=40
    )
    keras.utils.set_random_seed(0)
    model = deberta_tf.TFDebertaV2ForSequenceClassification(config)
    ids = dict(tokenizer(TEXTS, padding=True, return_tensors="np"))
    quiet, loud = (keras.ops.convert_to_numpy(model(ids, training=mode).logits) for mode in (False, True))
    assert np.abs(quiet - loud).max() > 0  # dropout
    model.compile(keras.optimizers.Adam(3e-3), metrics=["accuracy"])
    model.preprocessor = tokenizer
    losses = model.fit(TEXTS, [0, 1, 0, 1], epochs=40, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0], losses
    expected = model.predict(TEXTS, verbose=0).logits
    _, accuracy = model.evaluate(TEXTS, [0, 1, 0, 1], verbose=0)
    assert accuracy == (expected.argmax(-1) == [0, 1, 0, 1]).mean()
    model.save(folder / "model.keras")
    model.save_pretrained(folder)
    model.save_weights(folder / "model.weights.h5")
    for again in (keras.models.load_model(folder / "model.keras"), type(model).from_pretrained(folder)):
        assert_close(again.predict(ids, verbose=0).logits, expected, quantity="logits", name="saved")
    adapted = type(model).from_pretrained(folder)
    adapted.enable_lora(2)
    adapted.compile(keras.optimizers.Adam(0.01))
    adapted.fit(TEXTS, [1, 0, 1, 0], epochs=3, verbose=0)
    adapted.save_pretrained(folder / "adapted")
    after = adapted.predict(TEXTS, verbose=0).logits
    assert np.abs(after - expected).max() > 1e-3
    again = type(model).from_pretrained(folder / "adapted")
    assert_close(again.predict(TEXTS, verbose=0).logits, after, quantity="logits", name="adapted")
    again.quantize("int8")
    assert np.isfinite(again.predict(TEXTS, verbose=0).logits).all()
    with pytest.raises(deberta_tf.InputError, match="exported on TensorFlow alone"):
        model.export(folder / "exported")


if __name__ == "__main__":
    assert sys.argv[1] == BACKEND, BACKEND
    print(f"{check_goldens()} goldens, {check_gradients()} with gradients", end=", ")
    with tempfile.TemporaryDirectory() as place:
        check_training(Path(place))
    print("trained and saved")
