"""Calling conventions, outputs and errors of the Keras models."""

from __future__ import annotations

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from conformance.suite.compare import assert_close
from deberta_core.errors import InputError
from deberta_core.positions import position_index
from deberta_core.tasks import BaseModelOutput, SequenceClassifierOutput
from deberta_tf import TFDebertaV2ForSequenceClassification, TFDebertaV2Model
from deberta_tf.attention import skew


@pytest.fixture(scope="module")
def classifier(config):
    keras.utils.set_random_seed(0)
    return TFDebertaV2ForSequenceClassification(config)


@pytest.fixture(scope="module")
def backbone(config):
    keras.utils.set_random_seed(0)
    return TFDebertaV2Model(config)


def test_every_calling_convention_gives_the_same(backbone, batch):
    ids, mask = batch["input_ids"], batch["attention_mask"]
    expected = np.asarray(backbone(batch).last_hidden_state)
    calls = {
        "keywords": lambda: backbone(input_ids=ids, attention_mask=mask),
        "list": lambda: backbone([ids, mask]),
        "tuple": lambda: backbone((ids, mask)),
        "tensor and keyword": lambda: backbone(tf.constant(ids), attention_mask=tf.constant(mask)),
        "nested lists in a dict": lambda: backbone({"input_ids": ids.tolist(), "attention_mask": mask.tolist()}),
        "nested lists as keywords": lambda: backbone(input_ids=ids.tolist(), attention_mask=mask.tolist()),
        "int32": lambda: backbone({name: values.astype(np.int32) for name, values in batch.items()}),
        "None left out": lambda: backbone([ids, mask, None]),
    }
    for name, call in calls.items():
        np.testing.assert_array_equal(np.asarray(call().last_hidden_state), expected, err_msg=name)


def test_outputs_are_named(classifier, config, batch, labels):
    plain = classifier(batch)
    assert isinstance(plain, SequenceClassifierOutput)
    assert plain.keys() == ("logits",)
    assert plain.loss is None
    assert plain.hidden_states is None
    assert "loss" not in plain
    output = classifier(batch, labels=labels, output_hidden_states=True, output_attentions=True)
    assert output.keys() == ("loss", "logits", "hidden_states", "attentions")
    loss, logits, hidden_states, attentions = output
    assert loss.shape == ()
    assert output["logits"] is logits
    assert output[1] is logits
    assert len(hidden_states) == config.num_hidden_layers + 1
    length = batch["input_ids"].shape[1]
    assert attentions[0].shape == (len(labels), config.num_attention_heads, length, length)
    assert isinstance(classifier(batch, return_dict=False), tuple)
    assert not isinstance(classifier(batch, return_dict=False), SequenceClassifierOutput)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(plain)))
    np.testing.assert_array_equal(np.asarray(copied.logits), np.asarray(plain.logits))


def test_backbone_output(backbone, batch, config):
    output = backbone(batch)
    assert isinstance(output, BaseModelOutput)
    assert output.last_hidden_state.shape == (*batch["input_ids"].shape, config.hidden_size)


def test_dropout_follows_training(classifier, batch):
    quiet = [np.asarray(classifier(batch, training=False).logits) for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    loud = [np.asarray(classifier(batch, training=True).logits) for _ in range(2)]
    assert np.abs(loud[0] - loud[1]).max() > 0


def test_variables_exist_from_construction(config):
    model = TFDebertaV2ForSequenceClassification(config)
    assert model.built
    assert model.count_params() == sum(np.prod(variable.shape) for variable in model.weights)
    word = model.deberta.embeddings.word_embeddings.embeddings.numpy()
    assert not word[config.pad_token_id].any()
    assert np.std(word[1:]) == pytest.approx(config.initializer_range, rel=0.1)
    layer = model.deberta.encoder.layer[1]
    assert not np.array_equal(
        layer.attention.self.query_proj.kernel.numpy(), layer.attention.self.key_proj.kernel.numpy()
    )
    assert np.std(layer.intermediate.dense.kernel.numpy()) == pytest.approx(config.initializer_range, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "neither of input_ids and inputs_embeds"),
        ({"input_ids": [[1, 10**6]]}, r"input_ids holds 1000000: it must be in \[0, 501\)"),
        ({"input_ids": [[1, -1]]}, "input_ids holds -1"),
        ({"input_ids": [1, 2]}, r"input_ids has shape \(2,\): it must be \[B, L\]"),
        ({"input_ids": [[1.5, 2.0]]}, "input_ids has dtype float"),
        ({"input_ids": [[1, 2]], "attention_mask": [[1, 1, 1]]}, r"attention_mask has shape \(1, 3\)"),
        ({"input_ids": [[1, 2]], "attention_mask": [[0.0, -1e9]]}, "attention_mask holds -1000000000.0"),
        ({"input_ids": [[1, 2]], "tokens": [[1]]}, "the inputs hold tokens, which the model does not take"),
        ({"input_ids": [[1, 2]], "labels": [7]}, r"labels holds 7: a class must be an integer in \[0, 3\)"),
        ({"input_ids": [[1, 2]], "labels": [1, 2]}, r"labels has shape \(2,\)"),
    ],
)
def test_bad_inputs(classifier, arguments, message):
    for call in (lambda: classifier(**arguments), lambda: classifier(dict(arguments))):
        with pytest.raises(InputError, match=message):
            call()


def test_inputs_given_twice_or_too_many(classifier):
    with pytest.raises(InputError, match="input_ids was given twice"):
        classifier([[[1, 2]]], input_ids=[[1, 2]])
    with pytest.raises(InputError, match="the list has 6 inputs"):
        classifier([[[1, 2]]] * 6)


def test_ids_out_of_range_in_a_graph_are_refused_by_tensorflow(classifier, batch):
    """`predict` compiles a graph, where our check cannot look at values."""
    wrong = {**batch, "input_ids": batch["input_ids"] + 10**6}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"not in \[0, 501\)"):
        classifier.predict(wrong, verbose=0)


@pytest.mark.parametrize(("rows", "length"), [(1, 1), (1, 5), (4, 1), (3, 6), (6, 3), (5, 5)])
def test_skew_reads_diagonals(rows, length):
    products = np.random.default_rng(0).standard_normal((2, 3, rows, rows + length)).astype(np.float32)
    columns = np.arange(length)[None, :] - np.arange(rows)[:, None] + rows - 1
    expected = np.take_along_axis(products, np.broadcast_to(columns, (2, 3, rows, length)), axis=-1)
    np.testing.assert_array_equal(np.asarray(skew(products, length)), expected)


@pytest.mark.parametrize("length", [1, 5, 9, 40])
@pytest.mark.parametrize(("buckets", "distances"), [(8, 64), (8, 6), (-1, 5), (4, 12)])
@pytest.mark.parametrize("traced", [False, True], ids=["eager", "any length"])
def test_only_the_reachable_rows_of_the_table_are_read(tiny_config, buckets, distances, length, traced):
    """And each is the row of its distance, also where there are more buckets than distances (8 for 6)."""
    config = tiny_config.replace(position_buckets=buckets, max_relative_positions=distances)
    encoder = TFDebertaV2Model(config).encoder
    read = tf.function(encoder.relative_positions, jit_compile=False) if traced else encoder.relative_positions
    size = tf.constant(length) if traced else length
    table, rows = read(size, size)
    assert len(table) <= min(2 * length + 1 + 2 * encoder.bucket_excess, config.table_rows)
    ahead = np.arange(1 - length, length)
    whole = np.asarray(encoder.LayerNorm(encoder.rel_embeddings.embeddings))
    expected = whole[position_index(-ahead, config.buckets, config.max_distance)]
    assert_close(np.asarray(table)[np.asarray(rows)[1:-1]], expected, quantity="hidden", name="rows")
    assert 0 <= np.min(rows) <= np.max(rows) < len(table)


def test_float16_scores_cannot_overflow(config):
    """Element size 40 and head size 64: HF's unscaled position products exceed float16's range there."""
    wide = config.replace(hidden_size=128, num_attention_heads=2)
    model = TFDebertaV2Model(wide, dtype="float16")
    attention = model.encoder.layer[0].attention.self
    states = np.random.default_rng(0).choice([-40.0, 40.0], (2, 1, 9, 64)).astype(np.float16)
    query, key = (tf.constant(states * side) for side in (attention.scale, 1.0))
    rows = model.encoder.relative_positions(9, 9)
    attention.position_key = lambda rows: tf.fill((tf.shape(rows)[0], 128), tf.constant(40.0, tf.float16))
    attention.position_query = attention.position_key
    assert np.isfinite(np.asarray(attention.position_bias(query, key, rows))).all()
