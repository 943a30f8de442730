"""Keras models as code written for transformers uses them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from deberta_core import ConfigError, InputError
from deberta_tf import (
    DebertaV2Config,
    TFAutoModelForSequenceClassification,
    TFDebertaV2ForMaskedLM,
    TFDebertaV2ForQuestionAnswering,
    TFDebertaV2ForSequenceClassification,
    TFDebertaV2ForTokenClassification,
    TFDebertaV2Model,
)

SIZES = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
CONFIG = DebertaV2Config(**SIZES, pos_att_type=("c2p",), num_labels=3)
IDS = np.array([[1, 5, 6, 2], [1, 5, 2, 0]])
MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])


@pytest.mark.parametrize("cls", [TFDebertaV2Model, TFDebertaV2ForTokenClassification, TFDebertaV2ForQuestionAnswering])
def test_a_call_returns_what_the_configuration_says(cls, tmp_path):
    model = cls(CONFIG.replace(output_hidden_states=True, output_attentions=True, return_dict=False))
    given = model(IDS)
    assert type(given) is tuple
    assert (len(given[-2]), len(given[-1])) == (3, 2)
    told = model(IDS, output_hidden_states=False, output_attentions=False, return_dict=True)
    assert told.hidden_states is told.attentions is None
    np.testing.assert_array_equal(told[0], given[0])
    model.save_pretrained(tmp_path)
    named = cls.from_pretrained(tmp_path, return_dict=True, output_attentions=False)(IDS)
    assert (len(named.hidden_states), named.attentions) == (3, None)


@pytest.mark.parametrize("cls", [TFDebertaV2ForSequenceClassification, TFDebertaV2ForQuestionAnswering])
def test_plain_tuples_train_as_named_ones(cls):
    labels = np.array([0, 1]) if cls is TFDebertaV2ForSequenceClassification else [np.array([0, 1]), np.array([1, 2])]
    losses = []
    for changes in ({}, {"return_dict": False, "output_hidden_states": True}):
        keras.utils.set_random_seed(0)
        model = cls(CONFIG.replace(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **changes))
        model.compile(keras.optimizers.SGD(0.1))
        losses.append(model.fit({"input_ids": IDS}, labels, verbose=0).history["loss"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize("mask", [MASK, np.repeat(MASK[:, None], 4, axis=1), np.repeat(MASK[:, None, None], 4, axis=2)])
@pytest.mark.parametrize("cls", [TFDebertaV2ForTokenClassification, TFDebertaV2ForMaskedLM])
def test_labels_at_padding(cls, mask):
    model = cls(CONFIG)
    labels = np.array([[0, 1, 2, 0], [0, 1, 2, 2]])
    right = np.where(MASK == 1, labels, -100)
    with pytest.raises(InputError, match=r'at a padding position.*labels_at_padding="ignore"'):
        model(IDS, attention_mask=mask, labels=labels)
    ignoring = model(IDS, attention_mask=mask, labels=labels, labels_at_padding="ignore")
    assert float(ignoring.loss) == float(model(IDS, attention_mask=mask, labels=right).loss)
    with pytest.raises(InputError, match=r"labels_at_padding='x' is unknown"):
        model(IDS, labels=right, labels_at_padding="x")


@pytest.mark.parametrize("cls", [TFDebertaV2ForTokenClassification, TFDebertaV2ForMaskedLM])
def test_fit_leaves_labels_at_padding_out(cls):
    model, labels = cls(CONFIG), np.array([[0, 1, 2, 0], [0, 1, 2, 2]])
    model.compile()
    x = {"input_ids": IDS, "attention_mask": MASK}
    right = model.evaluate(x, np.where(MASK == 1, labels, -100), verbose=0)
    assert model.evaluate(x, labels, verbose=0) == right
    rows = tf.data.Dataset.from_tensor_slices((x, labels)).batch(2)
    assert model.evaluate(rows, verbose=0) == right


@pytest.mark.parametrize("cls", [TFDebertaV2ForSequenceClassification, TFAutoModelForSequenceClassification])
def test_transformers_arguments_of_loading(cls, tmp_path):
    TFDebertaV2ForSequenceClassification(CONFIG).save_pretrained(tmp_path / "inner")
    options = {"trust_remote_code": True, "use_safetensors": True, "use_auth_token": None, "from_pt": True}
    model = cls.from_pretrained(
        pretrained_model_name_or_path=tmp_path, subfolder="inner", output_attentions=True, **options
    )
    assert len(model(IDS).attentions) == 2
    assert model.config.name_or_path == str(tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'from_pt'"):
        cls.from_pretrained(tmp_path / "inner", from_p=True)


def test_transformers_arguments_of_saving(tmp_path):
    model = TFDebertaV2Model(CONFIG)
    model.save_pretrained(save_directory=tmp_path, saved_model=False, safe_serialization=True, push_to_hub=False)
    assert (tmp_path / "model.safetensors").is_file()
    with pytest.raises(InputError, match=r"saved_model' is not taken\. Call model\.export"):
        model.save_pretrained(tmp_path, saved_model=True)


def test_new_words_near_the_mean():
    keras.utils.set_random_seed(0)
    model = TFDebertaV2ForMaskedLM(CONFIG)
    words = model.get_input_embeddings().embeddings
    words.assign(np.random.default_rng(0).normal(3.0, 1.0, words.shape))
    old = keras.ops.convert_to_numpy(words)
    new = keras.ops.convert_to_numpy(model.resize_token_embeddings(45).get_input_embeddings().embeddings)
    np.testing.assert_array_equal(new[:40], old)
    assert np.abs(new[40:] - old.mean(0)).max() < 1e-3  # 1e-9 of the covariance
    assert len(np.unique(new[40:], axis=0)) == 5
    fresh = model.resize_token_embeddings(1040, mean_resizing=False).get_input_embeddings().embeddings
    fresh = keras.ops.convert_to_numpy(fresh)[40:]
    assert abs(fresh.mean()) < 1e-3
    assert 0.019 < fresh.std() < 0.021  # initializer_range
