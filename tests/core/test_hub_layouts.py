"""Published layouts of folders: each loads, value by value, or is told in one line what it is."""

import sys
import types
from contextlib import nullcontext

import numpy as np
import pytest

from deberta_core import AutoConfig, AutoTokenizer, DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import checkpoint_folder, find_weight_file, load_config, load_weights
from deberta_core.errors import ConfigError, DebertaError, DebertaWarning, WeightError
from tests.core.hub_layout_rows import FOREIGN, LAYOUTS
from tests.core.hub_layouts import Kit, notebook, put, quantised, tensors, torch_save

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def kit(random_weights, small_tokenizer, small_byte_tokenizer):
    return Kit(random_weights, {DebertaConfig: small_byte_tokenizer, DebertaV2Config: small_tokenizer})


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_layout_loads(name, kit, tmp_path, prose):
    layout = LAYOUTS[name]
    expected = layout.build(tmp_path, kit)
    path = tmp_path / layout.path
    config = load_config(None, path, layout.task)
    is_discriminator = "mask_predictions." in layout.dropped
    with pytest.warns(DebertaWarning, match="is a discriminator") if is_discriminator else nullcontext():
        opened = load_weights(path, config, layout.task)
    with opened as loaded:
        assert loaded.report.missing == loaded.report.unexpected == loaded.report.mismatched == ()
        assert loaded.report.prefix == layout.prefix
        assert all(name.startswith(layout.dropped or "none") for name in loaded.report.dropped)
        assert bool(loaded.report.dropped) == bool(layout.dropped)
        assert sorted(loaded.weights) == sorted(expected)
        for parameter, array in expected.items():
            np.testing.assert_array_equal(loaded.weights[parameter], array, err_msg=parameter)
    if layout.has_tokenizer:
        assert AutoTokenizer.from_pretrained(path)(prose[0]) == kit.tokenizers[type(config)](prose[0])


def test_the_generator_beside_a_published_model(kit, tmp_path):
    LAYOUTS["microsoft/deberta-v3-base, -large, mdeberta-v3-base: pytorch_model.bin"].build(tmp_path, kit)
    file = tmp_path / "pytorch_model.generator.bin"
    config = load_config(None, file, "masked_lm", config_file=tmp_path / "generator_config.json")
    assert (config.num_hidden_layers, config.legacy) == (1, False)
    with load_weights(file, config, "masked_lm") as loaded:
        assert loaded.report.missing == ()


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_that_is_something_else(name, tmp_path):
    foreign = FOREIGN[name]
    for file, content in foreign.files.items():
        put(tmp_path, file, content)
    with pytest.raises(DebertaError, match=foreign.message) as refused:
        find_weight_file(AutoConfig.from_pretrained(tmp_path) and tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["PEFT", "GLiNER", "ONNX", "sentence-transformers 2"])
def test_a_repository_that_is_something_else(name, hub_server, tmp_path):
    for file, content in FOREIGN[name].files.items():
        put(tmp_path / "folder", file, content)
    hub_server.publish("someone/other", tmp_path / "folder")
    with pytest.raises(WeightError, match=rf"someone/other has no .* It .*{FOREIGN[name].message}"):
        checkpoint_folder("someone/other")


def test_quantised_weights_are_named(kit, tmp_path):
    quantised(tmp_path, kit)
    with pytest.raises(WeightError, match=r"quantised by bitsandbytes.* Take the model it was made from"):
        load_weights(tmp_path, load_config(None, tmp_path, None), None)


def test_several_models_in_one_file(kit, tmp_path):
    weights = notebook("", "model.pth")(tmp_path, kit)
    config = load_config(None, tmp_path / "model.pth", None)
    torch_save(tmp_path / "model.pth", {"model": tensors(weights), "ema": tensors(weights), "step": 3})
    with pytest.raises(WeightError, match=r"holds several models: ema, model\. Save the one that is wanted"):
        load_weights(tmp_path / "model.pth", config, None)
    two = {f"{name}.{key}": array for name in ("student", "teacher") for key, array in weights.items()}
    torch_save(tmp_path / "model.pth", tensors(two))
    with pytest.raises(WeightError, match=r"unexpected \(\d+\): student\."):
        load_weights(tmp_path / "model.pth", config, None)


def test_the_hyperparameters_of_lightning(kit, tmp_path, monkeypatch):
    """A class of dictionaries that is not installed here, and is not needed."""
    weights = notebook("", "model.ckpt", "state_dict")(tmp_path, kit)
    file = tmp_path / "model.ckpt"
    config = load_config(None, file, None)
    module = types.ModuleType("lightning.fabric.utilities.data")
    module.AttributeDict = type("AttributeDict", (dict,), {"__module__": module.__name__})
    for part in ("lightning", "lightning.fabric", "lightning.fabric.utilities", module.__name__):
        monkeypatch.setitem(sys.modules, part, module)
    torch_save(file, {"state_dict": tensors(weights), "hyper_parameters": module.AttributeDict(lr=1e-5)})
    with load_weights(file, config, None) as loaded:
        assert sorted(loaded.weights) == sorted(weights)


def test_a_config_is_found_beside_a_weight_file(kit, tmp_path):
    notebook("model.", "model.pth")(tmp_path, kit)
    for name in (".", "config.json", "model.pth"):
        assert AutoConfig.from_pretrained(tmp_path / name) == AutoConfig.from_pretrained(tmp_path)
    put(tmp_path, "my-config", b"no JSON")
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        AutoConfig.from_pretrained(tmp_path / "my-config")
