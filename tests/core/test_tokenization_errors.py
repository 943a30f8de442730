"""What tokenizers say about bad files, texts and options: one clear error each."""

import pickle
import sys

import numpy as np
import pytest

from deberta_core.errors import InputError, TokenizationError
from deberta_core.tokenization import AddedToken, DebertaV2Tokenizer

TEXTS = [
    (5, r"text is 5, of type int\. A text must be a str"),
    (None, r"text is None, of type NoneType"),
    (["a", "b", float("nan")], r"text\[2\] is nan, of type float"),
    ([["a", "b", "c"]], r"text\[0\] is \['a', 'b', 'c'\], of type list"),
    ([("a", 5)], r"text\[0\]\[1\] is 5, of type int"),
]
PAIRS = [
    ("a", 5, r"text_pair is 5, of type int"),
    (["a", "b"], ["c"], r"text is a batch of 2 texts but text_pair is 1 texts"),
    (["a"], "c", r"text is a batch of 1 texts but text_pair is str"),
    (["a"], [b"c"], r"text_pair\[0\] is b'c', of type bytes"),
]
OPTIONS = [
    ({"padding": "max"}, r"padding='max' is unknown\. Use one of: False, True, do_not_pad, longest, max_length"),
    ({"padding": None}, r"padding=None is unknown"),
    ({"truncation": "both"}, r"truncation='both' is unknown\..*longest_first, only_first, only_second"),
    ({"truncation": 1.5}, r"truncation=1\.5 is unknown"),
    ({"padding_side": "top"}, r"padding_side='top' is unknown\. Use one of: right, left"),
    ({"return_tensors": "jax"}, r"return_tensors='jax' is unknown\. Use one of: np, pt, tf"),
    ({"max_length": 0}, r"max_length=0 is not a positive int"),
    ({"max_length": 7.0}, r"max_length=7\.0 is not a positive int"),
    ({"pad_to_multiple_of": -8}, r"pad_to_multiple_of=-8 is not a positive int"),
    (
        {"padding": True, "truncation": True, "max_length": 30, "pad_to_multiple_of": 8},
        r"max_length=30 is not a multiple of pad_to_multiple_of=8.*Choose max_length=24",
    ),
    ({"truncation": True, "max_length": 2}, r"max_length=2 has no room for the 3 special tokens"),
    ({"truncation": "only_first", "max_length": 5}, r"truncation='only_first' cannot reach max_length=5: \d+ tokens"),
    ({"truncation": "only_second", "max_length": 5}, r"truncation='only_second' cannot reach max_length=5"),
]
CONSTRUCTION = [
    ({"do_lowercase": True}, r"option 'do_lowercase' is unknown\. Did you mean 'do_lower_case'\?"),
    ({"do_lower_case": "false"}, r"do_lower_case='false' is not a bool"),
    ({"clean_up_tokenization_spaces": 1}, r"clean_up_tokenization_spaces=1 is not a bool"),
    ({"padding_side": "top"}, r"padding_side='top' is unknown"),
    ({"truncation_side": None}, r"truncation_side=None is unknown"),
    ({"model_max_length": 0}, r"model_max_length=0 is not a positive int"),
    ({"model_max_length": "512"}, r"model_max_length='512' is not a positive int"),
    ({"sp_model_kwargs": {"nbest": 5}}, r"sp_model_kwargs=\{'nbest': 5\} is refused by SentencePiece: .*nbest"),
    ({"mask_token": ""}, r"content='' is no token"),
    ({"mask_token": 5}, r"holds 5, which is no token"),
    ({"added_tokens_decoder": {499: AddedToken("[MASK]")}}, r"'\[MASK\]' cannot be added with id 499: ids below 500"),
    ({"added_tokens_decoder": {500: AddedToken("[SEP]")}}, r"'\[SEP\]' has two ids, 2 and 500"),
    ({"added_tokens_decoder": {500: AddedToken("x!"), 501: AddedToken("x!")}}, r"'x!' has two ids, 500 and 501"),
]
BAD_JSON = [
    ("tokenizer_config.json", "{", r"tokenizer_config\.json cannot be read as JSON"),
    ("special_tokens_map.json", "[]", r"special_tokens_map\.json holds a JSON list"),
    ("tokenizer_config.json", '{"tokenizer_class": "BertTokenizer"}', r"holds a BertTokenizer, not a DebertaV2Token"),
    ("tokenizer_config.json", '{"added_tokens_decoder": []}', r"added_tokens_decoder=\[\] in .* is not an object"),
    ("tokenizer_config.json", '{"added_tokens_decoder": {"x": "[MASK]"}}', r"'x' is not an id"),
    (
        "tokenizer_config.json",
        '{"added_tokens_decoder": {"500": {}}}',
        r"added_tokens_decoder\.500=\{\} in \S+tokenizer_config\.json is not a token",
    ),
    ("special_tokens_map.json", '{"mask_token": 7}', r"mask_token=7 in \S+special_tokens_map\.json is not a token"),
    ("added_tokens.json", '{"[MASK]": "many"}', r"\[MASK\]='many' in \S+ is not an id"),
]
TRAINING = [
    (
        {"vocab_size": 100000},
        TokenizationError,
        r"vocab_size=100000 is too large for these texts, .* at most \d+ tokens",
    ),
    ({"vocab_size": 261}, TokenizationError, r"vocab_size=261 is too small: .* alone are \d+"),
    ({"vocab_size": 0}, InputError, r"vocab_size=0 is not a positive int"),
    ({"texts": []}, TokenizationError, r"texts hold nothing to train on"),
    ({"texts": [" "]}, TokenizationError, r"texts hold nothing to train on"),
    ({"texts": ["a", ["b", 5]]}, InputError, r"texts\[2\] is 5, of type int"),
    ({"texts": ["a\ud800"]}, TokenizationError, r"texts\[0\] holds the lone surrogate"),
    ({"texts": "abc"}, InputError, r"texts is a str\. Give an iterable"),
    ({"coverage": 1}, InputError, r"option 'coverage' is unknown\. .*character_coverage"),
    ({"character_coverage": 7}, TokenizationError, r"^SentencePiece cannot train: [^\n]*character_coverage[^\n]*$"),
]


@pytest.mark.parametrize(("text", "message"), TEXTS)
def test_texts_must_be_str(small_tokenizer, text, message):
    with pytest.raises(InputError, match=message):
        small_tokenizer(text)


@pytest.mark.parametrize(("text", "pair", "message"), PAIRS)
def test_pairs_must_match(small_tokenizer, text, pair, message):
    with pytest.raises(InputError, match=message):
        small_tokenizer(text, pair)


def test_tokenize_takes_one_text(small_tokenizer):
    with pytest.raises(InputError, match=r"text is \['a'\], of type list"):
        small_tokenizer.tokenize(["a"])


@pytest.mark.parametrize("text", ["ab\udc80", ["fine", "ab\udc80"]])
def test_lone_surrogates(small_tokenizer, text):
    with pytest.raises(TokenizationError, match=r"text(\[1\])? holds the lone surrogate '\\udc80' at character 2"):
        small_tokenizer(text)


@pytest.mark.parametrize(("options", "message"), OPTIONS)
def test_options_of_a_call(small_tokenizer, options, message):
    with pytest.raises(InputError, match=message):
        small_tokenizer("The river rises", "in the hills", **options)


def test_rows_of_different_lengths_make_no_array(small_tokenizer):
    with pytest.raises(InputError, match=r"input_ids has rows of 3 to \d+ tokens.*Pass padding=True"):
        small_tokenizer(["a", "The river rises"], return_tensors="np")


@pytest.mark.parametrize(("kind", "module", "extra"), [("pt", "torch", "torch"), ("tf", "tensorflow", "tf")])
def test_absent_framework_names_the_extra(small_tokenizer, monkeypatch, kind, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"return_tensors='{kind}' needs .*pip install 'deberta-dual\[{extra}\]'"):
        small_tokenizer("a", return_tensors=kind)


def test_padding_without_a_pad_token(small_tokenizer):
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, pad_token=None)
    assert tokenizer(["a", "b c"])
    with pytest.raises(InputError, match="the tokenizer has no pad_token"):
        tokenizer(["a", "b c"], padding=True)


def test_rows_without_a_cls_token(small_tokenizer):
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, cls_token=None, bos_token=None)
    with pytest.raises(InputError, match="The tokenizer has no cls_token"):
        tokenizer("a")


def test_pad_without_ids(small_tokenizer):
    with pytest.raises(InputError, match="input_ids is missing; the entries are: labels"):
        small_tokenizer.pad({"labels": [1]})
    with pytest.raises(InputError, match="input_ids is missing; the entries are: none"):
        small_tokenizer.pad([])


@pytest.mark.parametrize("index", [501, -1, -100, 2.0, "5"])
def test_ids_out_of_range(small_tokenizer, index):
    with pytest.raises(InputError, match=rf"id {index!r} is no id of this tokenizer\. Ids are int, 0 to 499"):
        small_tokenizer.decode([5, index])


def test_decode_takes_one_row(small_tokenizer):
    with pytest.raises(InputError, match=r"decode takes one row of ids, but got a batch\. Use batch_decode"):
        small_tokenizer.decode(np.array([[5, 6]]))


def test_encoding_names_its_entries(small_tokenizer):
    with pytest.raises(AttributeError, match=r"no 'logits'. It holds: input_ids, token_type_ids, attention_mask"):
        _ = small_tokenizer("a").logits


@pytest.mark.parametrize(("options", "message"), CONSTRUCTION)
def test_options_of_the_constructor(small_tokenizer, options, message):
    with pytest.raises((InputError, TokenizationError), match=message):
        DebertaV2Tokenizer(small_tokenizer.serialized_model, **options)


@pytest.mark.parametrize("cut", [0, 1, 100, 5000, -1])
def test_broken_vocabulary(small_tokenizer, tmp_path, cut, capfd):
    (tmp_path / "spm.model").write_bytes(small_tokenizer.serialized_model[:cut])
    with pytest.raises(TokenizationError, match=r"spm\.model is no SentencePiece model: its \d+ bytes are cut off"):
        DebertaV2Tokenizer.from_pretrained(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no model" * 99, r"spm\.model is no SentencePiece model"),
        (b"version https://git-lfs.github.com/spec/v1\n", r"spm\.model is a Git LFS pointer.* git lfs pull"),
    ],
)
def test_foreign_vocabulary(tmp_path, content, message):
    (tmp_path / "spm.model").write_bytes(content)
    with pytest.raises(TokenizationError, match=message):
        DebertaV2Tokenizer.from_pretrained(tmp_path)


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(TokenizationError, match=r"nowhere is not a folder\. .*reads one that holds spm\.model"):
        DebertaV2Tokenizer.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(TokenizationError, match=r"has no spm\.model, which .* needs\. It holds: readme\.txt"):
        DebertaV2Tokenizer.from_pretrained(tmp_path)
    with pytest.raises(TokenizationError, match=r"nowhere does not exist\. Give the path of an spm\.model"):
        DebertaV2Tokenizer(tmp_path / "nowhere")


@pytest.mark.parametrize(("file", "content", "message"), BAD_JSON)
def test_broken_json(small_tokenizer, tmp_path, file, content, message):
    small_tokenizer.save_vocabulary(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(TokenizationError, match=message):
        DebertaV2Tokenizer.from_pretrained(tmp_path)


def test_overrides_are_checked(small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="option 'do_lowercase' is unknown"):
        DebertaV2Tokenizer.from_pretrained(tmp_path, do_lowercase=True)


def test_saving_into_a_file(small_tokenizer, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(TokenizationError, match="file cannot be made"):
        small_tokenizer.save_pretrained(tmp_path / "file")


@pytest.mark.parametrize(("changes", "error", "message"), TRAINING)
def test_training(prose, changes, error, message):
    with pytest.raises(error, match=message) as caught:
        DebertaV2Tokenizer.train(**{"texts": prose, "vocab_size": 400, **changes})
    assert "\n" not in str(caught.value)


def test_errors_of_the_callers_iterator_pass(prose):
    def texts():
        yield prose[0]
        raise KeyError("the caller's")

    with pytest.raises(KeyError, match="the caller's"):
        DebertaV2Tokenizer.train(texts(), 400)


def test_a_broken_pickle_is_an_error(small_tokenizer):
    model = small_tokenizer.serialized_model
    broken = pickle.dumps(small_tokenizer).replace(model, b"x" * len(model))
    with pytest.raises(TokenizationError, match="The pickled tokenizer is no SentencePiece model"):
        pickle.loads(broken)
