"""Folders of tokenizers: as transformers 4 and 5 save them, with tokenizer.json alone, and contradictory ones."""

import json
import shutil

import pytest
import tokenizers

from deberta_core import AutoTokenizer
from deberta_core.errors import InputError, TokenizationError
from deberta_core.tokenization import (
    AddedToken,
    DebertaTokenizer,
    DebertaTokenizerFast,
    DebertaV2Tokenizer,
    DebertaV2TokenizerFast,
)

TEXTS = ["The river rises [MASK] in the hills.", "a newword <e>x</e> b", "L'été; 1,204 people ㍿ 𠮟"]


@pytest.fixture(scope="module", params=["v1", "v2"])
def changed(request, prose):
    """A tokenizer with tokens of every kind beyond the vocabulary."""
    tokenizer = {"v1": DebertaTokenizerFast, "v2": DebertaV2TokenizerFast}[request.param].train(prose, 500)
    tokenizer.add_tokens(["newword"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<e>", AddedToken("</e>", lstrip=True)]})
    return tokenizer


@pytest.fixture
def folder(changed, tmp_path):
    changed.save_pretrained(tmp_path)
    return tmp_path


def read(file):
    return json.loads(file.read_text(encoding="utf-8"))


def rewrite(file, **changes):
    content = {name: value for name, value in {**read(file), **changes}.items() if value is not None}
    file.write_text(json.dumps(content), encoding="utf-8")


def assert_same(loaded, changed):
    assert type(loaded) is type(changed)
    assert loaded(TEXTS) == changed(TEXTS)
    assert loaded.added_tokens_decoder == changed.added_tokens_decoder
    assert loaded.special_tokens_map == changed.special_tokens_map
    assert loaded.batch_decode(loaded(TEXTS).input_ids) == changed.batch_decode(changed(TEXTS).input_ids)


def defined_by(file, texts):
    """The ids that the tokenizers library gives, without special tokens around them."""
    library = tokenizers.Tokenizer.from_file(str(file))
    library.no_truncation()
    return [encoding.ids for encoding in library.encode_batch(texts, add_special_tokens=False)]


def test_saved_by_transformers_4(folder, changed):
    """tokenizer_config.json holds the added tokens; the class is named without Fast."""
    assert "added_tokens_decoder" in read(folder / "tokenizer_config.json")
    rewrite(folder / "tokenizer_config.json", extra_special_tokens={}, add_bos_token=False)
    assert_same(AutoTokenizer.from_pretrained(folder), changed)


def test_saved_by_older_transformers_4(folder, changed):
    """The other two files and tokenizer.json hold the added tokens."""
    rewrite(folder / "tokenizer_config.json", added_tokens_decoder=None, additional_special_tokens=None)
    assert_same(AutoTokenizer.from_pretrained(folder), changed)


def test_saved_by_transformers_5(folder, changed):
    """tokenizer.json and names of the special tokens are all there is; the ids are what that file defines."""
    for file in folder.iterdir():
        if file.name not in ("tokenizer.json", "tokenizer_config.json"):
            file.unlink()
    rewrite(
        folder / "tokenizer_config.json",
        added_tokens_decoder=None,
        additional_special_tokens=None,
        extra_special_tokens=["<e>", "</e>"],
        backend="tokenizers",
        is_local=True,
    )
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded(TEXTS, add_special_tokens=False).input_ids == defined_by(folder / "tokenizer.json", TEXTS)
    assert loaded.added_tokens_decoder == changed.added_tokens_decoder
    assert loaded.special_tokens_map == changed.special_tokens_map
    loaded.save_pretrained(folder / "again")
    assert_same(AutoTokenizer.from_pretrained(folder / "again"), loaded)
    assert "backend" not in read(folder / "again" / "tokenizer_config.json")


def test_vocabulary_alone(folder, changed):
    for file in folder.glob("*.json"):
        if file.name != "vocab.json":
            file.unlink()
    loaded = type(changed).from_pretrained(folder)
    assert loaded(TEXTS[0]) == changed(TEXTS[0])


@pytest.mark.parametrize("options", [{}, {"do_lower_case": True, "split_by_punct": True}])
def test_tokenizer_json_alone_in_v2(small_tokenizer, prose, tmp_path, options):
    fast = DebertaV2TokenizerFast(small_tokenizer.serialized_model, **options)
    fast.save_pretrained(tmp_path)
    (tmp_path / "spm.model").unlink()
    described = DebertaV2TokenizerFast.from_pretrained(tmp_path)
    assert described(prose) == fast(prose)
    assert described(prose, return_offsets_mapping=True) == fast(prose, return_offsets_mapping=True)
    decoded = fast.batch_decode(fast(prose).input_ids, skip_special_tokens=True)
    assert described.batch_decode(fast(prose).input_ids, skip_special_tokens=True) == decoded
    with pytest.raises(TokenizationError, match=r"made of a tokenizer\.json, which holds no spm\.model"):
        _ = described.serialized_model
    retrained = described.train_new_from_iterator(prose, 400)
    assert (retrained.vocab_size, retrained.do_lower_case) == (400, bool(options))


def test_post_processor_of_the_file_is_not_used(folder, changed):
    """Files of transformers 5 hold a template for v1 that no model was trained with."""
    for file in ("spm.model", "vocab.json", "merges.txt"):
        (folder / file).unlink(missing_ok=True)
    rewrite(folder / "tokenizer.json", post_processor=None, truncation={"max_length": 3, "stride": 0,
        "strategy": "LongestFirst", "direction": "Right"})  # fmt: skip
    first, second = defined_by(folder / "tokenizer.json", TEXTS[:2])
    loaded = AutoTokenizer.from_pretrained(folder)
    cls, sep = loaded.cls_token_id, loaded.sep_token_id
    assert loaded(*TEXTS[:2]).input_ids == [cls, *first, sep, *second, sep]


# --- choosing the class ---


def test_class_is_chosen(small_tokenizer, small_byte_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path / "v2")
    small_byte_tokenizer.save_pretrained(tmp_path / "v1")
    assert type(AutoTokenizer.from_pretrained(tmp_path / "v1")) is DebertaTokenizerFast
    assert type(AutoTokenizer.from_pretrained(tmp_path / "v2")) is DebertaV2TokenizerFast
    assert type(AutoTokenizer.from_pretrained(tmp_path / "v2", use_fast=False)) is DebertaV2Tokenizer
    assert AutoTokenizer.from_pretrained(tmp_path / "v2", model_max_length=9).model_max_length == 9
    for name, model_type, cls in (
        ("v1", "deberta", DebertaTokenizerFast),
        ("v2", "deberta-v2", DebertaV2TokenizerFast),
    ):
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": model_type}))
        rewrite(tmp_path / name / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
        assert type(AutoTokenizer.from_pretrained(tmp_path / name)) is cls
        (tmp_path / name / "tokenizer_config.json").unlink()
        assert type(AutoTokenizer.from_pretrained(tmp_path / name)) is cls


def test_class_that_cannot_be_chosen(small_tokenizer, tmp_path):
    small_tokenizer.save_vocabulary(tmp_path)
    with pytest.raises(TokenizationError, match=r"does not say which tokenizer it holds.*DebertaTokenizer for v1"):
        AutoTokenizer.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(TokenizationError, match=r"tokenizer='bert' is unknown\. Use one of: DebertaTokenizer, "):
        AutoTokenizer.from_pretrained(tmp_path)


# --- folders that are refused ---


def word_piece(folder):
    rewrite(folder / "tokenizer.json", model={"type": "WordPiece", "vocab": {}, "unk_token": "[UNK]"})


def no_model(folder):
    rewrite(folder / "tokenizer.json", model=None)


def other_vocabulary(folder):
    model = read(folder / "tokenizer.json")["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {token.replace("Ġthe", "Ġeht"): index for token, index in model["vocab"].items()}
    else:
        model["vocab"] = [[token.replace("▁the", "▁eht"), score] for token, score in model["vocab"]]
    rewrite(folder / "tokenizer.json", model=model)


def other_id(folder):
    tokens = read(folder / "tokenizer.json")["added_tokens"]
    rewrite(folder / "tokenizer.json", added_tokens=[{**token, "content": token["content"] + "!"} for token in tokens])


def no_added_token(folder):
    rewrite(folder / "tokenizer.json", added_tokens=["[MASK]"])


def both_vocabularies(folder):
    (folder / ("spm.model" if (folder / "vocab.json").exists() else "vocab.json")).write_text("{}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            word_piece,
            r"tokenizer\.json holds a WordPiece model, but Deberta\w+ needs (BPE|Unigram or BPE)\. Choose the class",
        ),
        (no_model, r"tokenizer\.json has no model\.|model=None in \S+tokenizer\.json is not an object"),
        (
            other_vocabulary,
            r"tokenizer\.json and (vocab\.json|spm\.model) beside it are of two tokenizers: id \d+ differs",
        ),
        (other_id, r"id 0 is '\[PAD\]!' in tokenizer\.json, but '\[PAD\]' in the files beside it"),
        (no_added_token, r"added_tokens\[\d+\]='\[MASK\]' in \S+tokenizer\.json is not an object"),
        (
            both_vocabularies,
            r"holds (vocab\.json|spm\.model), of another tokenizer than Deberta\w+, beside .*Choose the",
        ),
    ],
)
def test_contradictions_are_refused(folder, change, message):
    change(folder)
    with pytest.raises(TokenizationError, match=message):
        AutoTokenizer.from_pretrained(folder)


def test_other_merges_are_refused(small_byte_tokenizer, tmp_path):
    small_byte_tokenizer.save_pretrained(tmp_path)
    lines = (tmp_path / "merges.txt").read_text(encoding="utf-8").split("\n")
    (tmp_path / "merges.txt").write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]), encoding="utf-8")
    with pytest.raises(TokenizationError, match=r"tokenizer\.json and merges\.txt beside it have different merges"):
        DebertaTokenizer.from_pretrained(tmp_path)


def test_the_wrong_class_is_refused(small_tokenizer, small_byte_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path / "v2")
    small_byte_tokenizer.save_pretrained(tmp_path / "v1")
    with pytest.raises(
        TokenizationError, match=r"holds spm\.model, of another tokenizer than DebertaTokenizer\. Choose"
    ):
        DebertaTokenizer.from_pretrained(tmp_path / "v2")
    with pytest.raises(TokenizationError, match=r"holds merges\.txt, vocab\.json, of another tokenizer"):
        DebertaV2Tokenizer.from_pretrained(tmp_path / "v1")
    for file in ("vocab.json", "merges.txt"):
        (tmp_path / "v1" / file).unlink()
    with pytest.raises(TokenizationError, match=r"holds a BPE model, but DebertaV2TokenizerFast needs Unigram"):
        DebertaV2TokenizerFast.from_pretrained(tmp_path / "v1")
    with pytest.raises(TokenizationError, match=r"has no spm\.model.*DebertaV2TokenizerFast reads tokenizer\.json"):
        DebertaV2Tokenizer.from_pretrained(tmp_path / "v1")


def test_options_that_contradict_a_tokenizer_json(small_fast_tokenizer, tmp_path):
    small_fast_tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    with pytest.raises(TokenizationError, match=r"do_lower_case=True contradicts .*whose normalizer has no Lowercase"):
        DebertaV2TokenizerFast(tokenizer_file=file, do_lower_case=True)
    with pytest.raises(TokenizationError, match=r"split_by_punct=True contradicts .*whose pre_tokenizer has no Punct"):
        DebertaV2TokenizerFast(tokenizer_file=file, split_by_punct=True)
    with pytest.raises(InputError, match=r"sp_model_kwargs=\{'alpha': 1\} needs spm\.model"):
        DebertaV2TokenizerFast(tokenizer_file=file, sp_model_kwargs={"alpha": 1})
    with pytest.raises(InputError, match=r"vocab_file and tokenizer_file are both None"):
        DebertaV2TokenizerFast()


def test_a_bpe_of_characters_is_refused(small_byte_tokenizer, tmp_path):
    small_byte_tokenizer.save_pretrained(tmp_path)
    rewrite(tmp_path / "tokenizer.json", pre_tokenizer={"type": "Whitespace"})
    with pytest.raises(TokenizationError, match=r"holds a BPE of characters, but DebertaTokenizer needs one of bytes"):
        DebertaTokenizer(tokenizer_file=tmp_path / "tokenizer.json")
    rewrite(tmp_path / "tokenizer.json", pre_tokenizer={"type": "ByteLevel", "bad": 1})
    with pytest.raises(TokenizationError, match=r"is refused by the tokenizers library: .*written by the tokenizers"):
        DebertaTokenizer(tokenizer_file=tmp_path / "tokenizer.json")


def test_published_folders_load_by_themselves(shared, tmp_path):
    """As they are, they say their class only in v3; the config.json of a checkpoint does the rest."""
    data = shared / "data"
    assert type(AutoTokenizer.from_pretrained(data / "deberta_v3_tokenizer")) is DebertaV2TokenizerFast
    shutil.copytree(data / "deberta_v1_tokenizer", tmp_path / "v1")
    (tmp_path / "v1" / "config.json").write_text('{"model_type": "deberta"}')
    assert type(AutoTokenizer.from_pretrained(tmp_path / "v1")) is DebertaTokenizerFast
