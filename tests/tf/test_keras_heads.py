"""Every head of both versions: training with `fit` on real text, saving, and the Auto classes."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import deberta_tf
from conformance.suite.compare import assert_close
from deberta_core.errors import ConfigError, InputError
from deberta_tf.weights import parameter_variables

QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
CHOICES = 3


@pytest.fixture
def family(config):
    """Configuration and class prefix of v2; the gradients of v1 are compared in the conformance suite."""
    return config.replace(**QUIET), "TFDebertaV2"


def build(family, suffix, **changes):
    keras.utils.set_random_seed(0)
    config, prefix = family
    model = getattr(deberta_tf, prefix + suffix)(config.replace(**changes))
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    return model


@pytest.fixture
def token_labels(batch):
    """The tokens themselves as labels, -100 at padding."""
    return np.where(batch["attention_mask"] == 1, batch["input_ids"], -100)


def test_v1_learns(v1_config, batch, labels):
    keras.utils.set_random_seed(0)
    model = deberta_tf.TFDebertaForSequenceClassification(v1_config.replace(**QUIET))
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    learns(model, batch, labels)


def learns(model, *data, **options):
    history = model.fit(*data, epochs=6, verbose=0, **options).history["loss"]
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
    histories = [
        learns(build(family, "ForQuestionAnswering"), *data, shuffle=False)
        for data in (
            (batch, (starts, ends)),
            (batch, {"start_positions": starts, "end_positions": ends}),
            ({**batch, "start_positions": starts, "end_positions": ends},),
        )
    ]
    for other in histories[1:]:
        assert_close(np.array(other), np.array(histories[0]), quantity="loss", name="losses")


def test_question_answering_with_a_compiled_loss(family, batch):
    model = build(family, "ForQuestionAnswering")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=[loss, loss])
    rows = np.arange(len(batch["input_ids"])) % 4
    learns(model, batch, (rows, rows + 1))


def test_multiple_choice(family, batch):
    inputs = {name: values.reshape(-1, CHOICES, values.shape[-1]) for name, values in batch.items()}
    labels = np.arange(len(inputs["input_ids"])) % CHOICES
    model = build(family, "ForMultipleChoice")
    learns(model, inputs, labels)
    assert model.predict(inputs, verbose=0).logits.shape == (len(labels), CHOICES)


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
def test_saving_and_auto_classes(config, v1_config, tmp_path, suffix, version, format):
    chosen, prefix = (v1_config, "TFDeberta") if version == "v1" else (config, "TFDebertaV2")
    model = getattr(deberta_tf, prefix + suffix)(chosen)
    model.save_pretrained(tmp_path, format=format)
    again = getattr(deberta_tf, f"TFAutoModel{suffix.removeprefix('Model')}").from_pretrained(tmp_path)
    assert type(again) is type(model)
    for (name, one), other in zip(parameter_variables(model).items(), parameter_variables(again).values(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=name)
    again.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.config == again.config


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
