"""The published sizes."""

import pytest

from deberta_core import ConfigError, DebertaV2Config
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


def counted_by_hand(vocabulary, hidden, layers, rows, kernel):
    """The size from the architecture alone: embeddings, table, its norm, layers, convolution."""
    norm = 2 * hidden
    layer = 4 * (hidden * hidden + hidden) + norm + 2 * 4 * hidden * hidden + 4 * hidden + hidden + norm
    convolution = kernel * hidden * hidden + hidden + norm if kernel else 0
    return vocabulary * hidden + norm + rows * hidden + norm + layers * layer + convolution


def test_every_preset_is_counted():
    assert set(BACKBONES) == set(PRESETS["deberta-v2"])


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
    with pytest.raises(ConfigError, match="no field layers"):
        DebertaV2Config.preset("deberta-v3-small", layers=7)


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(ConfigError, match=r"deberta-v2 preset='deberta-v4' is unknown.*deberta-v3-base.*mdeberta"):
        DebertaV2Config.preset("deberta-v4")


def test_presets_do_not_share_state():
    assert DebertaV2Config.preset("deberta-v3-base") == DebertaV2Config.preset("deberta-v3-base")
    DebertaV2Config.preset("deberta-v3-base").extra["x"] = 1
    assert DebertaV2Config.preset("deberta-v3-base").extra == {}
