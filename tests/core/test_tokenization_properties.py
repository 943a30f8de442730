"""What holds for every text: the library underneath is the judge, and decoding undoes encoding."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deberta_core.tokenization import DebertaV2Tokenizer

# Any text but the special tokens, whose brackets are left out.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]"), max_size=40)
ASCII_WORDS = st.lists(
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="[]"), min_size=1, max_size=8),
    max_size=6,
)


def plain(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False, verbose=False)


@settings(deadline=None)
@given(text=TEXTS)
def test_ids_are_sentencepieces(small_tokenizer, text):
    from sentencepiece import SentencePieceProcessor

    judge = SentencePieceProcessor(model_proto=small_tokenizer.serialized_model)
    assert plain(small_tokenizer, text) == judge.encode(text)
    assert small_tokenizer.tokenize(text) == judge.encode(text, out_type=str)
    assert small_tokenizer.decode(judge.encode(text)) == judge.decode(judge.encode(text)).strip()


@settings(deadline=None)
@given(parts=st.lists(TEXTS, max_size=4))
def test_masks_cut_texts(small_tokenizer, parts):
    expected = [index for part in parts for index in [*plain(small_tokenizer, part), 500]]
    assert plain(small_tokenizer, "[MASK]".join([*parts, ""])) == expected


@settings(deadline=None)
@given(batch=st.lists(TEXTS, max_size=6), options=st.sampled_from([{}, {"padding": True}, {"max_length": 9}]))
def test_batch_rows_are_single_rows(small_tokenizer, batch, options):
    rows = small_tokenizer(batch, **options).input_ids
    for text, row in zip(batch, rows, strict=True):
        single = small_tokenizer(text, **options).input_ids
        assert row[: len(single)] == single
        assert set(row[len(single) :]) <= {small_tokenizer.pad_token_id}


@pytest.mark.parametrize("options", [{}, {"split_by_punct": True, "do_lower_case": True}])
def test_large_batches_are_single_rows(small_tokenizer, prose, options):
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, **options)
    batch = [f"{text} [MASK]" if place % 3 else text for place, text in enumerate(prose * 20)]  # enough for threads
    assert tokenizer(batch).input_ids == [tokenizer(text).input_ids for text in batch]


@settings(deadline=None)
@given(words=ASCII_WORDS)
def test_ascii_words_survive(small_tokenizer, words):
    text = " ".join(words)
    assert small_tokenizer.decode(plain(small_tokenizer, text)) == text


@settings(deadline=None)
@given(text=TEXTS)
def test_decoding_gives_the_normalized_text(small_tokenizer, text):
    normalized = small_tokenizer._subwords.processor.normalize(text).replace("▁", " ").strip()
    assert small_tokenizer.decode(plain(small_tokenizer, text)) == normalized


@settings(deadline=None)
@given(first=TEXTS, second=TEXTS, length=st.integers(3, 30))
def test_truncated_pairs_fit_and_keep_their_beginnings(small_tokenizer, first, second, length):
    a, b = plain(small_tokenizer, first), plain(small_tokenizer, second)
    row = small_tokenizer(first, second, truncation=True, max_length=length)
    kept_b = sum(row.token_type_ids) - 1
    kept_a = len(row.input_ids) - kept_b - 3
    assert row.input_ids == [1, *a[:kept_a], 2, *b[:kept_b], 2]
    assert len(row.input_ids) == min(length, len(a) + len(b) + 3)
    assert kept_a == len(a) or kept_b == len(b) or abs(kept_a - kept_b) <= 1
