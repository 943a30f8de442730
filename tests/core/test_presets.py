"""The published sizes."""

import pytest

from deberta_core import ConfigError, DebertaConfig, DebertaV2Config
from deberta_core.parameters import expand
from deberta_core.presets import PRESETS

# Parameters of the backbone, without the pretraining head; v3-base's number is also the published one.
BACKBONES = {
    "deberta-v3-xsmall": 70_682_112,
    "deberta-v3-small": 141_304_320,
    "deberta-v3-base": 183_831_552,
    "deberta-v3-large": 434_012_160,
    "mdeberta-v3-base": 278_218_752,
    "deberta-v2-xlarge": 884_593_152,
    "deberta-v2-xxlarge": 1_564_549_632,
}


V1_BACKBONES = {
    "deberta-base": 138_601_728,
    "deberta-large": 405_163_008,
    "deberta-xlarge": 757_804_032,
}


def v1_counted_by_hand(hidden, layers):
    """The same for v1: a fused projection with two biases, and two position projections, one with a bias."""
    norm = 2 * hidden
    attention = 3 * hidden * hidden + 2 * hidden + 2 * hidden * hidden + hidden + hidden * hidden + hidden + norm
    layer = attention + 2 * 4 * hidden * hidden + 4 * hidden + hidden + norm
    return 50265 * hidden + norm + 1024 * hidden + layers * layer


def counted_by_hand(vocabulary, hidden, layers, rows, kernel):
    """The size from the architecture alone: embeddings, table, its norm, layers, convolution."""
    norm = 2 * hidden
    layer = 4 * (hidden * hidden + hidden) + norm + 2 * 4 * hidden * hidden + 4 * hidden + hidden + norm
    convolution = kernel * hidden * hidden + hidden + norm if kernel else 0
    return vocabulary * hidden + norm + rows * hidden + norm + layers * layer + convolution


def test_every_preset_is_counted():
    assert set(BACKBONES) == set(PRESETS["deberta-v2"])
    assert set(V1_BACKBONES) == set(PRESETS["deberta"])


@pytest.mark.parametrize("name", V1_BACKBONES)
def test_sizes_of_v1(name):
    config = DebertaConfig.preset(name)
    total = sum(parameter.size for parameter in expand(config, None).values())
    assert total == v1_counted_by_hand(config.hidden_size, config.num_hidden_layers) == V1_BACKBONES[name]
    assert config.intermediate_size == 4 * config.hidden_size
    assert config.head_size == 64
    assert (config.buckets, config.max_distance, config.span, config.table_rows) == (0, 512, 512, 1024)
    assert config.position_terms == ("c2p", "p2c")
    assert not config.position_biased_input
    assert not config.normalizes_table
    assert not config.shares_position_projections


@pytest.mark.parametrize("name", BACKBONES)
def test_sizes(name):
    config = DebertaV2Config.preset(name)
    total = sum(parameter.size for parameter in expand(config, None).values())
    by_hand = counted_by_hand(
        config.vocab_size, config.hidden_size, config.num_hidden_layers, 512, 3 if "v2" in name else 0
    )
    assert total == by_hand == BACKBONES[name]
    assert config.intermediate_size == 4 * config.hidden_size
    assert config.head_size == 64
    assert (config.buckets, config.max_distance, config.span) == (256, 512, 256)


def test_the_published_file_of_v3_large_is_the_preset(shared):
    published = DebertaV2Config.from_pretrained(shared / "data" / "configs" / "deberta-v3-large.config.json")
    assert published == DebertaV2Config.preset("deberta-v3-large")


def test_changes_are_applied_and_checked():
    assert DebertaV2Config.preset("deberta-v3-small", num_labels=7).num_labels == 7
    assert DebertaConfig.preset("deberta-base", legacy=False).legacy is False
    with pytest.raises(ConfigError, match="no field layers"):
        DebertaV2Config.preset("deberta-v3-small", layers=7)


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(ConfigError, match=r"deberta preset='deberta-v3-base' is unknown.*deberta-base.*deberta-xlarge"):
        DebertaConfig.preset("deberta-v3-base")
    with pytest.raises(ConfigError, match=r"deberta-v2 preset='deberta-v4' is unknown.*deberta-v3-base.*mdeberta"):
        DebertaV2Config.preset("deberta-v4")


def test_presets_do_not_share_state():
    assert DebertaV2Config.preset("deberta-v3-base") == DebertaV2Config.preset("deberta-v3-base")
    DebertaV2Config.preset("deberta-v3-base").extra["x"] = 1
    assert DebertaV2Config.preset("deberta-v3-base").extra == {}


def test_the_names_of_the_hub():
    assert DebertaV2Config.preset("microsoft/deberta-v3-base") == DebertaV2Config.preset("deberta-v3-base")
    with pytest.raises(ConfigError, match="preset='someone/deberta-v3-base' is unknown"):
        DebertaV2Config.preset("someone/deberta-v3-base")
