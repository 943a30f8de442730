"""Which head a file has, second copies of tied parameters, and the other model family."""

import json
import re

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import FORMATS, LoadReport, load_config, load_weights, open_weights, save_weights
from deberta_core.errors import ConfigError, WeightError

SIZES = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 12}
V1, V2 = DebertaConfig(**SIZES), DebertaV2Config(**SIZES)
BOTH = pytest.mark.parametrize("config", [V1, V2], ids=["v1", "v2"])
MASKED_LM = "masked_lm"
WORD = "deberta.embeddings.word_embeddings.weight"
DECODER, DECODER_BIAS = "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"


@pytest.fixture
def save(tmp_path, random_weights):
    """Writes a checkpoint: `save(config, task, format, legacy=...)`; `legacy=None` leaves it out of config.json."""

    def write(config, task, format="safetensors", legacy=None):
        file = config.save_pretrained(tmp_path)
        values = json.loads(file.read_text())
        del values["legacy"]
        file.write_text(json.dumps(values if legacy is None else values | {"legacy": legacy}))
        save_weights(tmp_path, config, task, random_weights(config, task), format)
        return tmp_path

    return write


def add(folder, arrays, without=()):
    """Adds arrays to the folder's weight file."""
    file = folder / "model.safetensors"
    weights = {name: array for name, array in safetensors.numpy.load_file(file).items() if name not in without}
    safetensors.numpy.save_file(weights | arrays, file)


# Which masked-LM head


@BOTH
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("legacy", [True, False])
def test_the_weights_names_decide(save, config, format, legacy):
    folder = save(config.replace(legacy=legacy), MASKED_LM, format)
    found = load_config(type(config), folder, MASKED_LM)
    assert found.legacy is legacy
    assert load_config(None, folder, MASKED_LM) == found
    assert load_weights(folder, found, MASKED_LM).report == LoadReport()


@BOTH
def test_config_and_overrides_come_first(save, config):
    folder = save(config.replace(legacy=False), MASKED_LM, legacy=True)
    assert load_config(None, folder, MASKED_LM).legacy is True
    assert load_config(None, folder, MASKED_LM, {"legacy": False}).legacy is False
    folder = save(config.replace(legacy=False), MASKED_LM)
    assert load_config(None, folder, MASKED_LM, {"legacy": True}).legacy is True
    found = load_config(None, folder, MASKED_LM, {"hidden_act": "relu"})
    assert found == config.replace(legacy=False, hidden_act="relu")


@pytest.mark.parametrize("task", [None, "token_classification"])
def test_other_tasks_do_not_look_at_the_weights(save, task):
    folder = save(V2.replace(legacy=False), MASKED_LM)
    (folder / "model.safetensors").unlink()
    assert load_config(DebertaV2Config, folder, task).legacy is True
    with pytest.raises(WeightError, match="holds no weight file"):
        load_config(DebertaV2Config, folder, MASKED_LM)


def test_a_file_without_head_has_the_default(save):
    assert load_config(None, save(V2, None), MASKED_LM).legacy is True


def test_a_file_with_both_heads(save):
    """The published head is taken; the other one is left aside, whichever is used."""
    file = save(V2, MASKED_LM) / "model.safetensors"
    legacy = {name: array for name, array in safetensors.numpy.load_file(file).items() if name.startswith("cls.")}
    folder = save(V2.replace(legacy=False), MASKED_LM)
    published = {name for name in safetensors.numpy.load_file(folder / "model.safetensors") if name.startswith("lm_")}
    add(folder, legacy)
    config = load_config(None, folder, MASKED_LM)
    assert config.legacy is False
    assert set(load_weights(folder, config, MASKED_LM).report.dropped) == set(legacy)
    assert set(load_weights(folder, V2, MASKED_LM).report.dropped) == published


# A missing head


@BOTH
@pytest.mark.parametrize(
    ("stored", "task", "legacy", "message"),
    [
        (
            {"legacy": False},
            MASKED_LM,
            True,
            r"missing \(5\): cls\..* The file holds lm_predictions: set legacy=False\.",
        ),
        ({"legacy": True}, MASKED_LM, False, r"missing \(5\): lm_pred.* The file holds cls: set legacy=True\."),
        (None, MASKED_LM, True, "The file holds no head: pass new_head=True to start cls fresh"),
        (None, "question_answering", True, "The file holds no head: pass new_head=True to start qa_outputs fresh"),
        (
            {"task": "sequence_classification"},
            "question_answering",
            True,
            r"missing \(2\): qa_outputs\.bias, qa_.* holds the head classifier, pooler: pass new_head=True to start",
        ),
    ],
)
def test_a_missing_head_is_an_error(save, config, stored, task, legacy, message):
    stored = stored or {"task": None}
    folder = save(config.replace(legacy=stored.get("legacy", True)), stored.get("task", MASKED_LM))
    config = config.replace(legacy=legacy)
    with pytest.raises(WeightError, match=message):
        load_weights(folder, config, task)
    report = load_weights(folder, config, task, new_head=True).report
    assert all(name.startswith(("cls.", "lm_predictions.", "qa_outputs.")) for name in report.missing)


def test_a_part_of_a_head_is_no_missing_head(save):
    folder = save(V2, MASKED_LM)
    add(folder, {}, without=["cls.predictions.bias"])
    with pytest.raises(WeightError, match=r"missing \(1\): cls\.predictions\.bias\. Use the config\.json"):
        load_weights(folder, V2, MASKED_LM)


# Second copies of tied parameters


def copies(folder, dtype="float32"):
    stored = safetensors.numpy.load_file(folder / "model.safetensors")
    return {DECODER: stored[WORD].astype(dtype), DECODER_BIAS: stored["cls.predictions.bias"].astype(dtype)}


@BOTH
def test_equal_copies_are_accepted_and_listed(save, config, random_weights):
    folder = save(config, MASKED_LM)
    add(folder, copies(folder))
    loaded = load_weights(folder, config, MASKED_LM)
    assert loaded.report == LoadReport(tied=(DECODER_BIAS, DECODER))
    for name, array in random_weights(config, MASKED_LM).items():
        assert np.array_equal(loaded.weights[name], array)
    backbone = load_weights(folder, config, None)
    assert backbone.report.tied == ()
    assert {DECODER, DECODER_BIAS} < set(backbone.report.dropped)


@BOTH
@pytest.mark.parametrize(
    ("copy", "parameter"), [(DECODER, WORD), (DECODER_BIAS, "cls.predictions.bias")], ids=["weight", "bias"]
)
@pytest.mark.parametrize("change", [lambda a: a + 1, lambda a: a[1:]], ids=["value", "shape"])
def test_copies_that_differ(save, config, copy, parameter, change):
    folder = save(config, MASKED_LM)
    add(folder, {copy: change(copies(folder)[copy])})
    loaded = load_weights(folder, config, MASKED_LM)
    message = f"model.safetensors stores {parameter} and {copy}, which are one parameter, with different numbers."
    with pytest.raises(WeightError, match=re.escape(message)):
        loaded.weights[parameter]


def test_copies_in_bfloat16(save):
    folder = save(V2, MASKED_LM)
    half = {name: array.astype(ml_dtypes.bfloat16) for name, array in copies(folder).items()}
    half[DECODER][0, 0] = np.nan
    add(folder, half | {WORD: half[DECODER].copy(), "cls.predictions.bias": half[DECODER_BIAS].copy()})
    loaded = load_weights(folder, V2, MASKED_LM)
    assert loaded.weights[WORD].dtype == ml_dtypes.bfloat16
    assert loaded.weights["cls.predictions.bias"].dtype == ml_dtypes.bfloat16


@BOTH
@pytest.mark.parametrize("task", [MASKED_LM, None])
def test_a_lone_copy_is_the_parameter(save, config, task):
    """Writers that store a shared tensor once may keep either name."""
    folder = save(config, MASKED_LM)
    both = copies(folder)
    add(folder, both, without=[WORD, "cls.predictions.bias"])
    loaded = load_weights(folder, config, task)
    assert loaded.report.missing == loaded.report.tied == ()
    assert np.array_equal(loaded.weights[WORD if task else WORD.removeprefix("deberta.")], both[DECODER])


def test_the_other_head_has_no_copies(save):
    config = V2.replace(legacy=False)
    folder = save(config, MASKED_LM)
    add(folder, {DECODER: np.zeros((20, 8), "f4")})
    assert load_weights(folder, config, MASKED_LM).report == LoadReport(dropped=(DECODER,))


# The other family


@pytest.mark.parametrize(
    ("stored", "other", "message"),
    [
        (V1, V2, r"does not fit DebertaV2Model: .* this is a v1 checkpoint, use the Deberta classes\."),
        (V2, V1, r"does not fit DebertaModel: .* this is a v2 or v3 checkpoint, use the DebertaV2 classes\."),
    ],
    ids=["v1 into v2", "v2 into v1"],
)
@pytest.mark.parametrize("format", FORMATS)
def test_weights_of_the_other_family(save, stored, other, message, format):
    folder = save(stored, MASKED_LM, format)
    with pytest.raises(WeightError, match=message):
        load_weights(folder, other, None)
    with open_weights(folder, other) as weights:
        assert len(weights) > 0


@pytest.mark.parametrize("task", [None, MASKED_LM])
def test_a_config_of_the_other_family(save, task):
    with pytest.raises(ConfigError, match=r"model_type='deberta' is not 'deberta-v2', which DebertaV2Config reads\."):
        load_config(DebertaV2Config, save(V1, task), task)
    with pytest.raises(ConfigError, match=r"model_type='deberta-v2' is not 'deberta', which DebertaConfig reads\."):
        load_config(DebertaConfig, save(V2, task), task)


@pytest.mark.parametrize("model_type", ["bert", ["deberta"], None])
def test_an_unknown_family(save, model_type):
    folder = save(V2, None)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_type": model_type}))
    message = f"config.json: model_type={model_type!r} is unknown. Use one of: deberta, deberta-v2."
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(None, folder, None)
