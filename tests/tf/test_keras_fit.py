"""`fit`, `evaluate`, `predict` and the on-batch methods, with every way to give inputs and labels, on real text."""

from __future__ import annotations

from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

from conformance.suite.compare import assert_close
from deberta_core.errors import DebertaWarning, InputError
from deberta_tf import TFDebertaV2ForSequenceClassification


def build(config, **compiled):
    """A compiled model, always with the same weights; plain SGD, because tracing Adam takes five times as long."""
    keras.utils.set_random_seed(0)
    model = TFDebertaV2ForSequenceClassification(config)
    model.compile(**{"optimizer": keras.optimizers.SGD(0.05)} | compiled)
    return model


@pytest.fixture(scope="module")
def shared_model(tiny_config):
    """One model for all that trains with the head's own loss, and its first weights: what was traced stays."""
    model = build(tiny_config)
    return model, model.get_weights()


@pytest.fixture
def model(shared_model):
    """That model with its first weights."""
    model, weights = shared_model
    model.set_weights(weights)
    return model


def losses(model, *data, **options):
    return np.array(model.fit(*data, batch_size=5, epochs=3, shuffle=False, verbose=0, **options).history["loss"])


@pytest.fixture(scope="module")
def expected(shared_model, batch, labels):
    """The losses of three epochs: dict x, y outside, the head's own loss."""
    model, weights = shared_model
    model.set_weights(weights)
    return losses(model, batch, labels)


def close(actual, expected):
    assert_close(np.asarray(actual), np.asarray(expected), quantity="loss", name="losses")


def test_training_learns(tiny_config, batch, labels):
    """With Adam, and several steps of each graph execution; the loss of fifteen sentences is learnt by heart."""
    model = build(tiny_config, optimizer=keras.optimizers.Adam(3e-3), steps_per_execution=3)
    history = model.fit(batch, labels, batch_size=5, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


FORMS = {
    "labels inside": lambda x, y: ({**x, "labels": y},),
    "list": lambda x, y: ([x["input_ids"], x["attention_mask"]], y),
    "lists of both": lambda x, y: ([x["input_ids"], x["attention_mask"]], [y]),
    "y as a dict": lambda x, y: (x, {"labels": y}),
    "y as a column": lambda x, y: (x, y[:, None]),
    "tf.data": lambda x, y: (tf.data.Dataset.from_tensor_slices((x, y)).batch(5),),
    "tf.data, labels inside": lambda x, y: (tf.data.Dataset.from_tensor_slices({**x, "labels": y}).batch(5),),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_data(model, batch, labels, expected, form):
    data = FORMS[form](batch, labels)
    options = {} if isinstance(data[0], tf.data.Dataset) else {"batch_size": 5}
    close(model.fit(*data, epochs=3, verbose=0, shuffle=False, **options).history["loss"], expected)


def test_a_compiled_loss_and_metrics_see_the_logits(tiny_config, batch, labels, expected):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = build(tiny_config, loss=loss, metrics=["accuracy"])
    weights = model.get_weights()
    history = model.fit(
        batch, labels, batch_size=5, epochs=3, shuffle=False, verbose=0, validation_data=(batch, labels)
    )
    close(history.history["loss"], expected)
    _, accuracy = model.evaluate(batch, labels, verbose=0)
    assert accuracy == pytest.approx((model.predict(batch, verbose=0).logits.argmax(axis=-1) == labels).mean())
    assert history.history["val_accuracy"][-1] == pytest.approx(accuracy)
    assert model.evaluate({**batch, "labels": labels}, verbose=0)[1] == pytest.approx(accuracy)
    model.set_weights(weights)
    close(losses(model, {**batch, "labels": labels}), expected)


@pytest.mark.parametrize(
    ("loss", "warns"),
    [
        ("sparse_categorical_crossentropy", True),
        (keras.losses.sparse_categorical_crossentropy, True),
        (keras.losses.BinaryCrossentropy(), True),
        (["mse", "categorical_crossentropy"], True),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), False),
        ("mse", False),
        (lambda labels, logits: logits, False),
        (None, False),
    ],
)
def test_a_loss_of_probabilities_is_warned_of(tiny_config, monkeypatch, loss, warns):
    """Keras' own default, and the commonest mistake: the model would learn badly, without a word."""
    monkeypatch.setattr(keras.Model, "fit", lambda *arguments, **options: None)
    model = TFDebertaV2ForSequenceClassification(tiny_config)
    model.compile("sgd", loss)
    with pytest.warns(DebertaWarning, match="from_logits=True") if warns else nullcontext():
        model.fit({"input_ids": np.array([[1, 5, 2]])}, np.array([0]))


@pytest.mark.parametrize("mode", [{"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 3}])
def test_modes(tiny_config, batch, labels, expected, mode):
    close(losses(build(tiny_config, **mode), batch, labels), expected)


def test_sample_weights_multiply_losses(model, batch, labels):
    """Weights of 0 and 2 are the mean over all of twice the losses of the kept half."""
    weights = np.where(np.arange(len(labels)) % 2, 2.0, 0.0)
    kept = {name: values[1::2] for name, values in batch.items()}
    weighted = model.evaluate(batch, labels, sample_weight=weights, batch_size=len(labels), verbose=0)
    alone = model.evaluate(kept, labels[1::2], batch_size=len(labels), verbose=0)
    close(weighted, alone * 2 * len(labels[1::2]) / len(labels))


def test_class_weights_equal_sample_weights(shared_model, batch, labels, expected):
    model, weights = shared_model
    classes = {0: 0.5, 1: 3.0, 2: 1.0}
    rows = np.array([classes[int(label)] for label in labels])
    curves = []
    for option in ({"class_weight": classes}, {"sample_weight": rows}):
        model.set_weights(weights)
        curves.append(losses(model, batch, labels, **option))
    close(*curves)
    assert not np.allclose(curves[0], expected)


def test_ignored_labels_do_not_count(model, batch, labels):
    ignored = np.where(np.arange(len(labels)) < 6, -100, labels)
    kept = {name: values[6:] for name, values in batch.items()}
    expected = model.evaluate(kept, labels[6:], batch_size=len(labels), verbose=0)
    close(model.evaluate(batch, ignored, batch_size=len(labels), verbose=0), expected)


def test_predict_returns_named_arrays(model, batch, labels):
    expected = np.asarray(model(batch).logits)
    for x in (batch, {**batch, "labels": labels}, [batch["input_ids"], batch["attention_mask"]]):
        output = model.predict(x, batch_size=4, verbose=0)
        assert output.keys() == ("logits",)
        assert_close(output.logits, expected, quantity="logits", name="predicted logits")
    assert_close(model.predict_on_batch(batch)["logits"], expected, quantity="logits", name="on batch")


def test_on_batch_methods(model, batch, labels):
    model.reset_metrics()  # Keras 3.8 goes on with the means of earlier calls
    before = model.test_on_batch(batch, labels)
    close(model.train_on_batch(batch, labels), before)
    assert model.test_on_batch(batch, labels) < before


def test_no_labels_is_an_error(model, batch):
    with pytest.raises(InputError, match=r"no labels.*Give y, or labels inside a dict"):
        model.fit(batch, verbose=0)


@pytest.mark.parametrize(
    ("problem", "count", "targets"),
    [
        ("regression", 1, lambda rng, n: rng.standard_normal(n)),
        ("regression", 3, lambda rng, n: rng.standard_normal((n, 3))),
        ("multi_label_classification", 3, lambda rng, n: rng.integers(0, 2, (n, 3))),
        (None, 3, lambda rng, n: rng.dirichlet(np.ones(3), n)),
    ],
)
def test_other_problems_train(tiny_config, batch, labels, problem, count, targets):
    model = build(tiny_config.replace(num_labels=count, problem_type=problem))
    y = targets(np.random.default_rng(0), len(labels)).astype(np.float32)
    history = model.fit(batch, y, batch_size=len(y), epochs=15, verbose=0).history["loss"]
    close(history[0], float(build(model.config)(batch, labels=y).loss))
    assert history[-1] < history[0]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_is_finite(tiny_config, batch, labels, policy):
    keras.utils.set_random_seed(0)
    model = TFDebertaV2ForSequenceClassification(tiny_config, dtype=policy)
    assert model.deberta.encoder.layer[0].attention.self.query_proj.compute_dtype == policy.removeprefix("mixed_")
    model.compile(optimizer=keras.optimizers.SGD(0.05))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    history = model.fit(batch, labels, batch_size=len(labels), epochs=10, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0]


def test_functional_api(tiny_config, batch, labels):
    ids = keras.Input((None,), dtype="int32", name="ids")
    mask = keras.Input((None,), dtype="int32", name="mask")
    output = TFDebertaV2ForSequenceClassification(tiny_config)({"input_ids": ids, "attention_mask": mask})
    probabilities = keras.layers.Softmax()(output.logits)
    model = keras.Model([ids, mask], probabilities)
    assert model.output_shape == (None, tiny_config.num_labels)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")
    history = model.fit([batch["input_ids"], batch["attention_mask"]], labels, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
