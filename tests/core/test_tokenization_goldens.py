"""The published v3 vocabulary: ids, tokens and decoded text equal those of transformers 4.57.1's slow tokenizer."""

import json
from pathlib import Path
from typing import Any

import pytest

from deberta_core.tokenization import DebertaV2Tokenizer

VARIANTS = {"v3-slow": {}, "v3-slow-lower-punct": {"do_lower_case": True, "split_by_punct": True}}


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest, shared: Path) -> tuple[str, DebertaV2Tokenizer]:
    options: dict[str, Any] = VARIANTS[request.param]
    return request.param, DebertaV2Tokenizer.from_pretrained(shared / "data" / "deberta_v3_tokenizer", **options)


@pytest.fixture(scope="module")
def published(shared: Path) -> DebertaV2Tokenizer:
    return DebertaV2Tokenizer.from_pretrained(shared / "data" / "deberta_v3_tokenizer")


def read_rows(shared: Path, name: str) -> list[dict[str, Any]]:
    lines = (shared / "goldens" / "tokens" / name).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert rows
    return rows


def test_single_texts_agree(variant, shared):
    name, tokenizer = variant
    for row in read_rows(shared, f"{name}.jsonl"):
        assert tokenizer(row["text"]).input_ids == row["input_ids"], row["text"]
        assert ["[CLS]", *tokenizer.tokenize(row["text"]), "[SEP]"] == row["tokens"], row["text"]
        assert tokenizer.convert_ids_to_tokens(row["input_ids"]) == row["tokens"]
        decoded = tokenizer.decode(row["input_ids"], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert decoded == row["decoded"]


def test_one_batch_agrees(variant, shared):
    name, tokenizer = variant
    rows = read_rows(shared, f"{name}.jsonl")
    assert tokenizer([row["text"] for row in rows]).input_ids == [row["input_ids"] for row in rows]


def test_pairs_agree(variant, shared):
    name, tokenizer = variant
    for row in read_rows(shared, f"{name}.pairs.jsonl"):
        encoding = tokenizer(row["text"], row["text_pair"], **row["options"])
        expected = {column: row[column] for column in ("input_ids", "token_type_ids", "attention_mask")}
        assert encoding == expected, (row["text"], row["text_pair"], row["options"])


def test_published_ids(published):
    names = ("pad_token", "cls_token", "sep_token", "unk_token", "mask_token", "bos_token", "eos_token")
    assert [getattr(published, f"{name}_id") for name in names] == [0, 1, 2, 3, 128000, 1, 2]
    assert (published.vocab_size, len(published)) == (128000, 128001)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a[MASK]b", ["▁a", "[MASK]", "▁b"]),
        ("a [MASK] b", ["▁a", "[MASK]", "▁b"]),
        ("[CLS][SEP]", ["[CLS]", "[SEP]"]),
        ("[mask]", ["▁[", "mask", "]"]),
        ("\x00x", ["▁", "<0x00>", "x"]),
        ("", []),
    ],
)
def test_special_tokens_in_text(published, text, tokens):
    assert published.tokenize(text) == tokens


def test_decoding_cleans_up_as_the_published_files_say(published):
    ids = published("It 's here , is n't it ?").input_ids
    assert published.decode(ids) == "[CLS] It's here, isn't it?[SEP]"
    assert published.decode(ids, clean_up_tokenization_spaces=False) == "[CLS] It 's here , is n't it ?[SEP]"


def test_saved_files_equal_the_published_ones(published, shared, tmp_path):
    published.save_pretrained(tmp_path)
    for file in ("spm.model", "added_tokens.json"):
        source = shared / "data" / "deberta_v3_tokenizer" / file
        assert (tmp_path / file).read_bytes().strip() == source.read_bytes().strip()
    source = json.loads((shared / "data" / "deberta_v3_tokenizer" / "tokenizer_config.json").read_text())
    saved = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert {name: saved.get(name) for name in source} == source
