"""What published config.json files hold that ours do not: no model_type, nulls, and other names."""

import json

import pytest

from deberta_core import AutoConfig, ConfigError, DebertaConfig, DebertaV2Config


# Keys that only one version's files have, without a model_type; Microsoft's own code writes none.
@pytest.mark.parametrize(
    ("values", "cls"),
    [
        ({"position_buckets": 256, "pos_att_type": "p2c|c2p"}, DebertaV2Config),
        ({"share_att_key": True}, DebertaV2Config),
        ({"conv_kernel_size": 3}, DebertaV2Config),
        ({"norm_rel_ebd": "layer_norm"}, DebertaV2Config),
        ({"relative_attention": True, "pos_att_type": "c2p|p2c"}, DebertaConfig),
    ],
)
@pytest.mark.parametrize("name", ["config.json", "model_config.json"])
def test_a_model_type_that_other_keys_tell(values, cls, name, tmp_path):
    (tmp_path / name).write_text(json.dumps(values), encoding="utf-8")
    assert AutoConfig.from_pretrained(tmp_path) == cls(**values)


def test_a_model_type_that_nothing_tells(tmp_path):
    (tmp_path / "config.json").write_text('{"hidden_size": 36}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r'has no model_type, and no key .* pass model_type="deberta" for v1'):
        AutoConfig.from_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path, model_type="deberta", num_labels=3)
    assert config == DebertaConfig(hidden_size=36, num_labels=3)
    with pytest.raises(ConfigError, match="model_type='bert' is unknown"):
        AutoConfig.from_pretrained(tmp_path, model_type="bert")
    (tmp_path / "config.json").write_text('{"model_type": "deberta"}', encoding="utf-8")
    with pytest.raises(ConfigError, match="is not 'deberta-v2'"):
        AutoConfig.from_pretrained(tmp_path, model_type="deberta-v2")


@pytest.mark.parametrize(
    ("published", "field", "value"),
    [
        ({"pad_token_id": None}, "pad_token_id", 0),
        ({"pooler_dropout": None}, "pooler_dropout", 0.0),
        ({"hidden_act": "gelu_pytorch_tanh"}, "hidden_act", "gelu_new"),
        ({"pooler_hidden_act": "gelu_pytorch_tanh"}, "pooler_hidden_act", "gelu_new"),
        ({"pooling": {"dropout": 0.1, "hidden_act": "tanh"}}, "pooler_dropout", 0.1),
        ({"pooling": {"dropout": 0.1, "hidden_act": "tanh"}}, "pooler_hidden_act", "tanh"),
        ({"pooling": {"dropout": 0.1}, "pooler_dropout": 0.2}, "pooler_dropout", 0.2),
        ({"pooling": None}, "pooler_dropout", 0.0),
        ({"cls_drop_out": 0.3}, "cls_dropout", 0.3),
    ],
)
def test_other_spellings_of_published_files(published, field, value):
    config = DebertaV2Config.from_dict(published)
    assert getattr(config, field) == value
    assert DebertaV2Config.from_dict(config.to_dict()) == config
