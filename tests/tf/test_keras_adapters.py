"""LoRA and quantization: what is trained, and that no way of saving loses it."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

import deberta_tf
from conformance.suite.compare import assert_close
from deberta_core.errors import InputError, WeightError
from deberta_tf import TFDebertaForSequenceClassification, TFDebertaV2ForMaskedLM, TFDebertaV2ForSequenceClassification
from deberta_tf.lora import KERAS_HAS_ALPHA
from deberta_tf.quantization import KERAS_CHOOSES_LAYERS

# Keras 3.10 brought `lora_alpha`, Keras 3.13 `quantize` with a choice of layers.
ALPHA = {"lora_alpha": 6} if KERAS_HAS_ALPHA else {}
SCALE = 3 if KERAS_HAS_ALPHA else 1  # of adapters of rank 2
quantizes = pytest.mark.skipif(not KERAS_CHOOSES_LAYERS, reason="quantize needs Keras 3.13 or newer")


@pytest.fixture(params=["v1", "v2"])
def model(request, tiny_config, tiny_v1_config):
    keras.utils.set_random_seed(0)
    if request.param == "v1":
        return TFDebertaForSequenceClassification(tiny_v1_config)
    return TFDebertaV2ForSequenceClassification(tiny_config)


def logits(model, batch):
    return np.asarray(model(batch).logits)


def close(actual, expected):
    assert_close(np.asarray(actual), np.asarray(expected), quantity="logits", name="logits")


def trained(model, batch, labels, *options, **named):
    """With adapters far from their beginnings, where they add nothing."""
    model.enable_lora(2, *options, **named)
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
    for _ in range(3):
        model.train_on_batch(batch, labels)
    return model


def test_adapters_and_head_are_what_is_trained(model, batch, labels):
    frozen = {variable.path: variable.numpy() for variable in model.deberta.weights}
    before = logits(model, batch)
    close(model.predict(batch, verbose=0).logits, before)  # traced without adapters
    trained(model, batch, labels, **ALPHA)
    layers = model.config.num_hidden_layers * (1 if "V2" not in type(model).__name__ else 2)
    assert len(model.trainable_weights) == 2 * layers + 4
    for variable in model.deberta.weights:
        if variable.path in frozen:
            np.testing.assert_array_equal(variable.numpy(), frozen[variable.path])
    after = logits(model, batch)
    assert np.abs(after - before).max() > 0.01
    close(model.predict(batch, verbose=0).logits, after)


def test_no_file_loses_an_adapter(model, batch, labels, tmp_path):
    model.save_pretrained(tmp_path / "base")
    after = logits(trained(model, batch, labels), batch)
    model.save_pretrained(tmp_path / "merged")
    close(logits(type(model).from_pretrained(tmp_path / "merged"), batch), after)
    model.save(tmp_path / "model.keras")
    close(logits(keras.models.load_model(tmp_path / "model.keras"), batch), after)
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = type(model)(model.config)
    fresh.load_weights(tmp_path / "model.weights.h5")
    close(logits(fresh, batch), after)
    close(logits(model.resize_token_embeddings(model.config.vocab_size + 3), batch), after)

    model.save_lora_weights(tmp_path / "adapter")
    again = type(model).from_pretrained(tmp_path / "base")
    again.load_lora_weights(tmp_path / "adapter")
    close(logits(again, batch), after)
    again.compile("sgd")
    again.train_on_batch(batch, labels)


def test_an_adapter_that_a_user_gave_a_layer_is_saved(tiny_config, batch, tmp_path):
    """It was lost without a word."""
    model = TFDebertaV2ForSequenceClassification(tiny_config)
    layer = model.deberta.encoder.layer[0].attention.self.query_proj
    layer.enable_lora(2, **ALPHA)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    model.save_pretrained(tmp_path)
    close(logits(TFDebertaV2ForSequenceClassification.from_pretrained(tmp_path), batch), logits(model, batch))


def test_an_adapter_is_that_of_peft(tiny_config, batch, labels, tmp_path):
    """Names and layout are PEFT's, for PyTorch's linear layers."""
    from safetensors.numpy import load_file

    model = TFDebertaV2ForSequenceClassification(tiny_config)
    base = dict(deberta_tf.weights.merged_arrays(model))
    trained(model, batch, labels, ["query_proj", "word_embeddings"], **ALPHA)
    model.save_lora_weights(tmp_path)
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"]) == ("LORA", 2, 2 * SCALE)
    assert settings["modules_to_save"] == ["classifier", "pooler"]
    stored = load_file(tmp_path / "adapter_model.safetensors")
    merged = deberta_tf.weights.merged_arrays(model)
    name = "deberta.encoder.layer.0.attention.self.query_proj"
    one, other = (stored[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
    close(merged[f"{name}.weight"], base[f"{name}.weight"] + SCALE * other @ one)
    name = "deberta.embeddings.word_embeddings"
    one, other = (stored[f"base_model.model.{name}.lora_embedding_{part}"] for part in "AB")
    close(merged[f"{name}.weight"], base[f"{name}.weight"] + SCALE * (other @ one).T)
    np.testing.assert_array_equal(stored["base_model.model.classifier.weight"], merged["classifier.weight"])


def test_wrong_adapters(tiny_config, batch, labels, tmp_path):
    model = TFDebertaV2ForSequenceClassification(tiny_config)
    with pytest.raises(InputError, match=r"the model has no adapters\. Call enable_lora"):
        model.save_lora_weights(tmp_path)
    with pytest.raises(InputError, match="rank=0 is no positive integer"):
        model.enable_lora(0)
    with pytest.raises(InputError, match=r"target_modules='in_proj' is unknown. Use one of: dense, key_proj"):
        model.enable_lora(2, ["in_proj"])
    with pytest.raises(WeightError, match="A folder of save_lora_weights, or of PEFT, has both files"):
        model.load_lora_weights(tmp_path)
    trained(model, batch, labels).save_lora_weights(tmp_path)
    with pytest.raises(InputError, match=r"the model is compiled already\. Call enable_lora once, before compile"):
        model.enable_lora(2)
    deeper = TFDebertaV2ForSequenceClassification(tiny_config.replace(num_hidden_layers=2))
    with pytest.raises(WeightError, match=r"other adapters than its configuration makes.*layer\.1\.attention"):
        deeper.load_lora_weights(tmp_path)


@quantizes
@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_quantized_model_is_saved(model, batch, tmp_path, mode):
    before = logits(model, batch)
    model.quantize(mode)
    after = logits(model, batch)
    assert 0 < np.abs(after - before).max() < {"int8": 0.05, "int4": 1}[mode] * np.abs(before).max()
    model.save(tmp_path / "model.keras")
    close(logits(keras.models.load_model(tmp_path / "model.keras"), batch), after)
    with pytest.raises(WeightError, match="the model is quantized, and checkpoints hold floats alone"):
        model.save_pretrained(tmp_path / "folder")


@quantizes
def test_parts_may_be_quantized_and_adapted(tiny_config, batch, labels, tmp_path):
    model = TFDebertaV2ForSequenceClassification(tiny_config)
    model.quantize("int8", filters="query")
    assert list(model.quantized_layers()) == ["deberta/encoder/layer_0/attention/self/query_proj"]
    after = logits(trained(model, batch, labels), batch)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.quantized_layers() == model.quantized_layers()
    assert np.abs(logits(loaded, batch) - after).max() < 0.05 * np.abs(after).max()


@quantizes
def test_a_quantized_decoder_reads_numbers(tiny_config, batch):
    """The table of word embeddings holds integers and their scales."""
    model = TFDebertaV2ForMaskedLM(tiny_config)
    before = logits(model, batch)
    model.quantize("int8")
    assert np.abs(logits(model, batch) - before).max() < 0.05 * np.abs(before).max()


def test_what_an_older_keras_lacks(tiny_config, monkeypatch):
    model = TFDebertaV2ForSequenceClassification(tiny_config)
    monkeypatch.setattr("deberta_tf.lora.KERAS_HAS_ALPHA", False)
    monkeypatch.setattr("deberta_tf.quantization.KERAS_CHOOSES_LAYERS", False)
    with pytest.raises(InputError, match=r"lora_alpha=6 needs Keras 3\.10 or newer, and this is"):
        model.enable_lora(2, lora_alpha=6)
    with pytest.raises(InputError, match=r"quantize needs Keras 3\.13 or newer, and this is"):
        model.quantize("int8")
    model.enable_lora(2, lora_alpha=2)
