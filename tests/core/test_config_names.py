"""Configurations as code written for transformers uses them: other names, assignments, JSON texts."""

import copy
import json
import pickle

import pytest

from deberta_core import AutoConfig, ConfigError, DebertaConfig, DebertaError, DebertaV2Config
from deberta_core.names.configs import CONFIG_ASSIGNMENTS, CONFIG_ATTRIBUTES, CONFIG_KEPT
from deberta_core.names.rows import Refused


@pytest.mark.parametrize("cls", [DebertaConfig, DebertaV2Config])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("num_labels", r"num_labels is a field of .*use replace\(\): config = config\.replace\(num_labels=\.\.\.\)"),
        ("hidden_sizes", r"hidden_sizes is no field of .*use replace\(\).*extra="),
    ],
)
def test_an_assignment_says_what_to_do(cls, name, message):
    config = cls()
    for act in (lambda: setattr(config, name, 3), lambda: delattr(config, name)):
        with pytest.raises(ConfigError, match=f"(?i){message}") as caught:
            act()
        assert isinstance(caught.value, DebertaError)
        assert isinstance(caught.value, AttributeError)


def test_what_trainer_assigns_changes_nothing():
    config = DebertaV2Config()
    for name in CONFIG_ASSIGNMENTS:
        setattr(config, name, 3)
    assert config == DebertaV2Config()
    assert config.use_cache is False
    with pytest.raises(ConfigError, match="replace"):
        config.pad_token_id = 3  # a field: it would do something


@pytest.mark.parametrize("cls", [DebertaConfig, DebertaV2Config])
def test_an_unknown_keyword_has_its_nearest_name(cls, tmp_path):
    cls().save_pretrained(tmp_path)
    for make in (cls, cls().replace, lambda **k: cls.from_pretrained(tmp_path, **k)):
        with pytest.raises(ConfigError, match=r"no field hidden_sise\..*Did you mean 'hidden_size'\?"):
            make(hidden_sise=8)
    with pytest.raises(ConfigError, match="Did you mean 'low_cpu_mem_usage'"):
        AutoConfig.from_pretrained(tmp_path, low_cpu_mem_usge=True)
    with pytest.raises(ConfigError, match=r"is_decoder' is not taken\. DeBERTa is an encoder"):
        cls(is_decoder=True)
    assert cls(is_decoder=False, is_encoder_decoder=None) == cls()


def test_a_subclass_is_as_its_base():
    class Mine(DebertaV2Config):
        pass

    assert Mine(hidden_size=48, num_attention_heads=2).hidden_size == 48
    with pytest.raises(ConfigError, match="Mine has no field hidden_sise"):
        Mine(hidden_sise=48)


def test_what_nothing_reads_is_kept():
    config = DebertaV2Config(architectures=["DebertaV2Model"], bos_token_id=1, extra={"mine": 2})
    assert config.extra == {"architectures": ["DebertaV2Model"], "bos_token_id": 1, "mine": 2}
    assert (config.architectures, config.bos_token_id, config.mine) == (["DebertaV2Model"], 1, 2)
    assert config.replace(eos_token_id=2).extra == config.extra | {"eos_token_id": 2}
    assert DebertaV2Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    for name in CONFIG_KEPT:
        assert DebertaConfig(**{name: 1}).extra == {name: 1}


def test_attributes():
    config = DebertaV2Config(return_dict=False, output_attentions=True)
    assert config.use_return_dict is False
    assert (config.output_attentions, config.output_hidden_states) == (True, False)
    assert config.name_or_path == ""
    assert config.get_text_config() is config
    for name, row in CONFIG_ATTRIBUTES.items():
        assert hasattr(config, name) == (not isinstance(row, Refused)), name
    with pytest.raises(AttributeError, match="no attribute 'hidden'"):
        _ = config.hidden
    with pytest.raises(AttributeError, match=r"Call replace\(\)"):
        config.update({"hidden_size": 3})


def test_get():
    config = DebertaV2Config(extra={"mine": 2})
    assert config.get("hidden_size") == 1536
    assert config.get("mine") == 2
    assert config.get("other") is None
    assert config.get("other", 5) == 5


def test_a_field_of_the_other_version_is_no_attribute():
    config = DebertaConfig(extra={"position_buckets": 8})
    assert config.get("position_buckets", "none") == "none"
    assert config.buckets == 0


def test_copies():
    config = DebertaV2Config(extra={"mine": 2}).replace(name_or_path="here")
    for other in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config
        assert other.mine == 2
        assert other.name_or_path == "here"


def test_where_it_was_loaded_from(tmp_path):
    config = DebertaV2Config()
    config.save_pretrained(save_directory=tmp_path)
    for cls in (AutoConfig, DebertaV2Config):
        loaded = cls.from_pretrained(pretrained_model_name_or_path=str(tmp_path))
        assert loaded.name_or_path == str(tmp_path)
        assert loaded == config
    assert "name_or_path" not in json.loads((tmp_path / "config.json").read_text())


@pytest.mark.parametrize("cls", [AutoConfig, DebertaV2Config])
def test_options_of_loading(cls, tmp_path):
    DebertaV2Config().save_pretrained(tmp_path)
    loaded = cls.from_pretrained(
        tmp_path,
        trust_remote_code=True,
        use_auth_token=None,
        torch_dtype="auto",
        resume_download=True,
        output_hidden_states=True,
        use_return_dict=False,
        num_labels=3,
    )
    assert (loaded.output_hidden_states, loaded.return_dict, loaded.num_labels) == (True, False, 3)
    with pytest.raises(ConfigError, match="two names of one argument"):
        cls.from_pretrained(tmp_path, use_auth_token="a", token="b")
    with pytest.raises(ConfigError, match="path was given twice"):
        cls.from_pretrained(tmp_path, pretrained_model_name_or_path=tmp_path)


def test_what_a_call_returns_is_read_from_files(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"model_type": "deberta-v2", "output_attentions": true, "output_hidden_states": true, '
        '"use_return_dict": false}'
    )
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.call_options(None, None, None) == (True, True, False)
    assert config.call_options(False, False, True) == (False, False, True)
    assert DebertaV2Config().call_options(None, None, None) == (False, False, True)
    assert DebertaV2Config.from_dict(config.to_dict()) == config


def test_microsofts_pooling_is_read():
    read = DebertaV2Config.from_dict({"pooling": {"dropout": 0.25, "hidden_act": "tanh"}})
    assert (read.pooler_dropout, read.pooler_hidden_act) == (0.25, "tanh")
    assert read.to_dict()["pooling"] == {"dropout": 0.25, "hidden_act": "tanh"}
    assert DebertaV2Config.from_dict({"pooling": {"dropout": 0.25}, "pooler_dropout": 0.5}).pooler_dropout == 0.5
    assert DebertaV2Config.from_dict({"pooling": None}).pooler_dropout == 0.0


def test_json_texts(tmp_path):
    config = DebertaV2Config(num_labels=3, extra={"mine": "é"})
    assert json.loads(config.to_json_string()) == config.to_diff_dict()
    assert config.to_diff_dict().keys() == {"model_type", "mine", "id2label", "label2id"}
    assert json.loads(config.to_json_string(use_diff=False)) == config.to_dict()
    assert DebertaV2Config.from_dict(json.loads(config.to_json_string())) == config
    config.to_json_file(tmp_path / "one.json")
    assert DebertaV2Config.from_json_file(tmp_path / "one.json") == config
