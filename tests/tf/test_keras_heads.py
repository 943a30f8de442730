"""Every head of both versions: training with `fit` on real text, saving, and the Auto classes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import deberta_tf
from conformance.suite.compare import assert_close
from deberta_core.errors import ConfigError, InputError
from deberta_tf.weights import parameter_variables

CHOICES = 3


@pytest.fixture
def family(tiny_config):
    """Configuration and class prefix of v2; the gradients of v1 are compared in the conformance suite."""
    return tiny_config, "TFDebertaV2"


def build(family, suffix, **changes):
    keras.utils.set_random_seed(0)
    config, prefix = family
    model = getattr(deberta_tf, prefix + suffix)(config.replace(**changes))
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    return model


@pytest.fixture
def token_labels(batch):
    """The tokens themselves as labels, -100 at padding."""
    return np.where(batch["attention_mask"] == 1, batch["input_ids"], -100)


def test_v1_learns(tiny_v1_config, batch, labels):
    learns(build((tiny_v1_config, "TFDeberta"), "ForSequenceClassification"), batch, labels)


def learns(model, *data, **options):
    history = model.fit(*data, batch_size=15, epochs=6, verbose=0, **options).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0]
    return history


@pytest.mark.parametrize("legacy", [True, False])
def test_masked_lm(family, batch, token_labels, legacy):
    model = build(family, "ForMaskedLM", legacy=legacy)
    decoder = np.asarray(model.deberta.embeddings.word_embeddings.embeddings).copy()
    learns(model, batch, token_labels)
    assert model.predict(batch, verbose=0).logits.shape == (*token_labels.shape, model.config.vocab_size)
    # Tied: the word embeddings are the decoder, so rows of tokens that never occur as input were trained as well.
    unseen = np.setdiff1d(np.arange(len(decoder)), batch["input_ids"])
    trained = np.asarray(model.deberta.embeddings.word_embeddings.embeddings)
    assert (trained[unseen] != decoder[unseen]).any(axis=1).all()


def test_token_classification(family, batch, token_labels):
    labels = np.where(token_labels < 0, -100, token_labels % 5)
    inside, outside = (build(family, "ForTokenClassification", num_labels=5) for _ in range(2))
    history = learns(outside, batch, labels, shuffle=False)
    again = learns(inside, {**batch, "labels": labels}, shuffle=False)
    assert_close(np.array(again), np.array(history), quantity="loss", name="labels inside x")


def test_question_answering_takes_two_label_arrays(family, batch):
    starts, ends = np.arange(len(batch["input_ids"])) % 4, np.arange(len(batch["input_ids"])) % 4 + 2
    forms = (
        (batch, (starts, ends)),
        (batch, {"start_positions": starts, "end_positions": ends}),
        ({**batch, "start_positions": starts, "end_positions": ends},),
    )
    histories = []
    for number, data in enumerate(forms):
        model = build(family, "ForQuestionAnswering")
        model.run_eagerly = number > 0  # tracing one of them is enough
        histories.append(learns(model, *data, shuffle=False))
    for other in histories[1:]:
        assert_close(np.array(other), np.array(histories[0]), quantity="loss", name="losses")


def test_question_answering_with_a_compiled_loss(family, batch):
    model = build(family, "ForQuestionAnswering")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=[loss, loss])
    rows = np.arange(len(batch["input_ids"])) % 4
    learns(model, batch, (rows, rows + 1))


def test_multiple_choice(family, batch):
    inputs = {name: values.reshape(-1, CHOICES, values.shape[-1]) for name, values in batch.items()}
    labels = np.arange(len(inputs["input_ids"])) % CHOICES
    model = build(family, "ForMultipleChoice")
    learns(model, inputs, labels)
    assert model.predict(inputs, verbose=0).logits.shape == (len(labels), CHOICES)


def test_class_weights_per_token(family, batch, token_labels):
    """Keras would take the length for a number of classes; ignored labels stay ignored."""
    labels = np.where(token_labels < 0, -100, token_labels % 3)
    classes = {0: 0.5, 2: 4.0}
    weights = np.where(labels == 0, 0.5, np.where(labels == 2, 4.0, 1.0))
    model = build(family, "ForTokenClassification")
    model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    first, options = model.get_weights(), {"batch_size": 15, "verbose": 0}
    pairs = tf.data.Dataset.from_tensor_slices((batch, labels)).batch(15)
    runs = {
        "sample_weight": lambda: model.fit(batch, labels, sample_weight=weights, **options).history["loss"],
        "class_weight": lambda: model.fit(batch, labels, class_weight=classes, **options).history["loss"],
        "tf.data": lambda: model.fit(pairs, class_weight=classes, verbose=0).history["loss"],
        "on batch": lambda: [model.train_on_batch(batch, labels, class_weight=classes)],
    }
    found = {}
    for name, run in runs.items():
        model.set_weights(first)
        found[name] = np.array(run())
        assert_close(found[name], found["sample_weight"], quantity="loss", name=name)
    assert not np.allclose(found["class_weight"], model.test_on_batch(batch, labels))
    with pytest.raises(InputError, match="class_weight and sample_weight were both given"):
        model.fit(batch, labels, sample_weight=weights, class_weight=classes)
    with pytest.raises(InputError, match="class_weight was given without y"):
        model.fit({**batch, "labels": labels}, class_weight=classes)


@pytest.mark.parametrize(
    ("suffix", "changes", "what"),
    [
        ("ForQuestionAnswering", {}, "question_answering"),
        ("ForSequenceClassification", {"num_labels": 1}, "regression"),
        ("ForSequenceClassification", {"problem_type": "multi_label_classification"}, "multi_label_classification"),
    ],
)
def test_class_weights_need_classes(family, batch, suffix, changes, what):
    model = build(family, suffix, **changes)
    for train in (model.fit, model.train_on_batch):
        with pytest.raises(InputError, match=f"class_weight was given for {what}, whose labels are no classes"):
            train(batch, np.zeros(len(batch["input_ids"])), class_weight={0: 2.0})


@pytest.mark.parametrize(("version", "format"), [("v1", "h5"), ("v2", "safetensors")])
@pytest.mark.parametrize(
    "suffix",
    [
        "Model",
        "ForMaskedLM",
        "ForSequenceClassification",
        "ForTokenClassification",
        "ForQuestionAnswering",
        "ForMultipleChoice",
    ],
)
def test_saving_and_auto_classes(tiny_config, tiny_v1_config, tmp_path, suffix, version, format):
    chosen, prefix = (tiny_v1_config, "TFDeberta") if version == "v1" else (tiny_config, "TFDebertaV2")
    model = getattr(deberta_tf, prefix + suffix)(chosen)
    model.save_pretrained(tmp_path, format=format)
    again = getattr(deberta_tf, f"TFAutoModel{suffix.removeprefix('Model')}").from_pretrained(tmp_path)
    assert type(again) is type(model)
    for (name, one), other in zip(parameter_variables(model).items(), parameter_variables(again).values(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=name)


def test_labels_at_padding_are_refused(family, batch):
    model = build(family, "ForTokenClassification")
    mask = batch["attention_mask"].copy()
    mask[0, -3:] = 0
    with pytest.raises(InputError, match="labels holds 0 at a padding position"):
        model({**batch, "attention_mask": mask, "labels": np.zeros_like(mask)})


def test_choices_need_their_axis(family, batch):
    model = build(family, "ForMultipleChoice")
    with pytest.raises(InputError, match=r"multiple choice takes \[B, N, L\]"):
        model(batch)


def test_the_configuration_of_another_version_is_refused(config, v1_config):
    for model, wrong in ((deberta_tf.TFDebertaModel, config), (deberta_tf.TFDebertaV2ForMaskedLM, v1_config)):
        with pytest.raises(ConfigError, match=rf"{model.__name__} takes a .*, not a {type(wrong).__name__}"):
            model(wrong)
