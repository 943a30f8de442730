"""Configurations: config.json both ways, spellings, labels, rules, immutability."""

import copy
import dataclasses
import json
import pickle

import pytest

from conformance.suite.cases import CASES
from deberta_core import AutoConfig, ConfigError, DebertaConfig, DebertaV2Config, DebertaWarning

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 20,
    "max_position_embeddings": 64,
}


def config(**changes) -> DebertaV2Config:
    return DebertaV2Config(**SIZES | changes)


def terms(value) -> tuple[str, ...]:
    parts = value.split("|") if isinstance(value, str) else value or ()
    return tuple(part.strip().lower() for part in parts if part.strip().lower() not in ("", "none"))


def published_files(shared):
    yield from sorted((shared / "data" / "configs").glob("*.config.json"))
    yield from sorted((shared / "goldens").glob("v?-*/config.json"))
    yield shared / "data" / "configs" / "deberta-v3-large.generator_config.json"


# Files


def test_published_files_survive_a_round_trip(shared):
    files = [file for file in published_files(shared) if "tokenizer" not in file.name]
    assert len(files) >= 40
    for file in files:
        original = json.loads(file.read_text(encoding="utf-8"))
        read = AutoConfig.from_pretrained(file)
        written = read.to_dict()
        assert type(read).from_dict(written) == read, file
        assert type(read).from_dict(json.loads(json.dumps(written))) == read, file
        assert set(original) <= set(written), file
        for name, value in original.items():
            if name == "pos_att_type":
                assert terms(written[name]) == terms(value), file
            else:
                assert written[name] == value, (file, name)


@pytest.mark.parametrize("name", CASES)
def test_cases_survive_a_round_trip(name, tmp_path):
    original = CASES[name].config.replace(num_labels=3, problem_type="regression", extra={"bos_token_id": 1})
    original.save_pretrained(tmp_path / "new" / "folder")
    assert type(original).from_pretrained(tmp_path / "new" / "folder") == original
    assert AutoConfig.from_pretrained(str(tmp_path / "new" / "folder" / "config.json")) == original


V1_FIELDS = {"talking_head": True, "pruned_heads": {}}  # these two exclude each other
V1_PRUNED_FIELDS = {"talking_head": False, "pruned_heads": {0: (1,)}}
V2_FIELDS = {
    "pruned_heads": {0: (1,)},
    "position_buckets": 8,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "conv_kernel_size": 3,
    "conv_groups": 2,
    "conv_act": "gelu",
}


@pytest.mark.parametrize(
    ("cls", "own"),
    [(DebertaConfig, V1_FIELDS), (DebertaConfig, V1_PRUNED_FIELDS), (DebertaV2Config, V2_FIELDS)],
    ids=["v1", "v1_pruned", "v2"],
)
def test_every_field_survives_a_round_trip(cls, own):
    """One value other than the default for every field there is."""
    values = (
        SIZES
        | own
        | {
            "embedding_size": SIZES["hidden_size"],
            "hidden_act": "relu",
            "hidden_dropout_prob": 0.2,
            "attention_probs_dropout_prob": 0.3,
            "type_vocab_size": 2,
            "initializer_range": 0.1,
            "layer_norm_eps": 1e-5,
            "pad_token_id": 3,
            "position_biased_input": False,
            "relative_attention": cls is DebertaConfig,
            "max_relative_positions": 40,
            "pos_att_type": ("p2c",),
            "pooler_dropout": 0.4,
            "pooler_hidden_act": "tanh",
            "cls_dropout": 0.5,
            "num_labels": 2,
            "id2label": {0: "no", 1: "yes"},
            "label2id": {"no": 0, "yes": 1},
            "problem_type": "multi_label_classification",
            "attention_head_size": 6,
            "legacy": False,
            "mlm_decoder": "enhanced",
            "output_attentions": True,
            "output_hidden_states": True,
            "return_dict": False,
        }
    )
    made = cls(**values)
    defaults = {field.name: field.default for field in dataclasses.fields(made)}
    assert set(values) == set(made.field_names())
    assert {name: getattr(made, name) for name in values} == values
    assert all(values[name] != defaults[name] for name in values if own.get(name) is not False)
    assert cls.from_dict(made.to_dict()) == made


def test_unknown_keys_are_kept_and_fields_win():
    read = DebertaV2Config.from_dict(SIZES | {"torch_dtype": "float16", "task_specific_params": {"a": [1]}})
    assert read.extra == {"torch_dtype": "float16", "task_specific_params": {"a": [1]}}
    written = read.replace(hidden_dropout_prob=0.0).to_dict()
    assert written["task_specific_params"] == {"a": [1]}
    assert written["hidden_dropout_prob"] == 0.0
    assert "extra" not in written


def test_pooler_width_is_always_the_hidden_width():
    read = DebertaV2Config.from_dict(SIZES | {"pooler_hidden_size": 99})
    assert "pooler_hidden_size" not in read.extra
    assert read.to_dict()["pooler_hidden_size"] == SIZES["hidden_size"]


@pytest.mark.parametrize(
    "key",
    [
        *("bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "torch_dtype", "dtype"),
        *("architectures", "transformers_version", "_name_or_path", "gradient_checkpointing", "output_hidden_states"),
        *("summary_type", "position_embedding_type", "use_cache", "return_dict", "tie_word_embeddings"),
    ],
)
def test_usual_keys_do_not_warn(key):
    DebertaV2Config.from_dict({key: True})  # pytest makes this project's warnings errors


def test_a_misspelt_field_warns():
    with pytest.warns(DebertaWarning, match="'hidden_dropout_probs', which is not a field.*'hidden_dropout_prob'"):
        assert DebertaV2Config.from_dict({"hidden_dropout_probs": 0.3}).hidden_dropout_prob == 0.1


def test_another_models_file_is_refused(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"model_type": "bert"}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.json: model_type='bert' is not 'deberta-v2'.*DebertaV2Config"):
        DebertaV2Config.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"config\.json cannot be read as JSON: .*line 1 column 2.*A checkpoint folder holds"),
        (b"", r"cannot be read as JSON"),
        (b"\xff\xfe", r"cannot be read as JSON"),
        (b"[1]", r"holds a JSON list, not an object"),
        (b"null", r"holds a JSON NoneType, not an object"),
        (b'{"hidden_size": 0}', r"config\.json: DebertaV2Config: hidden_size=0 is not allowed"),
        (b'{"layer_norm_eps": NaN}', r"layer_norm_eps=nan is not allowed: it must be a number above 0"),
        (b'{"layer_norm_eps": "1e-7"}', r"layer_norm_eps='1e-7' is not allowed"),
    ],
)
def test_broken_files_are_named(content, message, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        DebertaV2Config.from_pretrained(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json does not exist. A checkpoint folder holds a config\.json"):
        DebertaV2Config.from_pretrained(tmp_path)


def test_overrides_are_fields(tmp_path):
    config().save_pretrained(tmp_path)
    assert DebertaV2Config.from_pretrained(tmp_path, hidden_dropout_prob=0.0).hidden_dropout_prob == 0.0
    with pytest.raises(ConfigError, match=r"no field hidden_dropout\. It has: vocab_size, "):
        DebertaV2Config.from_pretrained(tmp_path, hidden_dropout=0.0)


# Spellings


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("p2c|c2p", ("p2c", "c2p")),
        ("C2P | P2C", ("c2p", "p2c")),
        ("c2p", ("c2p",)),
        ("c2p|", ("c2p",)),
        (["p2c", "c2p"], ("p2c", "c2p")),
        (("p2c",), ("p2c",)),
        ([], ()),
        ("", ()),
        (None, ()),
        ("none", ()),
        ("None", ()),
        (["none"], ()),
    ],
)
def test_spellings_of_pos_att_type(value, expected):
    assert DebertaV2Config.from_dict(SIZES | {"pos_att_type": value}).pos_att_type == expected
    assert config(pos_att_type=value).pos_att_type == expected


@pytest.mark.parametrize("value", [-1, 0, -5])
@pytest.mark.parametrize("name", ["max_relative_positions", "position_buckets"])
def test_values_below_1_mean_not_set(name, value):
    made = config(**{name: value})
    assert getattr(made, name) == -1
    assert made == config()
    assert (made.max_distance, made.buckets, made.span, made.table_rows) == (64, 0, 64, 128)
    assert made.to_dict()[name] == -1


@pytest.mark.parametrize("value", [-1, None])
@pytest.mark.parametrize("name", ["embedding_size", "attention_head_size"])
def test_sizes_that_follow_from_others(name, value):
    made = config(**{name: value})
    assert getattr(made, name) is None
    assert (made.embedding_width, made.head_size, made.all_heads_size(0)) == (16, 8, 16)
    assert name not in made.to_dict()


def test_derived_values():
    made = config(embedding_size=12, attention_head_size=5, position_buckets=8, max_relative_positions=30)
    assert (made.embedding_width, made.head_size, made.all_heads_size(0)) == (12, 5, 10)
    assert (made.max_distance, made.span, made.table_rows) == (30, 8, 16)
    assert config(pos_att_type="c2p", relative_attention=False).position_terms == ()
    assert config(norm_rel_ebd="layer_norm").normalizes_table
    assert not config(norm_rel_ebd="layer_norm", relative_attention=False).normalizes_table
    assert config(hidden_dropout_prob=0.3).classifier_dropout == 0.3
    assert config(hidden_dropout_prob=0.3, cls_dropout=0.0).classifier_dropout == 0.0


# Immutability


def test_a_configuration_is_a_value():
    made = config(id2label={0: "a"}, extra={"x": 1})
    assert hash(made) == hash(config(id2label={0: "a"}, extra={"x": 1}))
    assert len({made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))}) == 1
    assert made != config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.hidden_size = 3
    with pytest.raises((AttributeError, TypeError)):
        made.hidden_sizes = 3
    with pytest.raises(TypeError):
        DebertaV2Config(100)


def test_a_callers_dictionaries_are_copied():
    extra, labels = {"x": 1}, {0: "a", 1: "b"}
    made = config(extra=extra, id2label=labels)
    extra["x"], labels[0] = 2, "z"
    assert made.extra == {"x": 1}
    assert made.id2label == {0: "a", 1: "b"}
    values = SIZES | {"model_type": "deberta-v2", "x": 1}
    DebertaV2Config.from_dict(values)
    assert values["model_type"] == "deberta-v2"


# Versions


def test_defaults_of_v1():
    """NUMERICS, decision 6: what config.json lacks."""
    made = DebertaConfig.from_dict({})
    assert (made.vocab_size, made.hidden_size, made.num_hidden_layers) == (50265, 768, 12)
    assert made.relative_attention is made.talking_head is False
    assert made.legacy is made.position_biased_input is True
    assert made.pos_att_type == ()
    assert made.layer_norm_eps == 1e-7
    assert (made.buckets, made.convolution_kernel, made.convolution_groups) == (0, 0, 1)
    assert not made.mixes_heads
    assert DebertaConfig(talking_head=True).mixes_heads
    assert not config().mixes_heads


def test_fields_of_the_other_version_are_kept_and_change_nothing():
    read = DebertaConfig.from_dict(SIZES | {"share_att_key": True, "norm_rel_ebd": "layer_norm"})
    assert read.extra == {"share_att_key": True, "norm_rel_ebd": "layer_norm"}
    assert not read.shares_position_projections
    assert not read.normalizes_table
    assert config(extra={"talking_head": True}).mixes_heads is False
    with pytest.raises(ConfigError, match="talking_head"):
        config(talking_head=True)
    with pytest.raises(ConfigError, match="position_buckets"):
        DebertaConfig(position_buckets=8)


@pytest.mark.parametrize("cls", [DebertaConfig, DebertaV2Config])
def test_the_class_follows_the_model_type(cls, tmp_path):
    made = cls(**SIZES, relative_attention=True)
    made.save_pretrained(tmp_path)
    read = AutoConfig.from_pretrained(tmp_path, hidden_dropout_prob=0.3)
    assert type(read) is cls
    assert read == made.replace(hidden_dropout_prob=0.3)
    assert AutoConfig.for_model(cls.model_type, **SIZES) == cls(**SIZES)
    other = DebertaConfig if cls is DebertaV2Config else DebertaV2Config
    with pytest.raises(ConfigError, match=rf"model_type='{cls.model_type}' is not '{other.model_type}'"):
        other.from_pretrained(tmp_path)


@pytest.mark.parametrize("values", [{"model_type": "bert"}, {"model_type": None}, {"model_type": ["deberta"]}])
def test_a_model_type_that_is_not_known(values, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.json: model_type=.* is unknown\. Use one of: deberta, deberta-v2"):
        AutoConfig.from_pretrained(tmp_path)


def test_errors_of_the_chooser(tmp_path):
    with pytest.raises(ConfigError, match=r"model_type='bert' is unknown"):
        AutoConfig.for_model("bert")
    with pytest.raises(ConfigError, match=r"config\.json does not exist"):
        AutoConfig.from_pretrained(tmp_path)
    config().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="no field hidden_dropout"):
        AutoConfig.from_pretrained(tmp_path, hidden_dropout=0.0)
