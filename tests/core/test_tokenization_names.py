"""What users of transformers write at tokenizers: names, assignments, and other libraries' objects."""

import copy
import pickle
import warnings

import pytest
import tokenizers

from deberta_core import AutoTokenizer
from deberta_core.errors import DebertaWarning, InputError, MissingName, NotOffered, TokenizationError
from deberta_core.names.tokenizers import TOKENIZER_ATTRIBUTES, TOKENIZER_CALL, TOKENIZER_OPTIONS
from deberta_core.tokenization import AddedToken, DebertaTokenizer, DebertaV2Tokenizer, DebertaV2TokenizerFast

TEXTS = ["The river rises in the hills.", "A drug works"]


@pytest.fixture(scope="module")
def v3(shared):
    return DebertaV2TokenizerFast.from_pretrained(shared / "data" / "deberta_v3_tokenizer")


@pytest.fixture
def tokenizer(small_tokenizer):
    return copy.deepcopy(small_tokenizer)


# --- calls ---


def test_encode_plus_of_a_class_that_is_not_fast_says_what_is_cut(tokenizer, small_fast_tokenizer):
    """As transformers' conversion of SQuAD asks for it: the rest becomes the next call's text."""
    options = {"max_length": 8, "truncation": "only_second", "stride": 2, "return_overflowing_tokens": True}
    rest, rows = tokenizer.tokenize(TEXTS[1]), []
    windows = tokenizer("The", TEXTS[1], **options)
    assert small_fast_tokenizer.encode_plus("The", TEXTS[1], **options) == windows
    while rest:
        row = tokenizer.encode_plus("The", rest, padding="max_length", **options)
        assert row.num_truncated_tokens == max(len(row.overflowing_tokens) - 2, 0)
        rows.append([index for index, real in zip(row.input_ids, row.attention_mask, strict=True) if real])
        rest = row.overflowing_tokens
    assert len(rows) > 1
    assert rows == windows.input_ids
    row = tokenizer.encode_plus(TEXTS[0], max_length=9, return_overflowing_tokens=True, add_special_tokens=False)
    assert row.input_ids + row.overflowing_tokens == tokenizer(TEXTS[0], add_special_tokens=False).input_ids
    row = tokenizer.encode_plus(
        TEXTS[0].split(), is_split_into_words=True, max_length=9, return_overflowing_tokens=True
    )
    assert row.input_ids[1:-1] + row.overflowing_tokens == tokenizer(TEXTS[0], add_special_tokens=False).input_ids


def test_calls_by_other_names(tokenizer):
    assert tokenizer.encode_plus(*TEXTS, return_length=True) == tokenizer(*TEXTS, return_length=True)
    pairs = [tuple(TEXTS), tuple(TEXTS[::-1])]
    assert tokenizer.batch_encode_plus(pairs) == tokenizer(pairs)
    assert tokenizer.batch_encode_plus(batch_text_or_text_pairs=TEXTS) == tokenizer(TEXTS)
    assert tokenizer(TEXTS, pad_to_max_length=True, max_length=30) == tokenizer(
        TEXTS, padding="max_length", max_length=30
    )
    assert tokenizer(TEXTS, max_length=5, truncation_strategy="only_first") == tokenizer(
        TEXTS, max_length=5, truncation="only_first"
    )
    assert tokenizer(TEXTS[0], prepend_batch_axis=True, verbose=False) == tokenizer(TEXTS[0])


def test_unknown_arguments_of_a_call_are_refused(tokenizer):
    with pytest.raises(InputError, match=r"argument 'trunction' is unknown\. Did you mean 'truncation'\?"):
        tokenizer(TEXTS, trunction=True)
    with pytest.raises(InputError, match=r"'text_target' is not taken\. DeBERTa has no decoder"):
        tokenizer(TEXTS, text_target=TEXTS)
    with pytest.raises(TypeError, match="text is None"):
        tokenizer()


def test_tokens_and_ids_as_a_text(tokenizer):
    tokens, ids = tokenizer.tokenize(TEXTS[0]), tokenizer(TEXTS[0]).input_ids
    assert tokenizer.encode(tokens) == tokenizer.encode(ids[1:-1]) == ids
    assert tokenizer.encode(TEXTS[0].split(), is_split_into_words=True) == ids
    assert tokenizer.encode(tokens, ids[1:-1]) == tokenizer.encode(TEXTS[0], TEXTS[0])
    assert tokenizer(tokens).input_ids == [tokenizer(token).input_ids for token in tokens]  # a call's batch stays one
    with pytest.raises(InputError, match=r"text holds 'The river.*which is no token: encode takes one text"):
        tokenizer.encode(TEXTS)


def test_rows_of_ids(tokenizer):
    plain = [tokenizer(text, add_special_tokens=False).input_ids for text in TEXTS]
    assert tokenizer.prepare_for_model(plain[0]) == tokenizer(TEXTS[0])
    assert tokenizer.prepare_for_model(*plain, max_length=9, truncation=True, padding="max_length") == tokenizer(
        *TEXTS, max_length=9, truncation=True, padding="max_length"
    )
    with pytest.raises(InputError, match="Ids cover no characters"):
        tokenizer.prepare_for_model(plain[0], return_offsets_mapping=True)
    ids = list(range(10))
    assert tokenizer.truncate_sequences(ids, None, 3, stride=2) == (ids[:7], None, ids[5:])
    assert tokenizer.truncate_sequences(ids, [1, 2], 3, "only_first") == (ids[:7], [1, 2], ids[7:])
    assert tokenizer.truncate_sequences(ids, [1, 2], 0) == (ids, [1, 2], [])
    tokenizer.truncation_side = "left"
    assert tokenizer.truncate_sequences(ids, None, 3, stride=2) == (ids[3:], None, ids[:5])


def test_tokens_of_a_pair(tokenizer):
    first, second = map(tokenizer.tokenize, TEXTS)
    assert tokenizer.tokenize(*TEXTS) == first + second
    assert tokenizer.tokenize(*TEXTS, add_special_tokens=True) == tokenizer(*TEXTS).tokens()


def test_pairs_of_words(tokenizer):
    words = [text.split() for text in TEXTS]
    assert tokenizer([tuple(words)], is_split_into_words=True) == tokenizer(
        [words[0]], [words[1]], is_split_into_words=True
    )


def test_special_tokens_as_text(tokenizer, tmp_path):
    assert tokenizer.mask_token in tokenizer.tokenize("a [MASK] b")
    assert tokenizer.mask_token not in tokenizer.tokenize("a [MASK] b", split_special_tokens=True)
    unsplit, split = tokenizer("a [MASK]"), tokenizer("a [MASK]", split_special_tokens=True)
    tokenizer.split_special_tokens = True
    assert tokenizer("a [MASK]") == split != unsplit == tokenizer("a [MASK]", split_special_tokens=False)
    tokenizer.save_pretrained(tmp_path)
    assert DebertaV2Tokenizer.from_pretrained(tmp_path)("a [MASK]") == split


def test_a_space_before_the_text_in_v1(small_byte_tokenizer, small_tokenizer):
    bare, spaced = small_byte_tokenizer("river"), small_byte_tokenizer(" river")
    assert small_byte_tokenizer("river", add_prefix_space=True).input_ids == spaced.input_ids != bare.input_ids
    assert small_byte_tokenizer.encode("river", add_prefix_space=False) == bare.input_ids
    assert small_byte_tokenizer.tokenize("river", add_prefix_space=True) == small_byte_tokenizer.tokenize(" river")
    assert small_tokenizer("river", add_prefix_space=True) == small_tokenizer("river")


def test_longer_than_the_model_is_said_once(tokenizer):
    tokenizer.model_max_length, tokenizer.deprecation_warnings = 4, {}
    with pytest.warns(
        DebertaWarning, match=r"A row has \d+ tokens, more than model_max_length=4\. Pass truncation=True"
    ):
        tokenizer(TEXTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer(TEXTS)
        tokenizer.deprecation_warnings = {}
        tokenizer(TEXTS, verbose=False)
        tokenizer(TEXTS, truncation=True)
        tokenizer(TEXTS, max_length=30, padding="max_length")
    with pytest.warns(DebertaWarning, match="more than model_max_length=4"):
        tokenizer(TEXTS, return_tensors="np", padding=True)


def test_padding_by_other_names(tokenizer):
    rows = [tokenizer(text) for text in TEXTS]
    padded = tokenizer.pad(rows, return_attention_mask=False, verbose=False)
    assert padded.input_ids == tokenizer(TEXTS, padding=True).input_ids
    bare = {"input_ids": [[], []]}
    assert tokenizer.pad(bare, padding="max_length", max_length=2).attention_mask == [[0, 0]] * 2
    assert "attention_mask" not in tokenizer.pad(bare, return_attention_mask=False)
    tokenizer.model_input_names = ["inputs", *tokenizer.model_input_names[1:]]
    assert tokenizer.pad({"inputs": [[5], [6, 7]]}).inputs == [[5, tokenizer.pad_token_id], [6, 7]]


def test_decoding_by_other_names(tokenizer):
    tokenizer.add_tokens(["<A>", "<B>"])
    ids = tokenizer("the <A><B> river").input_ids
    assert tokenizer.batch_decode([ids], True) == [tokenizer.decode(ids, skip_special_tokens=True)]
    assert tokenizer.decode(ids, True) == "the <A> <B> river"
    assert tokenizer.decode(ids, True, spaces_between_special_tokens=False) == "the<A><B>river"


# --- attributes ---


def test_attributes_by_other_names(tokenizer, small_fast_tokenizer):
    tokenizer.add_special_tokens({"additional_special_tokens": ["<e>"]})
    assert tokenizer.vocab == tokenizer.get_vocab()
    assert tokenizer.get_added_vocab() == tokenizer.added_tokens_encoder
    assert tokenizer.added_tokens_encoder["<e>"] == len(tokenizer) - 1 == tokenizer.additional_special_tokens_ids[0]
    assert tokenizer.extra_special_tokens == ["<e>"]
    assert (tokenizer.pad_token_type_id, tokenizer.init_inputs) == (0, ())
    assert (tokenizer.max_len_single_sentence, tokenizer.max_len_sentences_pair) == (62, 61)
    assert (tokenizer.is_fast, small_fast_tokenizer.is_fast) == (False, True)
    assert tokenizer.init_kwargs["do_lower_case"] is False
    assert tokenizer.init_kwargs.keys() >= {"vocab_file", "sp_model_kwargs", "model_max_length", "mask_token"}
    assert tokenizer.special_tokens_map_extended["mask_token"].special
    assert [token.content for token in tokenizer.all_special_tokens_extended] == tokenizer.all_special_tokens
    with pytest.raises(NotOffered, match=r"DebertaV2Tokenizer has no backend_tokenizer"):
        _ = tokenizer.backend_tokenizer
    assert small_fast_tokenizer.backend_tokenizer.encode(TEXTS[0]).ids == small_fast_tokenizer(TEXTS[0]).input_ids


@pytest.mark.parametrize("name", ["apply_chat_template", "prepare_seq2seq_batch", "push_to_hub"])
def test_refused_attributes_say_why(tokenizer, name):
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'\\. \\w+"):
        getattr(tokenizer, name)
    with pytest.raises(NotImplementedError):
        getattr(tokenizer, name)
    assert not hasattr(tokenizer, name)


def test_unknown_attributes_have_the_nearest_name(tokenizer):
    with pytest.raises(MissingName, match=r"no attribute 'pad_tokn'\. Did you mean 'pad_token'\?"):
        _ = tokenizer.pad_tokn


def test_every_name_of_the_tables_is_new(tokenizer):
    for name in TOKENIZER_ATTRIBUTES:
        assert name not in dir(DebertaV2TokenizerFast), name
    assert not TOKENIZER_CALL.keys() & TOKENIZER_OPTIONS.keys()


# --- assignments ---


def test_assigned_special_tokens_count(tokenizer, tmp_path):
    tokenizer.pad_token = "[SEP]"
    tokenizer.cls_token = AddedToken("<s>", special=True)
    tokenizer.mask_token_id = 7
    tokenizer.bos_token = None
    assert tokenizer.pad_token_id == tokenizer.sep_token_id
    tokenizer.save_pretrained(tmp_path)
    for one in (tokenizer, DebertaV2Tokenizer.from_pretrained(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
        rows = one(TEXTS, padding=True).input_ids
        assert rows[1][-1] == one.sep_token_id != 0
        assert rows[0][0] == one.cls_token_id == len(one) - 1
        assert (one.mask_token_id, one.mask_token) == (7, one.convert_ids_to_tokens(7))
        assert (one.bos_token, one.bos_token_id) == (None, None)
    tokenizer.additional_special_tokens_ids = [9]
    assert tokenizer.additional_special_tokens == [tokenizer.convert_ids_to_tokens(9)]
    tokenizer.additional_special_tokens = None
    assert tokenizer.additional_special_tokens_ids == []
    tokenizer.pad_token = None
    with pytest.raises(InputError, match="no pad_token"):
        tokenizer(TEXTS, padding=True)


def test_assigned_options_count(tokenizer):
    tokenizer.model_max_length, tokenizer.padding_side, tokenizer.truncation_side = 6, "left", "left"
    row = tokenizer(TEXTS[0], truncation=True).input_ids
    assert len(row) == 6
    assert row[1:] == tokenizer(TEXTS[0], verbose=False).input_ids[-5:]
    assert tokenizer("a", padding="max_length").input_ids[0] == tokenizer.pad_token_id
    tokenizer.model_input_names = ["input_ids"]
    assert list(tokenizer("a")) == ["input_ids"]
    assert list(tokenizer("a", return_attention_mask=True)) == ["input_ids", "attention_mask"]
    tokenizer.model_max_length = None
    assert tokenizer.model_max_length == int(1e30)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_length", 5, r"attribute 'max_length' is unknown\. Did you mean 'model_max_length'\?"),
        ("pad_tokn", "x", r"attribute 'pad_tokn' is unknown\. Did you mean 'pad_token'\?"),
        ("model_max_length", "5", r"model_max_length='5' is not a positive int"),
        ("padding_side", "top", r"padding_side='top' is unknown\. Use one of: right, left"),
        ("model_input_names", "input_ids", r"model_input_names is 'input_ids'"),
        ("do_lower_case", True, r"do_lower_case is fixed when a tokenizer is made\. Load it with do_lower_case"),
        ("split_by_punct", True, r"split_by_punct is fixed"),
        ("vocab_size", 9, r"vocab_size is fixed"),
        ("pad_token_type_id", 1, r"pad_token_type_id is fixed"),
        ("apply_chat_template", print, r"apply_chat_template cannot be assigned\. DeBERTa has no chat"),
    ],
)
def test_other_assignments_are_refused(tokenizer, name, value, message):
    with pytest.raises(InputError, match=message):
        setattr(tokenizer, name, value)


# --- added tokens ---


def test_tokens_of_the_tokenizers_library(v3, tmp_path):
    tokenizer = copy.deepcopy(v3)
    assert tokenizer.add_tokens([tokenizers.AddedToken("\n", normalized=False)]) == 1
    assert tokenizer("a\nb").input_ids == [1, 266, 128001, 2165, 2]
    added = tokenizer.add_special_tokens({"additional_special_tokens": [tokenizers.AddedToken("<e>", lstrip=True)]})
    assert (added, tokenizer.additional_special_tokens) == (1, ["<e>"])
    assert tokenizer.added_tokens_decoder[128002] == AddedToken("<e>", lstrip=True, special=True, normalized=True)
    assert tokenizer.add_tokens(tokenizers.AddedToken("<f>")) == 1
    assert tokenizer.add_tokens("") == tokenizer.add_tokens([]) == 0
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("a\nb <e><f>") == tokenizer("a\nb <e><f>")


@pytest.mark.parametrize(("normalized", "found"), [(True, [1, 1, 1]), (False, [0, 0, 1])])
def test_added_tokens_under_lower_case(small_tokenizer, normalized, found):
    tokenizer = DebertaV2Tokenizer(small_tokenizer.serialized_model, do_lower_case=True)
    tokenizer.add_tokens([AddedToken("New York", normalized=normalized)])
    counts = [tokenizer.tokenize(text).count("New York") for text in ("a new york b", "a NEW YORK b", "a New York b")]
    assert counts == found
    tokenizer.add_tokens([AddedToken("abc", normalized=False)])
    assert [tokenizer.tokenize(text).count("abc") for text in ("abc", "ABC", "xABC abc")] == [1, 0, 1]
    assert "[MASK]" in tokenizer.tokenize("A [MASK]")
    assert "[MASK]" not in tokenizer.tokenize("A [mask]")


def test_the_space_after_an_added_token_is_kept(v3):
    for special in (False, True):
        tokenizer = copy.deepcopy(v3)
        tokenizer.add_tokens(["<CHEMICAL>"], special_tokens=special)
        if special:
            tokenizer.add_special_tokens({"additional_special_tokens": ["<CHEMICAL>"]})
        tokens = ["▁The", "▁drug", "<CHEMICAL>", "▁works"]
        assert tokenizer.convert_tokens_to_string(tokens) == "The drug<CHEMICAL> works"


# --- constructors, training, saving ---


def test_options_by_other_names(small_tokenizer, small_byte_tokenizer, tmp_path):
    model = small_tokenizer.serialized_model
    tokenizer = DebertaV2Tokenizer(model, use_fast=True, keep_accents=True, legacy=False, extra_special_tokens=["<e>"])
    assert tokenizer.additional_special_tokens == ["<e>"]
    named = DebertaV2Tokenizer(model, extra_special_tokens={"image_token": "<i>"})
    assert named.additional_special_tokens == ["<i>"]
    with pytest.raises(AttributeError, match="option 'add_special_tokens' is unknown"):
        DebertaV2Tokenizer(model, add_special_tokens=True)
    with pytest.raises(InputError, match="extra_special_tokens and additional_special_tokens are two names"):
        DebertaV2Tokenizer(model, extra_special_tokens=["<e>"], additional_special_tokens=["<f>"])
    tokenizer.save_pretrained(tmp_path / "v3")  # with tokens of its own and a length, which other names replace too
    loaded = AutoTokenizer.from_pretrained(tmp_path / "v3", extra_special_tokens={"image_token": "<i>"}, max_len=64)
    assert (loaded.additional_special_tokens, loaded.model_max_length) == (["<i>"], 64)
    small_byte_tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path, do_lower_case=True, trust_remote_code=True)
    assert loaded("The River") == small_byte_tokenizer("The River")
    assert loaded.name_or_path == str(tmp_path)


def test_an_option_without_effect_reads_as_it_was_given(small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    for given in (True, False):
        loaded = DebertaV2TokenizerFast.from_pretrained(tmp_path, add_prefix_space=given)
        assert loaded.add_prefix_space is copy.copy(loaded).add_prefix_space is given
        assert loaded("The river") == small_tokenizer("The river")
    assert small_tokenizer.add_prefix_space is True  # as SentencePiece reads a text


@pytest.mark.parametrize(("vocab_size", "nearest"), [(100, "least"), (9000, "most")])
def test_training_gives_the_nearest_size_with_a_warning(small_tokenizer, small_byte_tokenizer, vocab_size, nearest):
    for old in (small_tokenizer, small_byte_tokenizer):
        with pytest.warns(
            DebertaWarning, match=rf"vocab_size={vocab_size} is not possible .* tokens\. Ask for as many"
        ):
            new = old.train_new_from_iterator(iter(TEXTS), vocab_size)
        for text in TEXTS:
            assert new.decode(new(text).input_ids, skip_special_tokens=True) == text
        assert (new.vocab_size > vocab_size) == (nearest == "least")
        assert old.train_new_from_iterator(TEXTS, new.vocab_size).vocab_size == new.vocab_size  # without one
        with pytest.raises(TokenizationError, match=f"vocab_size={vocab_size} is too"):
            old.train_new_from_iterator(TEXTS, vocab_size, hard_vocab_limit=True)


def test_special_tokens_with_flags_are_those_of_the_library(small_byte_tokenizer):
    """Code for transformers asks for this class."""
    mask = small_byte_tokenizer.special_tokens_map_extended["mask_token"]
    assert isinstance(mask, tokenizers.AddedToken)
    assert (mask.content, mask.lstrip, mask.rstrip, mask.normalized, mask.special) == (
        "[MASK]",
        True,
        False,
        True,
        True,
    )
    assert mask in small_byte_tokenizer.all_special_tokens_extended


def test_training_by_other_names(small_tokenizer, prose):
    trained = small_tokenizer.train_new_from_iterator(
        prose, 400, length=9, new_special_tokens=["<n>"], special_tokens_map={"[CLS]": "<s>", "[MASK]": "<mask>"}
    )
    assert (trained.cls_token, trained.bos_token, trained.mask_token) == ("<s>", "<s>", "<mask>")
    assert trained.additional_special_tokens == ["<n>"]
    assert trained("a").tokens()[0] == "<s>"


def test_saving_by_other_names(small_fast_tokenizer, tmp_path):
    files = small_fast_tokenizer.save_pretrained(tmp_path, filename_prefix="my")
    assert {file.rsplit("/", 1)[1] for file in files} >= {
        "my-spm.model",
        "my-tokenizer.json",
        "my-tokenizer_config.json",
    }
    assert all(file.rsplit("/", 1)[1].startswith("my-") for file in files)
    slow = small_fast_tokenizer.save_pretrained(tmp_path / "slow", legacy_format=True)
    assert not any(file.endswith("tokenizer.json") for file in slow)
    assert DebertaV2TokenizerFast.from_pretrained(tmp_path / "slow")("a") == small_fast_tokenizer("a")
    with pytest.raises(NotOffered, match="huggingface_hub"):
        small_fast_tokenizer.save_pretrained(tmp_path, push_to_hub=True)


def test_bytes_that_a_vocabulary_lacks(tmp_path):
    (tmp_path / "vocab.json").write_text('{"l": 0, "o": 1, "lo": 2, "[UNK]": 3}')
    (tmp_path / "merges.txt").write_text("l o\n")
    tokenizer = DebertaTokenizer(tmp_path / "vocab.json", tmp_path / "merges.txt")
    encoding = tokenizer("loxl", return_offsets_mapping=True)
    assert encoding.input_ids[1:-1] == [2, 3, 0]
    assert encoding.offset_mapping[1:-1] == [(0, 2), (2, 3), (3, 4)]
    tokenizer.save_pretrained(tmp_path)
    assert DebertaTokenizer.from_pretrained(tmp_path)("loxl") == tokenizer("loxl")
