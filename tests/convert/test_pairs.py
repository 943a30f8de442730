"""Discriminators and generators are inspected and converted, each by itself."""

import pytest

from conformance.convert.convert import convert
from conformance.convert.inspection import inspect
from deberta_core import DebertaV2Config
from deberta_core.checkpoint import generator_config_of, load_config, load_weights, write_pair
from deberta_core.parameters import DELTA_NAMES, expand

CONFIG = DebertaV2Config(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=4,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=16,
    position_biased_input=False,
)
GENERATOR = generator_config_of(CONFIG)


@pytest.fixture
def pair(tmp_path, random_weights):
    generator, discriminator = random_weights(GENERATOR, "masked_lm"), random_weights(CONFIG, "replaced_token")
    for table, delta in DELTA_NAMES.items():
        discriminator.pop(table, None)
        discriminator[delta] = generator[table] / 7
    folder = tmp_path / "pair"
    write_pair(folder, GENERATOR, CONFIG, generator, discriminator, "gdes", keep_delta=True)
    return folder


def test_each_is_what_it_is(pair):
    found = inspect(pair)
    assert found.model == "DebertaV2ForReplacedTokenDetection"
    assert set(DELTA_NAMES.values()) <= set(found.dropped)
    assert not found.problems
    found = inspect(pair / "model.generator.safetensors")
    assert found.model == "DebertaV2ForMaskedLM"
    assert found.config["num_hidden_layers"] == 2
    assert found.config["mlm_decoder"] == "enhanced"
    assert not found.problems
    assert not found.dropped


@pytest.mark.parametrize("to", ["bin", "h5", "keras"])
def test_each_is_converted(pair, tmp_path, to):
    done = convert(pair, tmp_path / "discriminator", to)
    assert done.task == "replaced_token"
    assert "generator_config.json" in done.carried
    found = load_weights(tmp_path / "discriminator", CONFIG, "replaced_token")
    assert set(found.weights) == set(expand(CONFIG, "replaced_token"))
    done = convert(pair / "model.generator.safetensors", tmp_path / "generator", to)
    assert done.task == "masked_lm"
    assert "generator_config.json" not in done.carried
    config = load_config(None, tmp_path / "generator", "masked_lm")
    assert config == GENERATOR
    before = load_weights(pair / "model.generator.safetensors", GENERATOR, "masked_lm").weights
    after = load_weights(tmp_path / "generator", config, "masked_lm").weights
    assert all((after[name] == before[name]).all() for name in before)
