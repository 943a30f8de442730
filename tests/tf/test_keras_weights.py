"""Loading, saving and Keras' own serialisation."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from deberta_core.errors import ConfigError, DebertaWarning, WeightError
from deberta_core.parameters import expand
from deberta_tf import TFDebertaV2ForSequenceClassification, TFDebertaV2Model
from deberta_tf.weights import parameter_variables


@pytest.fixture(scope="module")
def model(config):
    keras.utils.set_random_seed(3)
    return TFDebertaV2ForSequenceClassification(config)


def test_variable_paths_are_the_tables(model, config):
    for instance, task in ((model, "sequence_classification"), (TFDebertaV2Model(config), None)):
        paths = {variable.path.split("/", 1)[1]: tuple(variable.shape) for variable in instance.weights}
        assert paths == {row.keras_path: row.keras_shape for row in expand(config, task).values()}


@pytest.mark.parametrize("format", ["safetensors", "h5"])
def test_round_trip_is_exact(model, batch, tmp_path, format):
    model.save_pretrained(tmp_path, format=format)
    again = TFDebertaV2ForSequenceClassification.from_pretrained(tmp_path)
    assert again.config.replace(extra={}) == model.config
    for (name, one), other in zip(parameter_variables(model).items(), parameter_variables(again).values(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=name)
    np.testing.assert_array_equal(np.asarray(again(batch).logits), np.asarray(model(batch).logits))


def test_bare_and_task_checkpoints_cross(model, batch, config, tmp_path):
    model.save_pretrained(tmp_path / "task")
    bare = TFDebertaV2Model.from_pretrained(tmp_path / "task")
    expected = model.deberta.encode(**batch).last_hidden_state
    np.testing.assert_array_equal(np.asarray(bare(batch).last_hidden_state), np.asarray(expected))
    bare.save_pretrained(tmp_path / "bare")
    with pytest.warns(DebertaWarning, match=r"classifier\.bias, classifier\.weight, pooler\.dense"):
        again, report = TFDebertaV2ForSequenceClassification.from_pretrained(
            tmp_path / "bare", output_loading_info=True
        )
    assert report.missing == ("classifier.bias", "classifier.weight", "pooler.dense.bias", "pooler.dense.weight")
    assert again.deberta.embeddings.word_embeddings.embeddings.numpy().std() > 0


def test_overrides_and_mismatched_sizes(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(WeightError, match=r"classifier\.bias \(file \(3,\), model \(5,\)\)"):
        TFDebertaV2ForSequenceClassification.from_pretrained(tmp_path, num_labels=5)
    with pytest.warns(DebertaWarning, match=r"classifier\.weight"):
        other = TFDebertaV2ForSequenceClassification.from_pretrained(
            tmp_path, num_labels=5, ignore_mismatched_sizes=True
        )
    assert other.classifier.kernel.shape == (model.config.hidden_size, 5)


def test_missing_files_are_named(tmp_path, config):
    with pytest.raises(ConfigError, match=r"config\.json does not exist"):
        TFDebertaV2Model.from_pretrained(tmp_path)
    config.save_pretrained(tmp_path)
    with pytest.raises(WeightError, match=r"holds no weight file\. Looked for: model\.safetensors, pytorch_model\.bin"):
        TFDebertaV2Model.from_pretrained(tmp_path)


def test_keras_file(model, batch, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert again.config == model.config
    np.testing.assert_array_equal(np.asarray(again(batch).logits), np.asarray(model(batch).logits))


def test_weights_file(model, batch, config, tmp_path):
    model.save_weights(tmp_path / "model.weights.h5")
    other = TFDebertaV2ForSequenceClassification(config)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(np.asarray(other(batch).logits), np.asarray(model(batch).logits))
