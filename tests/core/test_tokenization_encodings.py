"""What users of transformers do with encodings: rows, words, characters, tensors, copies."""

import copy
import json
import pickle
from collections.abc import Mapping

import numpy as np
import pytest

from deberta_core.errors import InputError
from deberta_core.tokenization import BatchEncoding, CharSpan, TokenSpan

FIRST, SECOND = "The river rises", "in the hills"


def test_made_of_a_dict(small_tokenizer):
    made = BatchEncoding(data={"input_ids": [[1, 2]], "labels": [0]}, n_sequences=1)
    assert (made["labels"], made.labels, made.data["input_ids"], made.n_sequences) == ([0], [0], [[1, 2]], 1)
    assert (made.encodings, made.is_fast) == (None, False)
    made.data["labels"] = [1]
    assert made.labels == [1]
    assert BatchEncoding().data == {}
    assert BatchEncoding({"input_ids": [1]}, tensor_type="np", prepend_batch_axis=True).input_ids.shape == (1, 1)
    known = small_tokenizer([FIRST, SECOND])
    again = BatchEncoding(dict(known), encoding=known.encodings)
    assert again.word_ids(1) == known.word_ids(1)
    assert BatchEncoding(dict(known), known[1]).tokens() == known.tokens(1)


def test_behaves_as_a_mapping(small_tokenizer):
    encoding = small_tokenizer([FIRST, SECOND], padding=True)
    assert isinstance(encoding, Mapping)
    assert type(encoding)({name: rows for name, rows in encoding.items()}) == encoding
    assert json.loads(json.dumps(encoding.data)) == dict(encoding)
    for copied in (copy.copy(encoding), copy.deepcopy(encoding), pickle.loads(pickle.dumps(encoding))):
        assert type(copied) is BatchEncoding
        assert (copied, copied.n_sequences) == (encoding, 1)
    assert encoding[0:1] == {name: rows[:1] for name, rows in encoding.items()}


def test_rows(small_tokenizer):
    encoding = small_tokenizer([(FIRST, SECOND)] * 2, padding="max_length", max_length=40, padding_side="left",
        return_special_tokens_mask=True, return_offsets_mapping=True)  # fmt: skip
    row = encoding[1]
    assert (len(encoding.encodings), len(row), row.n_sequences, encoding.n_sequences) == (2, 40, 2, 2)
    assert row.ids == encoding.input_ids[1]
    assert row.tokens == encoding.tokens(1)
    assert row.type_ids == encoding.token_type_ids[1]
    assert row.attention_mask == encoding.attention_mask[1]
    assert row.special_tokens_mask == encoding.special_tokens_mask[1]
    assert row.offsets == encoding.offset_mapping[1]
    assert row.words == row.word_ids == encoding.words(1)
    assert small_tokenizer(FIRST, add_special_tokens=False)[0].type_ids == [0] * len(
        small_tokenizer(FIRST).input_ids[2:]
    )
    assert repr(row).startswith("Encoding(num_tokens=40, tokens=['[PAD]'")
    with pytest.raises(InputError, match=r"row=2 is out of range: there are 2"):
        encoding[2]


def test_words_tokens_and_characters(small_tokenizer):
    encoding = small_tokenizer([(FIRST, SECOND)] * 2)
    words, sequences = encoding.word_ids(), encoding.sequence_ids()
    for sequence, text in enumerate((FIRST, SECOND)):
        for word, content in enumerate(text.split()):
            tokens = encoding.word_to_tokens(1, word, sequence)
            assert isinstance(tokens, TokenSpan)
            found = [token for token, key in enumerate(zip(words, sequences, strict=True)) if key == (word, sequence)]
            assert list(range(tokens.start, tokens.end)) == found
            start = text.index(content)
            assert encoding.word_to_chars(1, word, sequence) == CharSpan(start, start + len(content))
            assert encoding.char_to_word(1, start, sequence) == word
            assert encoding.token_to_sequence(1, tokens.start) == sequence
    assert encoding.word_to_tokens(9) is encoding.word_to_chars(9) is encoding.char_to_word(3) is None
    assert encoding.token_to_sequence(0) is None
    assert encoding.char_to_word(0) == 0
    split = small_tokenizer(FIRST.split(), is_split_into_words=True)
    assert split.word_to_chars(1) == CharSpan(0, len("river"))


def test_tensors_and_devices(small_tokenizer):
    encoding = small_tokenizer([FIRST, SECOND], padding=True)
    assert encoding.to("cpu") is encoding
    assert small_tokenizer(FIRST, return_tensors="np").to("cpu").input_ids.shape[0] == 1
    with pytest.raises(InputError, match="holds no PyTorch tensors"):
        encoding.to("cuda")
    assert encoding.convert_to_tensors(None) is encoding
    assert encoding.convert_to_tensors("np").input_ids.dtype == np.int64
    assert small_tokenizer(FIRST).convert_to_tensors("np", prepend_batch_axis=True).input_ids.ndim == 2
    with pytest.raises(TypeError, match="texts holds"):
        BatchEncoding({"texts": ["a"]}).convert_to_tensors("np")
    torch = pytest.importorskip("torch")
    moved = small_tokenizer(FIRST, return_tensors="pt").to(torch.device("meta"), non_blocking=True)
    assert moved.input_ids.device.type == "meta"
