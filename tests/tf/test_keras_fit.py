"""`fit`, `evaluate`, `predict` and the on-batch methods, with every way to give inputs and labels, on real text."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from conformance.suite.compare import assert_close
from deberta_core.errors import InputError
from deberta_tf import TFDebertaV2ForSequenceClassification


@pytest.fixture
def make(config):
    """Builds a compiled model, always with the same weights, dropout off so that losses can be compared."""

    def build(**compiled):
        keras.utils.set_random_seed(0)
        quiet = config.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        model = TFDebertaV2ForSequenceClassification(quiet)
        model.compile(**{"optimizer": keras.optimizers.SGD(0.02)} | compiled)
        return model

    return build


def losses(model, *data, **options):
    return np.array(model.fit(*data, batch_size=5, epochs=3, shuffle=False, verbose=0, **options).history["loss"])


@pytest.fixture
def expected(make, batch, labels):
    """The losses of three epochs: dict x, y outside, the head's own loss."""
    return losses(make(), batch, labels)


def close(actual, expected):
    assert_close(np.asarray(actual), np.asarray(expected), quantity="loss", name="losses")


def test_training_learns(make, batch, labels):
    model = make(optimizer=keras.optimizers.Adam(3e-3))
    history = model.fit(batch, labels, batch_size=5, epochs=40, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]


FORMS = {
    "labels inside": lambda x, y: ({**x, "labels": y},),
    "list": lambda x, y: ([x["input_ids"], x["attention_mask"]], y),
    "y as a column": lambda x, y: (x, y[:, None]),
    "tf.data": lambda x, y: (tf.data.Dataset.from_tensor_slices((x, y)).batch(5),),
    "tf.data, labels inside": lambda x, y: (tf.data.Dataset.from_tensor_slices({**x, "labels": y}).batch(5),),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_data(make, batch, labels, expected, form):
    data = FORMS[form](batch, labels)
    options = {"batch_size": 5} if not isinstance(data[0], tf.data.Dataset) else {}
    history = make().fit(*data, epochs=3, verbose=0, **options, **({"shuffle": False} if options else {})).history
    close(history["loss"], expected)


def test_the_head_loss_is_what_a_compiled_loss_gives(make, batch, labels, expected):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    close(losses(make(loss=loss), batch, labels), expected)
    close(losses(make(loss=loss), {**batch, "labels": labels}), expected)


@pytest.mark.parametrize("mode", [{"run_eagerly": True}, {"jit_compile": True}])
def test_modes(make, batch, labels, expected, mode):
    close(losses(make(**mode), batch, labels), expected)


def test_metrics_see_the_logits(make, batch, labels):
    model = make(metrics=["accuracy"])
    model.fit(batch, labels, epochs=20, batch_size=5, verbose=0)
    _, accuracy = model.evaluate(batch, labels, verbose=0)
    predicted = model.predict(batch, verbose=0).logits.argmax(axis=-1)
    assert accuracy == pytest.approx((predicted == labels).mean())
    assert model.evaluate({**batch, "labels": labels}, verbose=0)[1] == pytest.approx(accuracy)


def test_validation_data(make, batch, labels):
    history = make().fit(batch, labels, validation_data=(batch, labels), epochs=2, verbose=0).history
    assert len(history["val_loss"]) == 2


def test_sample_weights_multiply_losses(make, batch, labels):
    """Weights of 0 and 2 are the mean over all of twice the losses of the kept half."""
    weights = np.where(np.arange(len(labels)) % 2, 2.0, 0.0)
    kept = {name: values[1::2] for name, values in batch.items()}
    model = make()
    weighted = model.evaluate(batch, labels, sample_weight=weights, batch_size=len(labels), verbose=0)
    alone = model.evaluate(kept, labels[1::2], batch_size=len(labels), verbose=0)
    close(weighted, alone * 2 * len(labels[1::2]) / len(labels))


def test_class_weights_equal_sample_weights(make, batch, labels, expected):
    classes = {0: 0.5, 1: 3.0, 2: 1.0}
    by_class = losses(make(), batch, labels, class_weight=classes)
    by_sample = losses(make(), batch, labels, sample_weight=np.array([classes[int(label)] for label in labels]))
    close(by_class, by_sample)
    assert not np.allclose(by_class, expected)


def test_ignored_labels_do_not_count(make, batch, labels):
    model = make()
    ignored = np.where(np.arange(len(labels)) < 6, -100, labels)
    kept = {name: values[6:] for name, values in batch.items()}
    expected = model.evaluate(kept, labels[6:], batch_size=len(labels), verbose=0)
    close(model.evaluate(batch, ignored, batch_size=len(labels), verbose=0), expected)


def test_predict_returns_named_arrays(make, batch, labels):
    model = make()
    expected = np.asarray(model(batch).logits)
    for x in (batch, {**batch, "labels": labels}, [batch["input_ids"], batch["attention_mask"]]):
        output = model.predict(x, batch_size=4, verbose=0)
        assert output.keys() == ("logits",)
        assert_close(output.logits, expected, quantity="logits", name="predicted logits")
    assert_close(model.predict_on_batch(batch)["logits"], expected, quantity="logits", name="on batch")


def test_on_batch_methods(make, batch, labels):
    model = make()
    before = model.test_on_batch(batch, labels)
    close(model.train_on_batch(batch, labels), before)
    assert model.test_on_batch(batch, labels) < before


def test_no_labels_is_an_error(make, batch):
    with pytest.raises(InputError, match=r"no labels.*Give y, or labels inside a dict"):
        make().fit(batch, verbose=0)


@pytest.mark.parametrize(
    ("problem", "count", "targets"),
    [
        ("regression", 1, lambda rng, n: rng.standard_normal(n)),
        ("regression", 3, lambda rng, n: rng.standard_normal((n, 3))),
        ("multi_label_classification", 3, lambda rng, n: rng.integers(0, 2, (n, 3))),
        (None, 3, lambda rng, n: rng.dirichlet(np.ones(3), n)),
    ],
)
def test_other_problems_train(config, batch, labels, problem, count, targets):
    keras.utils.set_random_seed(0)
    model = TFDebertaV2ForSequenceClassification(config.replace(num_labels=count, problem_type=problem))
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    y = targets(np.random.default_rng(0), len(labels)).astype(np.float32)
    history = model.fit(batch, y, epochs=15, verbose=0).history["loss"]
    assert history[-1] < history[0]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_and_is_finite(config, batch, labels, policy):
    keras.utils.set_random_seed(0)
    model = TFDebertaV2ForSequenceClassification(config, dtype=policy)
    assert model.deberta.encoder.layer[0].attention.self.query_proj.compute_dtype == policy.removeprefix("mixed_")
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    history = model.fit(batch, labels, epochs=10, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0]


def test_functional_api(config, batch, labels):
    ids = keras.Input((None,), dtype="int32", name="ids")
    mask = keras.Input((None,), dtype="int32", name="mask")
    output = TFDebertaV2ForSequenceClassification(config)({"input_ids": ids, "attention_mask": mask})
    probabilities = keras.layers.Softmax()(output.logits)
    model = keras.Model([ids, mask], probabilities)
    assert model.output_shape == (None, config.num_labels)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    history = model.fit([batch["input_ids"], batch["attention_mask"]], labels, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
