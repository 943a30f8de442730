"""The rest of what a call can do: windows, pre-split words, further entries, and the way from tokens to texts."""

import copy
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from deberta_core.errors import InputError
from deberta_core.tokenization import AddedToken, BatchEncoding, CharSpan, DebertaTokenizer, DebertaV2Tokenizer

FIRST, SECOND = "Who sleeps under the weir?", "Children are told that a giant sleeps under the weir."


@pytest.fixture(params=["v1", "v2", "v2 fast"])
def tokenizer(request, small_byte_tokenizer, small_tokenizer, small_fast_tokenizer):
    return {"v1": small_byte_tokenizer, "v2": small_tokenizer, "v2 fast": small_fast_tokenizer}[request.param]


def plain(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


# --- windows ---


def test_windows_over_one_text(tokenizer):
    ids = plain(tokenizer, SECOND)
    encoding = tokenizer(SECOND, truncation=True, max_length=10, stride=3, return_overflowing_tokens=True)
    texts = [row[1:-1] for row in encoding.input_ids]
    assert [len(text) for text in texts[:-1]] == [8] * (len(texts) - 1)
    assert texts[0] + [index for text in texts[1:] for index in text[3:]] == ids
    assert all(one[-3:] == two[:3] for one, two in itertools.pairwise(texts))
    assert encoding.overflow_to_sample_mapping == [0] * len(texts)
    whole = tokenizer(FIRST, truncation=True, max_length=60, stride=3, return_overflowing_tokens=True)
    assert whole.input_ids == [tokenizer(FIRST).input_ids]


def test_windows_from_the_left(small_tokenizer):
    tokenizer = copy.deepcopy(small_tokenizer)
    tokenizer.truncation_side = "left"
    ids = plain(tokenizer, SECOND)
    rows = tokenizer(SECOND, max_length=10, stride=3, truncation=True, return_overflowing_tokens=True).input_ids
    assert rows[0][1:-1] == ids[-8:]
    assert rows[1][1:-1] == ids[-13:-5]
    assert rows[-1][1:4] == ids[:3]


@pytest.mark.parametrize("strategy", ["only_first", "only_second"])
def test_windows_over_one_text_of_a_pair(tokenizer, strategy):
    other, long = plain(tokenizer, FIRST), plain(tokenizer, SECOND)
    batch = [(FIRST, SECOND), (FIRST, "x")] if strategy == "only_second" else [(SECOND, FIRST), ("x", FIRST)]
    options = {"truncation": strategy, "max_length": len(other) + 9, "stride": 2, "padding": True}
    encoding = tokenizer(batch, **options, return_overflowing_tokens=True, return_tensors="np")
    mapping = encoding.overflow_to_sample_mapping.tolist()
    assert (mapping[-1], set(mapping[:-1])) == (1, {0})
    found = []
    for row, sample in enumerate(mapping):
        sequences = encoding.sequence_ids(row)
        ids = encoding.input_ids[row].tolist()
        texts = [[index for index, place in zip(ids, sequences, strict=True) if place == n] for n in (0, 1)]
        assert texts[strategy == "only_first"] == other
        if sample == 0:
            found += texts[strategy == "only_second"][2 if row else 0 :]
    assert found == long


def test_windows_that_cannot_be_made(tokenizer):
    options = {"truncation": True, "max_length": 10, "return_overflowing_tokens": True}
    with pytest.raises(InputError, match=r"stride=8 leaves no progress: a window holds 8 tokens of the text"):
        tokenizer(SECOND, **options, stride=8)
    with pytest.raises(InputError, match=r"stride=-1 is not an int of 0 or more"):
        tokenizer(SECOND, **options, stride=-1)
    with pytest.raises(InputError, match=r"'longest_first' shortens both\. Use 'only_first' or 'only_second'"):
        tokenizer(FIRST, SECOND, **options)


# --- pre-split words ---


def test_words_are_tokenized_as_after_a_space(tokenizer):
    words = ["The", "river", "isn't", "", "high"]
    encoding = tokenizer(words, is_split_into_words=True, return_offsets_mapping=True)
    assert encoding.input_ids[1:-1] == [index for word in words for index in plain(tokenizer, f" {word}" * bool(word))]
    numbers = encoding.word_ids()
    assert (numbers[0], numbers[-1]) == (None, None)
    assert set(numbers[1:-1]) == {0, 1, 2, 4}
    for number, (start, end) in zip(numbers, encoding.offset_mapping, strict=True):
        assert number is None or (0 <= start <= end <= len(words[number]))
    pieces = [words[number][a:b] for number, (a, b) in zip(numbers[1:-1], encoding.offset_mapping[1:-1], strict=True)]
    assert "".join(pieces) == "".join(words)


def test_batches_and_pairs_of_words(tokenizer):
    one, two = ["Who", "sleeps", "?"], ["A", "giant", "."]
    batch = tokenizer([one, two], is_split_into_words=True)
    assert batch.input_ids == [tokenizer(row, is_split_into_words=True).input_ids for row in (one, two)]
    pair = tokenizer([one], [two], is_split_into_words=True)
    assert pair.input_ids[0] == tokenizer.build_inputs_with_special_tokens(*(row[1:-1] for row in batch.input_ids))
    assert [number for number in pair.word_ids(0) if number is not None] == [
        number for row in (0, 1) for number in batch.word_ids(row) if number is not None
    ]
    assert tokenizer([], is_split_into_words=True).input_ids == tokenizer("").input_ids


def test_words_of_a_text_are_what_whitespace_separates(tokenizer):
    text = "The  river,\tisn't high"
    encoding = tokenizer(text)
    for token, number in enumerate(encoding.word_ids()):
        span = encoding.token_to_chars(token)
        if span is None:
            assert number is None
        elif span.start < span.end and not text[span.start : span.end].isspace():
            assert text[span.start : span.end] in text.split()[number]
    assert encoding.token_to_word(0) is None
    assert encoding.token_to_word(len(encoding.input_ids) - 2) == 3


def test_characters_of_words_are_not_asked_for(tokenizer):
    with pytest.raises(InputError, match=r"the text was pre-split\. Use word_ids"):
        tokenizer(["a", "b"], is_split_into_words=True).char_to_token(0)
    with pytest.raises(InputError, match=r"text is 'a b'.*must be a list of words"):
        tokenizer("a b", is_split_into_words=True)
    with pytest.raises(InputError, match=r"text\[1\]\[0\] is 5, of type int"):
        tokenizer([["a"], [5]], is_split_into_words=True)


# --- entries ---


def test_further_entries(tokenizer):
    encoding = tokenizer(
        [FIRST, SECOND],
        padding=True,
        return_tensors="np",
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
        return_length=True,
    )
    rows, length = encoding.input_ids.shape
    assert encoding.offset_mapping.shape == (rows, length, 2)
    assert encoding.length.tolist() == encoding.attention_mask.sum(axis=1).tolist()
    special = np.isin(encoding.input_ids, [0, 1, 2]).astype(int)
    assert (encoding.special_tokens_mask == special).all()
    assert (encoding.offset_mapping[special == 1] == 0).all()
    single = tokenizer(FIRST, return_length=True, return_special_tokens_mask=True, add_special_tokens=False)
    assert (single.length, single.special_tokens_mask) == (len(single.input_ids), [0] * len(single.input_ids))


@pytest.mark.parametrize("side", ["right", "left"])
def test_left_and_right_padding_keep_the_way_back(tokenizer, side):
    options = {"padding": True, "padding_side": side, "return_offsets_mapping": True}
    encoding = tokenizer([FIRST, SECOND], [SECOND, ""], **options)
    for row, texts in enumerate([(FIRST, SECOND), (SECOND, "")]):
        for token, (sequence, span) in enumerate(
            zip(encoding.sequence_ids(row), encoding.offset_mapping[row], strict=True)
        ):
            assert encoding.token_to_chars(row, token) == (None if sequence is None else CharSpan(*span))
            if sequence is not None and span[0] < span[1]:
                assert encoding.char_to_token(row, span[0], sequence) == token
                assert encoding.char_to_token(row, span[1] - 1, sequence) == token
        start = texts[0].index("sleeps")
        token = encoding.char_to_token(row, start)
        assert encoding.token_to_chars(row, token).start == start
        assert encoding.tokens(row) == tokenizer.convert_ids_to_tokens(encoding.input_ids[row])


def test_way_back_without_an_answer(tokenizer):
    encoding = tokenizer(FIRST)
    assert encoding.char_to_token(FIRST.index(" ")) is None
    assert encoding.char_to_token(999) is None
    with pytest.raises(InputError, match=r"token=99 is out of range: there are \d+"):
        encoding.token_to_chars(99)
    with pytest.raises(InputError, match=r"row=1 is out of range: there are 1"):
        encoding.word_ids(1)
    for gone in (pickle.loads(pickle.dumps(encoding)), copy.deepcopy(encoding), tokenizer.pad(encoding)):
        assert isinstance(gone, BatchEncoding)
        with pytest.raises(InputError, match="no longer knows its texts"):
            gone.word_ids()


def test_moving_to_a_device(tokenizer):
    torch = pytest.importorskip("torch")
    encoding = tokenizer([FIRST], return_tensors="pt")
    assert encoding.to("meta") is encoding
    assert {tensor.device for tensor in encoding.values()} == {torch.device("meta")}
    with pytest.raises(InputError, match="holds no PyTorch tensors"):
        tokenizer(FIRST).to("cuda")


def test_padding_keeps_further_entries(tokenizer):
    rows = [tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True) for text in (FIRST, SECOND)]
    together = tokenizer([FIRST, SECOND], return_offsets_mapping=True, return_special_tokens_mask=True, padding=True)
    assert dict(tokenizer.pad(rows)) == dict(together)


# --- changing and sharing a tokenizer ---


def test_added_tokens(tokenizer):
    changed = copy.deepcopy(tokenizer)
    size = len(changed)
    assert changed.add_tokens(["<new>", AddedToken("river", single_word=True), "<new>"]) == 2
    assert changed.add_tokens("<new>") == 0
    assert changed.add_special_tokens({"additional_special_tokens": ["<e>"], "sep_token": "<end>"}) == 2
    assert len(changed) == size + 4
    assert changed.convert_tokens_to_ids(["<new>", "<e>", "<end>"]) == [size, size + 3, size + 2]
    assert changed.sep_token_id == size + 2
    assert changed("a<new>").input_ids[-2:] == [size, size + 2]
    assert changed.decode(changed("a<e>").input_ids, skip_special_tokens=True) == "a"
    assert "<new>" in changed.decode(changed("a<new>").input_ids, skip_special_tokens=True)
    changed.add_special_tokens({"additional_special_tokens": ["<f>"]}, replace_additional_special_tokens=False)
    assert changed.additional_special_tokens == ["<e>", "<f>"]
    with pytest.raises(InputError, match=r"role='end_token' is unknown\. Use one of: bos_token"):
        changed.add_special_tokens({"end_token": "<end>"})
    assert len(tokenizer) == size


def test_clones_give_the_same(tokenizer, prose):
    for clone in (pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)):
        assert clone(prose) == tokenizer(prose)
        assert clone.get_vocab() == tokenizer.get_vocab()


def test_threads_share_a_tokenizer(tokenizer, prose):
    batches = [[f"{text} {number} ㍿[MASK]" for text in prose] for number in range(40)]
    options = {"return_offsets_mapping": True, "padding": True, "max_length": 40, "truncation": True}
    expected = [tokenizer(batch, **options) for batch in batches]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            assert list(threads.map(lambda batch: tokenizer(batch, **options), batches)) == expected


def test_sampling_draws_other_tokens_of_the_same_text(small_tokenizer):
    arguments = {"enable_sampling": True, "nbest_size": -1, "alpha": 0.1}
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, sp_model_kwargs=arguments)
    drawn = [tokenizer(SECOND, return_offsets_mapping=True) for _ in range(20)]
    assert len({tuple(encoding.input_ids) for encoding in drawn}) > 10
    for encoding in drawn:
        assert tokenizer.decode(encoding.input_ids, skip_special_tokens=True) == SECOND
        assert "".join(SECOND[a:b] for a, b in encoding.offset_mapping) == SECOND.replace(" ", "")
        spans = [encoding.token_to_chars(token) or (0, 0) for token in range(len(encoding.input_ids))]
        assert spans == encoding.offset_mapping
    assert pickle.loads(pickle.dumps(tokenizer)).sp_model_kwargs == arguments


def test_drawn_tokens_keep_their_way_back(small_tokenizer):
    arguments = {"enable_sampling": True, "nbest_size": -1, "alpha": 0.1}
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, sp_model_kwargs=arguments)
    for _ in range(5):
        encoding = tokenizer(SECOND)
        for place, token in enumerate(encoding.tokens()[1:-1], 1):
            start, end = encoding.token_to_chars(place)
            assert SECOND[start:end] == token.removeprefix("▁")


def test_retraining_keeps_the_options(prose):
    old = DebertaTokenizer.train(prose, 300, add_prefix_space=True, additional_special_tokens=["<e>"], errors="ignore")
    new = old.train_new_from_iterator(iter([prose[:9], *prose[9:]]), 310)
    assert (new.vocab_size, new.add_prefix_space, new.errors) == (310, True, "ignore")
    assert (new.mask_token_id, new.convert_tokens_to_ids("<e>")) == (309, 310)
    assert new.tokenize("a [MASK]")[-1] == "[MASK]"


def test_the_building_blocks_of_rows_by_name(small_tokenizer, small_byte_tokenizer):
    for tokenizer in (small_tokenizer, small_byte_tokenizer):
        first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("The river.", "A mill."))
        row = tokenizer("The river.", "A mill.")
        assert tokenizer.build_inputs_with_special_tokens(first, second) == row["input_ids"]
        assert tokenizer.create_token_type_ids_from_sequences(first, second) == row["token_type_ids"]
        assert tokenizer.create_token_type_ids_from_sequences(first) == [0] * (len(first) + 2)
        assert tokenizer.convert_tokens_to_string(tokenizer.tokenize("The river.")) == "The river."
