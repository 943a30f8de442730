"""Documents in blocks: nothing is lost, nothing is seen that belongs to another document."""

import numpy as np
import pytest

from conformance.suite.cases import random_params
from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, InputError, reference
from deberta_core.collation.packing import document_mask, document_positions, pack


@pytest.fixture(scope="module")
def texts(small_tokenizer, prose):
    ids = small_tokenizer(" ".join(prose), add_special_tokens=False, verbose=False)["input_ids"]
    random = np.random.default_rng(0)
    return [ids[: int(length)] for length in random.integers(0, 300, 300)]


def unpacked(blocks, tokenizer):
    """The documents, or pieces of them, in blocks, without [CLS] and [SEP]."""
    found = []
    for ids, documents in zip(blocks.input_ids, blocks.documents, strict=True):
        assert (np.diff(documents[documents > 0]) >= 0).all()
        for number in range(1, documents.max() + 1):
            own = ids[documents == number].tolist()
            assert own[0] == tokenizer.cls_token_id
            assert own[-1] == tokenizer.sep_token_id
            found.append(own[1:-1])
        assert (ids[documents == 0] == tokenizer.pad_token_id).all()
    return found


@pytest.mark.parametrize("length", [400, 128, 61, 3])
def test_documents_are_whole_where_they_fit(small_tokenizer, texts, length):
    blocks = pack(texts, "documents", length, small_tokenizer)
    room = length - 2
    pieces = [text[start : start + room] for text in texts for start in range(0, len(text), room)]
    assert sorted(unpacked(blocks, small_tokenizer)) == sorted(pieces)
    if length > 100:
        assert (blocks.documents > 0).mean() > 0.97
    assert blocks.input_ids.dtype == np.int32


@pytest.mark.parametrize("length", [128, 3])
def test_text_is_one_behind_the_other(small_tokenizer, texts, length):
    blocks = pack(texts, "text", length, small_tokenizer)
    found = unpacked(blocks, small_tokenizer)
    assert [index for text in found for index in text] == [index for text in texts for index in text]
    assert {len(text) for text in found[:-1]} == {length - 2}
    assert set(np.unique(blocks.documents)) <= {0, 1}


@pytest.mark.parametrize("packing", ["documents", "text"])
def test_nothing_makes_no_block(small_tokenizer, packing):
    for texts in ([], [[]], [[], []]):
        assert pack(texts, packing, 16, small_tokenizer).input_ids.shape == (0, 16)


def test_masks_and_positions():
    documents = np.array([[1, 1, 2, 3, 3, 0]])
    expected = [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_array_equal(document_mask(documents)[0], expected)
    np.testing.assert_array_equal(document_positions(documents), [[0, 1, 0, 0, 1, 0]])


def test_a_document_in_a_block_is_as_if_it_stood_alone(small_tokenizer, texts):
    config = DebertaV2Config(
        vocab_size=len(small_tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
        relative_attention=True,
        pos_att_type=("c2p", "p2c"),
        position_buckets=8,
        position_biased_input=True,
    )
    params = random_params(config, None)
    short = [text[: 5 + 3 * number] for number, text in enumerate(filter(None, texts[:8]))]
    blocks = pack(short, "documents", 64, small_tokenizer)
    assert blocks.documents.max() > 1

    def hidden(**inputs):
        return reference.forward(config, params, inputs, None, dtype=np.float64)["last_hidden_state"]

    together = hidden(
        input_ids=blocks.input_ids,
        attention_mask=document_mask(blocks.documents),
        position_ids=document_positions(blocks.documents),
    )
    for row, documents in enumerate(blocks.documents):
        for number in range(1, documents.max() + 1):
            own = documents == number
            alone = hidden(input_ids=blocks.input_ids[row, own][None])
            assert_close(together[row, own], alone[0], quantity="hidden", name="a document")


@pytest.mark.parametrize(
    ("packing", "length", "message"),
    [("tight", 16, "packing='tight' is unknown. Use one of: documents, text"), ("text", 2, "length=2 leaves no room")],
)
def test_refusals(small_tokenizer, packing, length, message):
    with pytest.raises(InputError, match=message):
        pack([[5]], packing, length, small_tokenizer)
