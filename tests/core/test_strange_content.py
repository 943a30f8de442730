"""JSON files, vocabularies and arguments with strange content: always one of our errors, which names the place."""

import base64
import contextlib
import json
import struct

import pytest

from deberta_core import AutoConfig, AutoTokenizer, DebertaV2Config, DebertaV2Tokenizer
from deberta_core.checkpoint import open_weights, save_weights
from deberta_core.errors import ConfigError, DebertaError, InputError, TokenizationError, WeightError
from deberta_core.json_shape import FLAG, NUMBER, TEXT, integer, list_of, map_of, record
from deberta_core.tokenization import AddedToken, DebertaTokenizer

MANY_DIGITS = "1" + "0" * 400
DEEP = "[" * 90 + "]" * 90


# Shapes


@pytest.mark.parametrize(
    ("shape", "value", "message"),
    [
        (TEXT, 1, None),
        (record({"a": TEXT}), {"a": "x", "b": 5}, ""),
        (record({"a": TEXT}), {"b": 5}, "FILE has no a"),
        (record({"a": record({"b": list_of(integer(0, 9))})}), {"a": {"b": [1, 10]}}, "a.b[1]=10 in FILE is not an"),
        (record({}, {"a": FLAG}), {"a": 1}, "a=1 in FILE is not true or false"),
        (record({}, {"a": FLAG}), {}, ""),
        (map_of(NUMBER), {"x y": float("nan")}, "x y=nan in FILE is not a finite number"),
        (map_of(NUMBER), {"x": True}, "x=True in FILE is not a finite number"),
        (map_of(NUMBER), {"x": int(MANY_DIGITS)}, "is not a finite number"),
        (list_of(TEXT), ["a", ["a"]], "[1]=['a'] in FILE is not a string"),
        (map_of(TEXT), [], "FILE is not an object"),
    ],
)
def test_shapes(shape, value, message):
    found = shape(value)
    if message == "":
        assert found is None
    else:
        assert (message or "FILE is not a string") in found.describe("FILE")


# config.json


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("hidden_dropout_prob", MANY_DIGITS),
        ("layer_norm_eps", MANY_DIGITS),
        ("hidden_size", MANY_DIGITS),
        ("label2id", '{"a": 1e999}'),
        ("label2id", '{"a": [1]}'),
        ("label2id", "[1]"),
        ("id2label", "[1]"),
        ("id2label", '{"1e999": "a"}'),
        ("hidden_act", "[1]"),
        ("hidden_act", DEEP),
        ("problem_type", "[1]"),
        ("pos_att_type", '[["c2p"]]'),
        ("norm_rel_ebd", "[1]"),
        ("pruned_heads", "[1]"),
        ("pruned_heads", '{"0": ' + MANY_DIGITS + "}"),
        ("model_type", DEEP),
        ("num_labels", "1e999"),
    ],
)
def test_a_field_of_a_configuration(tmp_path, field, text):
    content = json.dumps(DebertaV2Config().to_dict() | {field: "HERE"}).replace('"HERE"', text)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=rf"config\.json.*{field}"):
        AutoConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"hidden_size": 10**5000},
        {"hidden_act": ["gelu"] * 10},
        {"extra": 5},
        {"extra": {5: 1}},
        {"id2label": {0: object()}, "label2id": {"a": object()}},
        {"pruned_heads": {0: 5}},
    ],
)
def test_a_field_as_an_argument(fields):
    with pytest.raises(ConfigError):
        DebertaV2Config(**fields)


@pytest.mark.parametrize("values", [5, [1], {5: 1}, None])
def test_a_dictionary_that_is_none(values):
    with pytest.raises(ConfigError):
        DebertaV2Config.from_dict(values)


# Paths


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", 5, b"x"])
def test_a_path_that_is_none(path):
    for read in (AutoConfig.from_pretrained, AutoTokenizer.from_pretrained):
        with pytest.raises(DebertaError):
            read(path)


def test_an_error_of_the_system_keeps_its_number(tmp_path):
    with pytest.raises(ConfigError, match="does not exist") as caught:
        AutoConfig.from_pretrained(tmp_path)
    assert caught.value.errno == 2
    assert "[Errno" not in str(caught.value)
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match="Is a directory") as caught:
        AutoConfig.from_pretrained(tmp_path)
    assert "[Errno" not in str(caught.value)


def test_a_long_name_of_a_shard(tmp_path, small_config):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "x" * 300}}))
    with pytest.raises(WeightError, match=r"index\.json names 'xxx.*300 bytes, and at most 255"):
        open_weights(tmp_path, small_config)


# Tokenizer files


@pytest.fixture
def v2(small_fast_tokenizer, tmp_path):
    """The folder of a tokenizer.json without an spm.model."""
    small_fast_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "spm.model").unlink()
    return tmp_path


def change(folder, name, *path, text):
    """Replaces the value at a path of a JSON file by a text."""
    file = folder / name
    content = json.loads(file.read_text()) if file.exists() else {}
    holder = content
    for step in path[:-1]:
        holder = holder[step]
    if isinstance(holder, list) and path[-1] == len(holder):
        holder.append(None)
    holder[path[-1]] = "HERE"
    file.write_text(json.dumps(content).replace('"HERE"', text))


def charsmap(content):
    return json.dumps({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(content).decode()})


TOKENIZER_JSON = [
    (("model", "vocab", 5), "1.5", r"vocab\[5\]=1\.5 in \S+tokenizer\.json is not"),
    (("model", "vocab"), "5", "vocab=5 in"),
    (("model", "vocab", 7), "[]", r"vocab\[7\]=\[\] in"),
    (("model", "vocab", 7), '{"a":"x","b":1}', r"vocab\[7\]={'a': 'x', 'b': 1} in"),
    (("model", "vocab", 7), '["a", 1e999]', r"vocab\[7\]=\['a', inf\] in"),
    (("model", "vocab"), '{"a": 4294967296}', r"vocab\.a=4294967296 in"),
    (("model", "merges"), '["a"]', r"merges\[0\]='a' in"),
    (("model", "merges"), '[["a"]]', r"merges\[0\]=\['a'\] in"),
    (("model", "merges"), '["a b c"]', r"merges\[0\]='a b c' in"),
    (("model", "type"), "[]", r"model\.type=\[\] in"),
    (("model", "unk_id"), "-1", "unk_id=-1 in"),
    (("added_tokens",), "5", "added_tokens=5 in"),
    (("added_tokens", 0, "id"), "-5", r"added_tokens\[0\]\.id=-5 in"),
    (("added_tokens", 0, "id"), "1000000000", r"added_tokens\[0\]\.id=1000000000 in"),
    (("added_tokens", 0, "id"), "1" + "0" * 30, r"added_tokens\[0\]\.id=10+ in"),
    (("added_tokens", 0, "id"), "true", r"added_tokens\[0\]\.id=True in"),
    (("added_tokens", 0, "content"), '""', r"added_tokens\[0\]\.content='' in"),
    (("added_tokens", 0, "lstrip"), '"yes"', r"added_tokens\[0\]\.lstrip='yes' in"),
    (("normalizer",), "5", "normalizer=5 in"),
    (("normalizer",), "{}", "has no type"),
    (("normalizer", "normalizers"), '{"a": 1}', "normalizers={'a': 1} in"),
    (("pre_tokenizer", "pretokenizers"), "[5]", r"pretokenizers\[0\]=5 in"),
    (("decoder",), '"x"', "decoder='x' in"),
    (("normalizer",), '{"type": "Precompiled", "precompiled_charsmap": 1}', "precompiled_charsmap=1 in"),
    (("normalizer",), '{"type": "Precompiled", "precompiled_charsmap": "AAAAAAAA"}', "map of characters is damaged"),
    (("normalizer",), '{"type": "Precompiled", "precompiled_charsmap": "?"}', r"tokenizer\.json"),
    (("normalizer",), charsmap(struct.pack("<257I", 1024, *[2**31 - 1 - 512] * 256) + b"\0"), "leads outside"),
    (("normalizer",), charsmap(struct.pack("<257I", 1024, *[2**32 - 1] * 256) + b"\0"), "leads outside"),
    (("normalizer",), '{"type": "Replace", "pattern": 5, "content": "a"}', "pattern=5 in"),
    (("normalizer",), '{"type": "Unknown"}', "is refused by the tokenizers library"),
    (("model",), DEEP, "model=.* in"),
]


@pytest.mark.parametrize(("path", "text", "message"), TOKENIZER_JSON)
def test_tokenizer_json(v2, path, text, message):
    change(v2, "tokenizer.json", *path, text=text)
    with pytest.raises(TokenizationError, match=message):
        AutoTokenizer.from_pretrained(v2)("ab é")


def test_an_expression_that_goes_back_for_ever(v2):
    """The library panics where an expression takes too many steps: that is not even an Exception."""
    part = '{"type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "Isolated", "invert": false}'
    change(v2, "tokenizer.json", "pre_tokenizer", text=part)
    tokenizer = AutoTokenizer.from_pretrained(v2)
    for call in (tokenizer, tokenizer.tokenize, lambda text: tokenizer(text, return_offsets_mapping=True)):
        with pytest.raises(TokenizationError, match="The rules of the tokenizer fail for a text"):
            call("a" * 60 + "b")


SETTINGS = [
    ("tokenizer_config.json", ("model_max_length",), "1e999"),
    ("tokenizer_config.json", ("model_max_length",), "[]"),
    ("tokenizer_config.json", ("padding_side",), "[]"),
    ("tokenizer_config.json", ("do_lower_case",), "1"),
    ("tokenizer_config.json", ("tokenizer_class",), "[]"),
    ("tokenizer_config.json", ("sp_model_kwargs",), "5"),
    ("tokenizer_config.json", ("mask_token",), "5"),
    ("tokenizer_config.json", ("mask_token",), '{"content": "x", "lstrip": 1}'),
    ("tokenizer_config.json", ("additional_special_tokens",), "5"),
    ("tokenizer_config.json", ("additional_special_tokens",), DEEP),
    ("tokenizer_config.json", ("extra_special_tokens",), "5"),
    ("tokenizer_config.json", ("extra_special_tokens",), "[[]]"),
    ("tokenizer_config.json", ("added_tokens_decoder",), '{"-5": "x"}'),
    ("tokenizer_config.json", ("added_tokens_decoder",), '{"1000000000": "x"}'),
    ("tokenizer_config.json", ("added_tokens_decoder",), '{"1' + "0" * 30 + '": "x"}'),
    ("tokenizer_config.json", ("added_tokens_decoder",), '{"\u0664": "x"}'),
    ("special_tokens_map.json", ("cls_token",), "[]"),
    ("special_tokens_map.json", ("additional_special_tokens",), '"x"'),
    ("special_tokens_map.json", ("additional_special_tokens",), DEEP),
    ("added_tokens.json", ("x",), "-5"),
    ("added_tokens.json", ("x",), "1000000000"),
    ("added_tokens.json", ("x",), "1" + "0" * 30),
    ("added_tokens.json", ("x",), "1.5"),
]


@pytest.mark.parametrize(("file", "path", "text"), SETTINGS)
def test_settings(small_tokenizer, tmp_path, file, path, text):
    small_tokenizer.save_pretrained(tmp_path)
    change(tmp_path, file, *path, text=text)
    with pytest.raises(TokenizationError, match=rf"{path[-1]}|wrong key.*is not an id"):
        DebertaV2Tokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("number", ["4294967296", "-1", "1.0", "true", "null", "1" + "0" * 30])
def test_ids_of_a_vocabulary(small_byte_tokenizer, tmp_path, number):
    small_byte_tokenizer.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    change(tmp_path, "vocab.json", "zzz", text=number)
    with pytest.raises(TokenizationError, match=r"zzz=\S+ in \S+vocab\.json is not an id"):
        DebertaTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"additional_special_tokens": 5},
        {"additional_special_tokens": "abc"},
        {"additional_special_tokens": [[]]},
        {"additional_special_tokens": ["a\ud800"]},
        {"added_tokens_decoder": 5},
        {"added_tokens_decoder": {"a": AddedToken("x")}},
        {"added_tokens_decoder": {600: 5}},
        {"added_tokens_decoder": {-5: AddedToken("x")}},
        {"added_tokens_decoder": {10**9: AddedToken("x")}},
        {"added_tokens_decoder": {10**30: AddedToken("x")}},
        {"mask_token": ["x"]},
        {"model_max_length": float("inf")},
        {"model_max_length": float("nan")},
        {"padding_side": []},
        {"sp_model_kwargs": 5},
        {"sp_model_kwargs": {"nbest_size": 10**30}},
        {"sp_model_kwargs": {"num_threads": 10**6}},
        {"sp_model_kwargs": {"alpha": "x"}},
        {"sp_model_kwargs": {"enable_sampling": True, "nbest_size": 10**9}},
        {"sp_model_kwargs": {5: 1}},
        {"sp_model_kwargs": {"model_file": "x"}},
    ],
)
def test_options_of_a_constructor(small_tokenizer, options):
    with pytest.raises((InputError, TokenizationError)):
        DebertaV2Tokenizer(small_tokenizer.serialized_model, **options)


@pytest.mark.parametrize("options", [{"padding": []}, {"truncation": {}}, {"padding_side": []}, {"max_length": 10**30}])
def test_options_of_a_call(small_tokenizer, options):
    with pytest.raises(InputError):
        small_tokenizer("a b", **{"padding": "max_length", **options})


# spm.model


def message(*fields):
    """A message of Protocol Buffers: pairs of a field's number, and bytes or an int."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(varint(number << 3) + varint(value))
        else:
            parts.append(varint(number << 3 | 2) + varint(len(value)) + value)
    return b"".join(parts)


def varint(value):
    value %= 1 << 64
    out = []
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.parametrize(
    "added",
    [
        message((1, message((1, b"\xff\xfe"), (3, 1)))),  # a piece that is no UTF-8
        message((1, message((1, b"<0xZZ>"), (3, 6)))),  # a byte that is none
        message((1, message((1, "▁byte".encode()), (3, 6)))),
        message((2, message((40, 10**6)))),  # ids of the unknown piece out of range
        message((2, message((40, -1)))),
        message((3, message((2, struct.pack("<257I", 1024, *[2**31 - 1 - 512] * 256) + b"\0")))),
        message((3, message((2, struct.pack("<257I", 1024, *[0] * 256) + b"a" * 100_000 + b"\0")))),
        message((3, message((2, b"AAAAAAA")))),
    ],
)
def test_vocabularies_of_sentencepiece(small_tokenizer, tmp_path, added, capfd):
    """They are refused, or they work."""
    (tmp_path / "spm.model").write_bytes(small_tokenizer.serialized_model + added)
    with contextlib.suppress(TokenizationError):
        tokenizer = DebertaV2Tokenizer.from_pretrained(tmp_path)
        ids = tokenizer("The river 東京", return_offsets_mapping=True)["input_ids"]
        assert tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        tokenizer.decode(ids)
    assert capfd.readouterr() == ("", "")


def test_a_shard_that_leads_nowhere(tmp_path, small_config, random_weights):
    save_weights(tmp_path, small_config, None, random_weights(small_config, None), "safetensors", "2KB")
    change(tmp_path, "model.safetensors.index.json", "weight_map", "x", text='[""]')
    with pytest.raises(WeightError, match=r"weight_map\.x=\[''\] in \S+index\.json is not a string"):
        open_weights(tmp_path, small_config)
