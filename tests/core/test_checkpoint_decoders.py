"""Which masked-LM decoder a checkpoint gets (NUMERICS 7), and what discriminators and generators are told apart by."""

import json
import logging

import numpy as np
import pytest
import safetensors.numpy

from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import FORMATS, LoadReport, load_config, load_weights, save_weights
from deberta_core.errors import DebertaWarning, WeightError
from deberta_core.parameters import DELTA_NAMES, expand

SIZES = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
SIZES |= {"position_biased_input": False, "legacy": False}
V1, V2 = DebertaConfig(**SIZES), DebertaV2Config(**SIZES)
BOTH = pytest.mark.parametrize("config", [V1, V2], ids=["v1", "v2"])
MASKED_LM, REPLACED = "masked_lm", "replaced_token"
TABLE, WORDS = "deberta.embeddings.position_embeddings.weight", "deberta.embeddings.word_embeddings.weight"


@pytest.fixture
def save(tmp_path, random_weights):
    """Writes a checkpoint whose config.json says nothing of the masked-LM head."""

    def write(config, task, format="safetensors", **said):
        file = config.save_pretrained(tmp_path)
        values = json.loads(file.read_text())
        file.write_text(json.dumps({name: values[name] for name in values.keys() - {"legacy", "mlm_decoder"}} | said))
        save_weights(tmp_path, config, task, random_weights(config, task), format)
        return tmp_path

    return write


def add(folder, arrays, without=()):
    file = folder / "model.safetensors"
    weights = {name: array for name, array in safetensors.numpy.load_file(file).items() if name not in without}
    safetensors.numpy.save_file(weights | arrays, file)


@BOTH
@pytest.mark.parametrize("format", FORMATS)
def test_a_table_of_positions_and_the_published_head_are_the_enhanced_decoder(save, config, format, caplog):
    folder = save(config.replace(mlm_decoder="enhanced"), MASKED_LM, format)
    with caplog.at_level(logging.INFO):
        found = load_config(None, folder, MASKED_LM)
    assert found == config.replace(mlm_decoder="enhanced")
    assert "mlm_decoder is enhanced, since the weights hold embeddings.position_embeddings.weight" in caplog.text
    assert load_weights(folder, found, MASKED_LM).report == LoadReport()


@BOTH
def test_what_lacks_one_of_them_is_plain(save, config):
    assert load_config(None, save(config, MASKED_LM), MASKED_LM).mlm_decoder == "plain"
    legacy = config.replace(legacy=True, mlm_decoder="enhanced")
    assert load_config(None, save(legacy, MASKED_LM), MASKED_LM).mlm_decoder == "plain"
    biased = config.replace(position_biased_input=True)
    assert load_config(None, save(biased, MASKED_LM), MASKED_LM).mlm_decoder == "plain"


def test_config_and_overrides_come_first(save):
    enhanced = V2.replace(mlm_decoder="enhanced")
    folder = save(enhanced, MASKED_LM)
    plain = load_config(None, folder, MASKED_LM, {"mlm_decoder": "plain"})
    assert plain.mlm_decoder == "plain"
    assert load_weights(folder, plain, MASKED_LM).report == LoadReport(dropped=(TABLE,))
    assert load_config(None, save(enhanced, MASKED_LM, mlm_decoder="plain"), MASKED_LM).mlm_decoder == "plain"
    legacy = enhanced.replace(legacy=True)
    folder = save(legacy, MASKED_LM, mlm_decoder="enhanced")
    assert load_config(None, folder, MASKED_LM) == legacy
    assert load_config(None, folder, None).mlm_decoder == "enhanced"


def test_only_a_decoder_that_is_not_plain_is_written(tmp_path):
    assert "mlm_decoder" not in V2.to_dict()
    enhanced = V2.replace(mlm_decoder="enhanced")
    assert enhanced.to_dict()["mlm_decoder"] == "enhanced"
    enhanced.save_pretrained(tmp_path)
    assert DebertaV2Config.from_pretrained(tmp_path) == enhanced


@BOTH
def test_the_table_belongs_to_masked_lm_alone(config):
    enhanced = config.replace(mlm_decoder="enhanced")
    assert expand(enhanced, MASKED_LM)[TABLE].shape == (512, 8)
    assert not any(TABLE.endswith(name) for task in (None, REPLACED) for name in expand(enhanced, task))


def test_a_new_head_may_lack_the_table(save):
    folder = save(V2, None)
    enhanced = V2.replace(mlm_decoder="enhanced")
    with pytest.raises(WeightError, match="missing"):
        load_weights(folder, enhanced, MASKED_LM)
    assert TABLE in load_weights(folder, enhanced, MASKED_LM, new_head=True).report.missing


def test_a_discriminator_warns_that_its_words_are_not_predictions(save, random_weights):
    enhanced = V2.replace(mlm_decoder="enhanced")
    folder = save(enhanced, MASKED_LM)
    head = {name: value for name, value in random_weights(V2, REPLACED).items() if name.startswith("mask_predictions")}
    add(folder, head)
    config = load_config(None, folder, MASKED_LM)
    assert config == enhanced
    with pytest.warns(DebertaWarning, match=r"is a discriminator .* model.generator.safetensors or pytorch_model.gen"):
        load_weights(folder, config, MASKED_LM)
    assert not [name for name in load_weights(folder, config, REPLACED).report.missing]


def test_a_difference_without_its_table_is_named(save):
    folder = save(V2, REPLACED)
    words = safetensors.numpy.load_file(folder / "model.safetensors")[WORDS]
    add(folder, {DELTA_NAMES[WORDS]: words})
    assert load_weights(folder, V2, REPLACED).report == LoadReport(dropped=(DELTA_NAMES[WORDS],))
    add(folder, {DELTA_NAMES[WORDS]: words}, without=[WORDS])
    with pytest.raises(WeightError, match=r"word_embeddings\._weight, the difference to the table of the generator"):
        load_weights(folder, V2, None)


def test_beside_the_weights_of_a_generator_its_configuration_is_read(tmp_path, random_weights):
    enhanced = V2.replace(mlm_decoder="enhanced")
    save_weights(tmp_path, enhanced, MASKED_LM, random_weights(enhanced, MASKED_LM))
    file = (tmp_path / "model.safetensors").rename(tmp_path / "model.generator.safetensors")
    enhanced.replace(num_hidden_layers=7).save_pretrained(tmp_path)
    (tmp_path / "generator_config.json").write_text(V2.to_json_string(use_diff=False))
    config = load_config(None, file, MASKED_LM)
    assert config == enhanced
    assert load_weights(file, config, MASKED_LM).report == LoadReport()
    assert np.isfinite(load_weights(file, config, MASKED_LM).weights[TABLE]).all()
