"""Trimmed vocabularies: texts are cut as before, and the ids follow."""

import io
import json
import pickle

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from deberta_core import InputError
from deberta_core.errors import TokenizationError
from deberta_core.tokenization import AddedToken, DebertaV2Tokenizer
from deberta_core.tokenization.trimming import trim_sentencepiece

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]


@pytest.fixture(scope="module")
def published(shared):
    """The tokenizer of DeBERTa v3."""
    return DebertaV2Tokenizer.from_pretrained(shared / "data" / "deberta_v3_tokenizer")


@pytest.fixture(scope="module")
def trimmed(small_tokenizer, prose):
    """The small tokenizer trimmed to the first six sentences, and the kept ids."""
    return small_tokenizer.trim(prose[:6])


def ids_of(tokenizer, texts):
    return tokenizer(texts, texts[::-1], verbose=False)["input_ids"]


def normal_scores(tokenizer):
    processor = SentencePieceProcessor(model_proto=tokenizer.serialized_model)
    indices = range(processor.vocab_size())
    return {
        processor.get_score(index)
        for index in indices
        if not (processor.is_control(index) or processor.is_byte(index) or processor.is_unknown(index))
    }


def same_tokens(before, after, keep_ids, texts):
    assert [before.tokenize(text) for text in texts] == [after.tokenize(text) for text in texts]
    assert [[keep_ids[index] for index in row] for row in ids_of(after, texts)] == ids_of(before, texts)


def test_real_texts_are_cut_as_before(published, prose):
    texts = [*prose, "Ein [MASK] über 1.204 Brücken\u2009…", "naïve\tﬁle", "雨 \U0001f43b", ""]
    after, keep_ids = published.trim(texts)
    assert len(after) == len(keep_ids) < 1500
    same_tokens(published, after, keep_ids, texts)
    assert [after.decode(row) for row in ids_of(after, texts)] == [
        published.decode(row) for row in ids_of(published, texts)
    ]


def test_every_kept_token_keeps_its_text(small_tokenizer, trimmed, prose):
    after, keep_ids = trimmed
    assert keep_ids == sorted(keep_ids)
    assert len(after) == len(keep_ids) < len(small_tokenizer)
    assert after.convert_ids_to_tokens(list(range(len(after)))) == small_tokenizer.convert_ids_to_tokens(keep_ids)
    same_tokens(small_tokenizer, after, keep_ids, prose[:6])


def test_special_tokens_and_bytes_are_kept(small_tokenizer):
    after, _ = small_tokenizer.trim([])
    tokens = set(after.get_vocab())
    assert {*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))} <= tokens
    assert len(tokens) <= len(SPECIAL) + 256 + 2  # and the two scores others derive from
    assert after.special_tokens_map == small_tokenizer.special_tokens_map
    assert after.mask_token_id == len(after) - 1
    assert after.decode(after("bear 🐻")["input_ids"], skip_special_tokens=True) == "bear 🐻"


def test_added_tokens_are_kept(small_tokenizer, prose):
    last = len(small_tokenizer)
    tokens = {last + 5: AddedToken("<ent>", rstrip=True), last + 2: AddedToken("<rel>")}
    before = DebertaV2Tokenizer(
        small_tokenizer.serialized_model, added_tokens_decoder=tokens, additional_special_tokens=["<a>"]
    )
    texts = ["The <ent> river <rel> rises <a>", *prose[:2]]
    after, keep_ids = before.trim(texts[1:])
    same_tokens(before, after, keep_ids, texts)
    assert [keep_ids[after.convert_tokens_to_ids(token)] for token in ("<ent>", "<rel>")] == [last + 5, last + 2]


def test_ids_can_be_given_instead_of_texts(small_tokenizer, trimmed, prose):
    ids = [index for row in ids_of(small_tokenizer, prose[:6]) for index in row]
    after, keep_ids = small_tokenizer.trim(ids)
    assert keep_ids == trimmed[1]
    assert after.get_vocab() == trimmed[0].get_vocab()
    assert small_tokenizer.trim([prose[:3], *prose[3:6]])[1] == keep_ids
    assert trimmed[0].trim(range(len(after)))[1] == list(range(len(after)))


def test_scores_that_others_derive_from_stay(published, prose):
    """A character whose piece is gone must not become cheap: its score is the lowest one's, less a constant."""
    scores = normal_scores(published)
    assert len(scores) > 100_000
    kept = normal_scores(published.trim(prose[:1])[0])
    assert {min(scores), max(scores)} <= kept


def test_a_model_that_keeps_everything_stays_the_same_to_the_byte(published):
    model = published.serialized_model
    assert trim_sentencepiece(model, range(128000)) == (model, list(range(128000)))


def test_options_and_files_follow(small_tokenizer, prose, tmp_path):
    model = small_tokenizer.serialized_model
    before = DebertaV2Tokenizer(model, do_lower_case=True, split_by_punct=True, model_max_length=9)
    after, keep_ids = before.trim(prose[:2])
    same_tokens(before, after, keep_ids, prose[:2])
    assert (after.do_lower_case, after.split_by_punct, after.model_max_length) == (True, True, 9)
    after.save_pretrained(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(json.loads((tmp_path / "tokenizer_config.json").read_text()) | {"note": "kept"})
    )
    read = DebertaV2Tokenizer.from_pretrained(tmp_path)
    assert ids_of(read, prose[:2]) == ids_of(after, prose[:2])
    again, _ = read.trim(prose[:1])
    assert again._extra["note"] == "kept"
    assert ids_of(pickle.loads(pickle.dumps(after)), prose[:2]) == ids_of(after, prose[:2])


def test_the_longest_texts_are_read_whole(small_tokenizer, prose):
    """`model_max_length` cuts no text that says what to keep."""
    text = " ".join(prose)
    assert small_tokenizer.trim([text])[1] == small_tokenizer.trim(prose)[1]


def test_self_test_samples_are_left_out(small_tokenizer):
    """They would fail on a smaller vocabulary, and a SentencePiece model that fails does not load."""
    sample = b"\x0a\x01a\x12\x03\xe2\x96\x81"
    with_sample = small_tokenizer.serialized_model + b"\x22" + bytes([len(sample) + 2, 0x0A, len(sample)]) + sample
    trimmed, _ = trim_sentencepiece(with_sample, range(500))
    assert trimmed == small_tokenizer.serialized_model


def test_other_types_of_vocabulary_are_refused(prose):
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(prose), model_writer=model, vocab_size=200, model_type="bpe", minloglevel=3
    )
    with pytest.raises(TokenizationError, match="of type BPE cannot be trimmed"):
        trim_sentencepiece(model.getvalue(), [5])


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("one text", "keep is 'one text', of type str. Give a list of texts"),
        (5, "keep is 5, of type int. Give a list of texts"),
        ([1.5], "keep holds 1.5, of type float"),
        ([True], "keep holds True, of type bool"),
        ([None], "keep holds None"),
        ([100_000], "id 100000 is no id of this tokenizer"),
        ([-1], "id -1 is no id"),
    ],
)
def test_what_cannot_be_kept_is_named(small_tokenizer, keep, message):
    with pytest.raises(InputError, match=message):
        small_tokenizer.trim(keep)
