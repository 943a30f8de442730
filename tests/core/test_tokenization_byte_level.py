"""The v1 tokenizer: bytes, spaces, its files, and what it refuses."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deberta_core.errors import InputError, TokenizationError
from deberta_core.tokenization import DebertaTokenizer, DebertaTokenizerFast

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]"), max_size=40)


def plain(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False, verbose=False)


def test_layout_of_the_vocabulary(small_byte_tokenizer):
    assert small_byte_tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 499]) == [
        "[PAD]",
        "[CLS]",
        "[SEP]",
        "[UNK]",
        "[MASK]",
    ]
    assert (small_byte_tokenizer.vocab_size, len(small_byte_tokenizer)) == (500, 500)
    assert small_byte_tokenizer.convert_tokens_to_ids("no such token") == 3
    assert sorted(small_byte_tokenizer.get_vocab().values()) == list(range(500))


def test_the_fast_class_writes_tokenizer_json(small_byte_tokenizer, tmp_path):
    """As in transformers 4; both read it, and what they read is the same."""
    small_byte_tokenizer.save_pretrained(tmp_path)
    slow = DebertaTokenizer.from_pretrained(tmp_path)
    assert not slow.is_fast
    for options, written in (({}, False), ({"legacy_format": True}, False), ({"legacy_format": False}, True)):
        names = [Path(file).name for file in slow.save_pretrained(tmp_path / str(options), **options)]
        assert ("tokenizer.json" in names) == written
    fast = DebertaTokenizerFast.from_pretrained(tmp_path / "{}")
    assert (fast.is_fast, fast("The river")) == (True, slow("The river"))
    assert "tokenizer.json" in [Path(file).name for file in fast.save_pretrained(tmp_path / "fast")]
    for file in ("vocab.json", "merges.txt"):
        (tmp_path / "fast" / file).unlink()
    assert DebertaTokenizer.from_pretrained(tmp_path / "fast")("The river") == fast("The river")


def test_pairs_have_types(small_byte_tokenizer):
    a, b = plain(small_byte_tokenizer, "The river"), plain(small_byte_tokenizer, "is high")
    encoding = small_byte_tokenizer("The river", "is high")
    assert encoding.input_ids == [1, *a, 2, *b, 2]
    assert encoding.token_type_ids == [0] * (len(a) + 2) + [1] * (len(b) + 1)


def test_prefix_space(prose):
    tokenizer = DebertaTokenizer.train(prose, 500, add_prefix_space=True)
    assert plain(tokenizer, "river") == plain(tokenizer, " river")
    assert tokenizer.tokenize("river")[0].startswith("Ġ")
    assert tokenizer.decode(plain(tokenizer, "river")) == " river"


@pytest.mark.parametrize(
    ("errors", "text"), [("replace", "a\ufffd"), ("ignore", "a"), ("backslashreplace", "a\\xf0\\xa0")]
)
def test_bytes_that_make_no_character(prose, errors, text):
    tokenizer = DebertaTokenizer.train(prose, 300, errors=errors)
    assert tokenizer.decode(plain(tokenizer, "a𠮟")[:3]) == text


@settings(deadline=None)
@given(text=TEXTS)
def test_decoding_gives_the_text(small_byte_tokenizer, text):
    assert small_byte_tokenizer.decode(plain(small_byte_tokenizer, text)) == text


@settings(deadline=None)
@given(text=TEXTS)
def test_tokens_are_the_libraries(small_byte_tokenizer, text):
    judge = small_byte_tokenizer._subwords.pipeline
    assert plain(small_byte_tokenizer, text) == judge.encode(text).ids
    assert small_byte_tokenizer.tokenize(text) == judge.encode(text).tokens


def test_files_in_and_out(small_byte_tokenizer, prose, tmp_path):
    files = small_byte_tokenizer.save_pretrained(tmp_path / "all")
    assert sorted(file.rsplit("/", 1)[1] for file in files) == [
        *("merges.txt", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json", "vocab.json"),
    ]
    expected = small_byte_tokenizer(prose)
    for removed in ([], ["tokenizer.json"], ["vocab.json", "merges.txt"]):
        folder = tmp_path / "-".join(["some", *removed])
        small_byte_tokenizer.save_pretrained(folder)
        for file in removed:
            (folder / file).unlink()
        loaded = DebertaTokenizer.from_pretrained(folder)
        assert loaded(prose) == expected
        assert loaded.added_tokens_decoder == small_byte_tokenizer.added_tokens_decoder
        assert loaded.tokenize("a [MASK]") == [*loaded.tokenize("a"), "[MASK]"]
    assert [file.rsplit("/", 1)[1] for file in small_byte_tokenizer.save_vocabulary(tmp_path, "x")] == [
        *("x-vocab.json", "x-merges.txt", "x-tokenizer.json")
    ]


def test_tokenizer_json_says_whether_a_space_is_added(prose, tmp_path):
    DebertaTokenizerFast.train(prose, 300, add_prefix_space=True).save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()
    for file in ("vocab.json", "merges.txt"):
        (tmp_path / file).unlink()
    assert DebertaTokenizer.from_pretrained(tmp_path).add_prefix_space is True
    assert DebertaTokenizer.from_pretrained(tmp_path, add_prefix_space=False).tokenize("a") == ["a"]


def test_older_merges_are_read(small_byte_tokenizer, prose, tmp_path):
    small_byte_tokenizer.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    del content["model"]["type"]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert DebertaTokenizer.from_pretrained(tmp_path)(prose) == small_byte_tokenizer(prose)


def change_vocabulary(folder, change):
    content = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    change(content)
    (folder / "vocab.json").write_text(json.dumps(content))


BROKEN = [
    ("vocab.json", "{", r"vocab\.json cannot be read as JSON"),
    ("vocab.json", '{"a": "b"}', r"a='b' in \S+vocab\.json is not an id from 0"),
    ("vocab.json", '{"a": 0, "b": 7}', r"merges\.txt, line 2, is '.*': '.*' is not in vocab\.json"),
    ("merges.txt", "#version: 0.2\na b c\n", r"merges\.txt, line 2, is 'a b c': it is no pair of tokens"),
    ("merges.txt", "#version: 0.2\n[ M\n", r"merges\.txt, line 2, is '\[ M': '\[M' is not in vocab\.json"),
    ("merges.txt", b"\xff\xfe", r"merges\.txt cannot be read"),
]


@pytest.mark.parametrize(("file", "content", "message"), BROKEN)
def test_broken_files(small_byte_tokenizer, tmp_path, file, content, message):
    small_byte_tokenizer.save_pretrained(tmp_path)
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TokenizationError, match=message):
        DebertaTokenizer.from_pretrained(tmp_path)


def test_vocabularies_with_gaps_or_without_bytes(small_byte_tokenizer, tmp_path):
    small_byte_tokenizer.save_vocabulary(tmp_path)
    files = (tmp_path / "vocab.json", tmp_path / "merges.txt")
    change_vocabulary(tmp_path, lambda content: content.update({"[MASK]": 700}))
    with pytest.raises(
        TokenizationError, match=r"500 tokens but ids up to 700\. Ids must be 0, 1, 2, \.\.\. without gaps"
    ):
        DebertaTokenizer(*files)
    (tmp_path / "merges.txt").write_text("")
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1}')
    with pytest.raises(TokenizationError, match=r"lacks 254 of the 256 bytes, such as '!'"):
        DebertaTokenizer(*files)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"errors": "guess"}, r"errors='guess' is unknown\. Use one of: strict, replace"),
        ({"add_prefix_space": "no"}, r"add_prefix_space='no' is not a bool"),
        ({"split_by_punct": True}, r"option 'split_by_punct' is unknown\. Use one of: add_bos_token, add_prefix_space"),
        ({"vocab_size": 0}, r"vocab_size=0 is not a positive int"),
        ({"vocab_size": 260}, r"vocab_size=260 is too small: special tokens and bytes alone are 261"),
        ({"vocab_size": 9000}, r"vocab_size=9000 is too large for these texts, which give \d+ tokens"),
        ({"texts": "abc"}, r"texts is a str\. Give an iterable"),
        ({"texts": ["a", ["b", 5]]}, r"texts\[2\] is 5, of type int"),
    ],
)
def test_training_refuses(prose, options, message):
    with pytest.raises((InputError, TokenizationError), match=message):
        DebertaTokenizer.train(**{"texts": prose, "vocab_size": 300, **options})


def test_construction_needs_files():
    with pytest.raises(InputError, match=r"Files are missing\. Give vocab_file and merges_file, or tokenizer_file"):
        DebertaTokenizer()
