"""What tokens cover: in the original text, in order, disjoint, without the space before them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deberta_core.tokenization import AddedToken, DebertaTokenizer, DebertaV2Tokenizer, DebertaV2TokenizerFast

# Any text, with many of the characters that normalization and bytes make hard, and special tokens.
HARD = st.sampled_from([*"㍿ﷺ½ﬁÅİΣß\u0301\u200b\u00a0\t\n▁Ġ\x00\x01\ufeff\u3000¨ａ１𠮟 ", "[MASK]", " [SEP]", "river "])
TEXTS = st.lists(st.one_of(HARD, st.characters(exclude_categories=["Cs"])), max_size=14).map("".join)


@pytest.fixture(scope="session")
def tokenizers(small_tokenizer, small_byte_tokenizer, small_fast_tokenizer, prose, tmp_path_factory):
    model = small_tokenizer.serialized_model
    folder = tmp_path_factory.mktemp("described")
    small_fast_tokenizer.save_pretrained(folder)
    (folder / "spm.model").unlink()
    return {
        "v2": small_tokenizer,
        "v2 words": DebertaV2Tokenizer(model, do_lower_case=True, split_by_punct=True),
        "v2 fast": small_fast_tokenizer,
        "v2 described": DebertaV2TokenizerFast.from_pretrained(folder),
        "v2 without bytes": DebertaV2Tokenizer.train(prose, 200, byte_fallback=False, character_coverage=0.99),
        "v1": small_byte_tokenizer,
        "v1 space": DebertaTokenizer.train(prose, 500, add_prefix_space=True),
    }


def spans(tokenizer, text):
    encoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return list(zip(tokenizer.convert_ids_to_tokens(encoding.input_ids), encoding.offset_mapping, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  a  b ", [("▁a", (2, 3)), ("▁b", (5, 6))]),
        ("a\u3000\u200bb", [("▁a", (0, 1)), ("▁b", (3, 4))]),
        ("a\x01b", [("▁a", (0, 2)), ("b", (2, 3))]),
        ("\x00a", [("▁", (0, 0)), ("<0x00>", (0, 1)), ("a", (1, 2))]),
        ("a [MASK] b", [("▁a", (0, 1)), ("[MASK]", (2, 8)), ("▁b", (9, 10))]),
        ("", []),
        (" ", []),
    ],
)
def test_spaces_do_not_count(small_tokenizer, text, expected):
    assert spans(small_tokenizer, text) == expected


def test_first_token_carries_a_shared_character(small_tokenizer, small_byte_tokenizer):
    four = [(0, 1), (1, 1), (1, 1), (1, 1), (1, 2)]
    assert [span for _, span in spans(small_tokenizer, "𠮟a")] == [(0, 0), *four]
    assert [span for _, span in spans(small_byte_tokenizer, "𠮟a")] == four
    # NFKC makes "(株)" of one character and "fi" of another; this vocabulary has them as single letters and bytes.
    tokens = spans(small_tokenizer, "a㈱ﬁn")
    assert [token for token, _ in tokens] == ["▁a", "<0x28>", "<0xE6>", "<0xA0>", "<0xAA>", "<0x29>", "f", "in"]
    assert [span for _, span in tokens] == [(0, 1), (1, 2), (2, 2), (2, 2), (2, 2), (2, 2), (2, 3), (3, 4)]


def test_a_composed_group_belongs_to_one_token(small_tokenizer):
    tokens = spans(small_tokenizer, "e\u0301te\u0301")
    assert {span for _, span in tokens if span[0] < span[1]} <= {(0, 2), (0, 3), (2, 3), (3, 5), (2, 5), (0, 5)}
    assert tokens[-1][1][1] == 5


def test_lower_case_keeps_places(small_tokenizer):
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, do_lower_case=True, split_by_punct=True)
    text = "İ THE,River"  # a lower-case İ is two characters
    by_token = [(token, text[start:end]) for token, (start, end) in spans(tokenizer, text)]
    assert next(covered for _, covered in by_token if covered) == "İ"
    assert ("▁the", "THE") in by_token
    assert "".join(covered for _, covered in by_token) == "İTHE,River"


@pytest.mark.parametrize("kind", [DebertaTokenizer, DebertaV2Tokenizer])
def test_added_tokens_have_places(prose, kind):
    tokenizer = kind.train(prose, 400)
    tokenizer.add_tokens([AddedToken("<e>", lstrip=True, rstrip=True)])
    assert next((token, span) for token, span in spans(tokenizer, "a  <e>  b") if span != (0, 1)) == ("<e>", (3, 6))


NAMES = ["v2", "v2 words", "v2 fast", "v2 described", "v2 without bytes", "v1", "v1 space"]


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(text=TEXTS)
def test_spans_are_ordered_and_disjoint(tokenizers, name, text):
    tokenizer, end = tokenizers[name], 0
    tokens = spans(tokenizer, text)
    ids = tokenizer.encode(text, add_special_tokens=False, verbose=False)
    assert [token for token, _ in tokens] == tokenizer.convert_ids_to_tokens(ids)
    for token, (start, stop) in tokens:
        assert end <= start <= stop <= len(text)
        if name != "v2 described":  # the tokenizers library's own offsets go astray where characters are deleted
            assert start == stop or token in ("[MASK]", "[SEP]") or text[start] != " "
        assert start == stop or token.strip("▁")
        end = stop


@settings(deadline=None)
@given(text=TEXTS)
def test_byte_level_spans_cover_all_but_spaces(small_byte_tokenizer, text):
    covered = [place for _, (start, stop) in spans(small_byte_tokenizer, text) for place in range(start, stop)]
    assert len(covered) == len(set(covered))
    assert {text[place] for place in set(range(len(text))) - set(covered)} <= {" ", *filter(str.isspace, text)}


@settings(deadline=None)
@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_plain_tokens_cover_themselves(small_tokenizer, text):
    for token, (start, stop) in spans(small_tokenizer, text):
        assert text[start:stop] == token.removeprefix("▁") or len(token) == 6


@settings(deadline=None)
@given(batch=st.lists(TEXTS, max_size=4))
def test_spans_of_a_batch_are_those_of_its_texts(small_fast_tokenizer, batch):
    options = {"return_offsets_mapping": True, "verbose": False}
    together = small_fast_tokenizer(batch, **options).offset_mapping
    assert together == [small_fast_tokenizer(text, **options).offset_mapping for text in batch]
