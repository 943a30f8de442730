"""Pruned heads, resized and trimmed vocabularies, in Keras: each gives a new model."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import deberta_tf
from conformance.suite.cases import CASES, random_inputs, random_params, task_inputs
from conformance.suite.compare import assert_close
from deberta_core import ConfigError, InputError
from deberta_core.parameters import expand
from deberta_core.tokenization import DebertaV2Tokenizer
from deberta_tf import TFAutoModel, TFDebertaV2ForMaskedLM, TFDebertaV2ForSequenceClassification, TFDebertaV2Model
from deberta_tf.weights import parameter_variables

HEADS = {0: [1], 2: [3, 0]}
MODELS = ["v1_like", "v1_c2p", "v3_like", "v2_unshared", "v2_p2c", "v2_conv"]
TASK_CLASSES = {None: "Model", "masked_lm": "ForMaskedLM", "sequence_classification": "ForSequenceClassification"}


def fill(model, seed=0):
    table = expand(model.config, model.task)
    variables = parameter_variables(model)
    for name, values in random_params(model.config, model.task, seed).items():
        variables[name].assign(table[name].kind.convert(values))
    return model


def model_of(name, task=None, **changes):
    config = CASES[name].config.replace(**changes)
    version = type(config).__name__.removesuffix("Config")
    return fill(getattr(deberta_tf, f"TF{version}{TASK_CLASSES[task]}")(config))


def values_of(model):
    return {name: ops.convert_to_numpy(variable) for name, variable in parameter_variables(model).items()}


def fits_the_table(model):
    shapes = {name: tuple(variable.shape) for name, variable in parameter_variables(model).items()}
    assert shapes == {name: row.keras_shape for name, row in expand(model.config, model.task).items()}


# Pruned heads


@pytest.mark.parametrize("name", MODELS)
def test_other_heads_compute_what_they_did(name):
    model = model_of(name)
    size = model.config.head_size
    inputs = random_inputs(model.config, 11)
    pruned = model.prune_heads(HEADS)
    assert model.config.pruned_heads == {}
    variables = parameter_variables(model)
    for layer, heads in HEADS.items():
        rows = variables[f"encoder.layer.{layer}.attention.output.dense.weight"]
        values = np.array(rows)
        for head in heads:
            values[head * size : (head + 1) * size] = 0
        rows.assign(values)
    expected, actual = (part(inputs, output_attentions=True) for part in (model, pruned))
    real = inputs["attention_mask"].astype(bool)
    made, whole = (np.asarray(part.last_hidden_state)[real] for part in (actual, expected))
    assert_close(made, whole, quantity="hidden", name=name)
    for layer, (made, whole) in enumerate(zip(actual.attentions, expected.attentions, strict=True)):
        kept = np.asarray(whole)[:, list(pruned.config.kept_heads(layer))]
        assert_close(np.asarray(made), kept, quantity="attentions", name=f"{name} {layer}")
    fits_the_table(pruned)


def test_pruning_twice_is_pruning_once():
    model = model_of("v1_like", "masked_lm")
    once = model.prune_heads({0: [0, 2], 1: [3]})
    twice = model.prune_heads({0: [2]}).prune_heads({0: [0, 2], 1: [3]})
    assert once.config == twice.config
    assert once.config.pruned_heads == {0: (0, 2), 1: (3,)}
    again = values_of(twice)
    for name, values in values_of(once).items():
        np.testing.assert_array_equal(again[name], values)


@pytest.fixture(scope="module")
def pruned():
    """A pruned classifier; tests must not change it."""
    return model_of("v2_unshared", "sequence_classification").prune_heads(HEADS)


@pytest.mark.parametrize("format", ["safetensors", "h5"])
def test_pruned_models_are_saved_and_read(pruned, format, tmp_path):
    pruned.save_pretrained(tmp_path, format=format)
    assert json.loads((tmp_path / "config.json").read_text())["pruned_heads"] == {"0": [1], "2": [0, 3]}
    inputs = random_inputs(pruned.config, 9)
    read = TFDebertaV2ForSequenceClassification.from_pretrained(tmp_path)
    np.testing.assert_array_equal(read(inputs).logits, pruned(inputs).logits)
    bare = TFAutoModel.from_pretrained(tmp_path)
    assert bare.config.heads_in(2) == 2
    fits_the_table(bare)


def test_pruned_models_are_saved_by_keras(pruned, tmp_path):
    pruned.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    inputs = random_inputs(pruned.config, 9)
    assert read.config == pruned.config
    np.testing.assert_array_equal(read(inputs).logits, pruned(inputs).logits)


def test_pruned_models_train():
    model = model_of("v2_unshared", "sequence_classification", num_hidden_layers=1).prune_heads({0: [1]})
    before = values_of(model)
    config = model.config.replace(num_labels=2)
    inputs = task_inputs(config, "sequence_classification", "inferred_single", 9)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    model.train_on_batch(inputs)
    after = values_of(model)
    trained = [name for name in before if ".attention." in name and name.endswith("weight")]
    assert trained
    assert not [name for name in trained if np.array_equal(before[name], after[name])]


def test_name_policy_and_frozen_variables_stay():
    model = TFDebertaV2ForMaskedLM(CASES["v3_like"].config, name="reader", dtype="mixed_bfloat16")
    model.deberta.embeddings.trainable = False
    for changed in (model.prune_heads(HEADS), model.resize_token_embeddings(120), model.trim_vocabulary([1, 0])):
        assert (changed.name, changed.dtype_policy.name) == ("reader", "mixed_bfloat16")
        frozen = {name for name, variable in parameter_variables(changed).items() if not variable.trainable}
        assert frozen == {name for name in parameter_variables(model) if name.startswith("deberta.embeddings.")}
        assert len(changed.trainable_weights) == len(model.trainable_weights)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.prune_heads({0: [1]}),
        lambda model: model.resize_token_embeddings(200),
        lambda model: model.trim_vocabulary([0, 1]),
    ],
)
def test_an_inner_backbone_is_not_changed_alone(pruned, change):
    with pytest.raises(InputError, match="part of a task model, which must change with it"):
        change(pruned.deberta)


def test_refusals_reach_the_caller(pruned):
    with pytest.raises(ConfigError, match="at least one head"):
        pruned.prune_heads({2: [1, 2]})
    with pytest.raises(InputError, match="keep_ids lacks 0, the pad_token_id"):
        pruned.trim_vocabulary([1])


# Vocabulary


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("name", ["v1_like", "v2_embedding_ne_hidden"])
def test_a_resized_vocabulary_keeps_old_logits(name, legacy):
    model = model_of(name, "masked_lm", legacy=legacy)
    inputs = random_inputs(model.config, 9)
    larger = model.resize_token_embeddings(100, pad_to_multiple_of=64, mean_resizing=False)
    before, after = (np.asarray(part(inputs).logits) for part in (model, larger))
    assert after.shape[-1] == larger.config.vocab_size == 128
    assert_close(after[..., :97], before, quantity="logits", name=name)
    rows = np.asarray(larger.get_input_embeddings().embeddings)[97:]
    assert 0.8 < rows.std() / model.config.initializer_range < 1.2
    bias = "cls.predictions.bias" if legacy else "lm_predictions.lm_head.bias"
    assert not values_of(larger)[bias][97:].any()
    fits_the_table(larger)
    back = larger.resize_token_embeddings(97)
    assert back.config == model.config
    original = values_of(model)
    for key, values in values_of(back).items():
        np.testing.assert_array_equal(values, original[key])


def test_new_tokens_are_trained():
    model = model_of("v2_padding_id", "masked_lm").resize_token_embeddings(99)
    before = np.asarray(model.get_input_embeddings().embeddings)
    model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    model.train_on_batch({"input_ids": np.array([[97, 98, 5]]), "labels": np.array([[98, -100, -100]])})
    changed = (np.asarray(model.get_input_embeddings().embeddings) != before).any(axis=1)
    assert changed[97:].all()


def test_the_padding_row_moves_with_its_token():
    model = model_of("v2_padding_id").trim_vocabulary([5, 7, 9])
    assert model.config.pad_token_id == 1
    with tf.GradientTape() as tape:
        loss = ops.sum(model(np.array([[0, 1]])).last_hidden_state)
    table = model.get_input_embeddings().embeddings.value
    gradient = tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
    assert gradient.any(axis=1).tolist() == [True, False, False]


@pytest.fixture(scope="module")
def published(shared):
    return DebertaV2Tokenizer.from_pretrained(shared / "data" / "deberta_v3_tokenizer")


def test_a_trimmed_model_reads_real_texts_as_before(published, prose):
    """The vocabulary of v3: 128100 embeddings become those of a few hundred tokens."""
    texts = prose[:3]  # the logits over the whole vocabulary are large
    model = TFDebertaV2ForMaskedLM(CASES["v3_like"].config.replace(vocab_size=128100))
    parameter_variables(model)["cls.predictions.bias"].assign(np.random.default_rng(0).standard_normal(128100))
    tokenizer, keep_ids = published.trim(texts)
    trimmed = model.trim_vocabulary(keep_ids)
    inputs = dict(tokenizer(texts, padding=True, return_tensors="np"))
    expected = np.asarray(model(dict(published(texts, padding=True, return_tensors="np"))).logits)[..., keep_ids]
    actual = np.asarray(trimmed(inputs).logits)
    real = inputs["attention_mask"].astype(bool)
    assert trimmed.config.vocab_size == len(tokenizer) == len(keep_ids) < 500
    assert_close(actual[real], expected[real], quantity="logits", name="trimmed")
    labels = np.where(real, inputs["input_ids"], -100)
    assert np.isfinite(float(trimmed({**inputs, "labels": labels}).loss))
    fits_the_table(trimmed)


# Embeddings and counts


def test_embeddings_of_a_model(pruned):
    lm = model_of("v3_like", "masked_lm")
    assert lm.get_input_embeddings() is lm.get_output_embeddings() is lm.deberta.embeddings.word_embeddings
    assert pruned.get_output_embeddings() is None
    assert lm.deberta.get_output_embeddings() is None


def test_numbers_of_parameters():
    model = TFDebertaV2Model(CASES["v2_absolute_types"].config)
    config = model.config
    total = sum(row.size for row in expand(config, None).values())
    tables = (config.vocab_size + config.max_position_embeddings + config.type_vocab_size + config.table_rows) * 32
    assert model.num_parameters() == model.count_params() == total
    assert model.num_parameters(exclude_embeddings=True) == total - tables
    assert model.prune_heads({0: [1]}).num_parameters() == total - 4 * 8 * 32 - 3 * 8
    model.encoder.trainable = False
    frozen = sum(row.size for name, row in expand(config, None).items() if name.startswith("encoder."))
    assert model.num_parameters(only_trainable=True) == total - frozen
