"""SentencePiece and the fast tokenizer on 100,000 lines of real text and on any Unicode text: no difference."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deberta_core.tokenization import DebertaTokenizer, DebertaV2Tokenizer, DebertaV2TokenizerFast

CHUNK = 4096  # lines per call


@pytest.fixture(scope="module")
def lines(shared):
    """Every line of the texts and data sets that is not blank, as it stands."""
    files = sorted(file for folder in ("text", "datasets") for file in (shared / "data" / folder).rglob("*.*"))
    found = [line for file in files for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]
    assert len(found) >= 100_000
    return found


@pytest.fixture(scope="module")
def judge(shared):
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_file=str(shared / "data" / "deberta_v3_tokenizer" / "spm.model"))


@pytest.fixture(scope="module")
def fast(shared):
    return DebertaV2TokenizerFast.from_pretrained(shared / "data" / "deberta_v3_tokenizer")


@pytest.fixture(scope="module")
def byte_level(shared):
    return DebertaTokenizer.from_pretrained(shared / "data" / "deberta_v1_tokenizer")


def plain(tokenizer, text, **options):
    return tokenizer(text, add_special_tokens=False, **options)


def check_spans(text, spans):
    end = 0
    for start, stop in spans:
        assert end <= start <= stop <= len(text), text
        assert start == stop or text[start] != " ", text
        end = stop


@pytest.mark.slow
def test_real_lines_in_v3(lines, judge, fast, shared):
    slow = DebertaV2Tokenizer.from_pretrained(shared / "data" / "deberta_v3_tokenizer")
    for start in range(0, len(lines), CHUNK):
        chunk = lines[start : start + CHUNK]
        encoding = plain(fast, chunk, return_offsets_mapping=True)
        assert encoding.input_ids == judge.encode(chunk)
        assert encoding.input_ids == plain(fast, chunk).input_ids == plain(slow, chunk).input_ids
        for text, spans in zip(chunk, encoding.offset_mapping, strict=True):
            check_spans(text, spans)


@pytest.mark.slow
def test_real_lines_in_v1(lines, byte_level):
    for start in range(0, len(lines), CHUNK):
        chunk = lines[start : start + CHUNK]
        encoding = plain(byte_level, chunk, return_offsets_mapping=True)
        assert encoding.input_ids == plain(byte_level, chunk).input_ids
        assert byte_level.batch_decode(encoding.input_ids) == chunk
        for text, spans in zip(chunk, encoding.offset_mapping, strict=True):
            check_spans(text, spans)


@pytest.mark.slow
def test_an_exported_tokenizer_json_on_real_lines(lines, fast, tmp_path):
    """It is near, not equal: docs/tokenizers.md states how near."""
    fast.save_pretrained(tmp_path)
    (tmp_path / "spm.model").unlink()
    described = DebertaV2TokenizerFast.from_pretrained(tmp_path)
    different = 0
    for start in range(0, len(lines), CHUNK):
        chunk = lines[start : start + CHUNK]
        pairs = zip(plain(fast, chunk).input_ids, plain(described, chunk).input_ids, strict=True)
        different += sum(one != two for one, two in pairs)
    print(json.dumps({"lines": len(lines), "distinct": len(set(lines)), "different": different}))
    assert different <= len(lines) // 10_000


# Any text but the special tokens, whose brackets are left out.
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]"), max_size=60)


@pytest.mark.slow
@settings(deadline=None, max_examples=20_000)
@given(text=ANY)
def test_any_text_in_v3(judge, fast, text):
    encoding = plain(fast, text, return_offsets_mapping=True)
    assert encoding.input_ids == judge.encode(text) == plain(fast, text).input_ids
    check_spans(text, encoding.offset_mapping)


@pytest.mark.slow
@settings(deadline=None, max_examples=5_000)
@given(text=ANY)
def test_any_text_in_v1(byte_level, text):
    encoding = plain(byte_level, text, return_offsets_mapping=True)
    assert byte_level.decode(encoding.input_ids) == text
    check_spans(text, encoding.offset_mapping)
    assert encoding.input_ids == plain(byte_level, text).input_ids
