"""Arguments and arrays of every kind, where others are expected: always one of our errors, or an answer."""

import contextlib

import numpy as np
import pytest

from deberta_core import AutoConfig, DebertaV2Config, DebertaV2Tokenizer
from deberta_core.checkpoint import find_weight_file, format_named
from deberta_core.checkpoint.shards import shard_size
from deberta_core.collation import DataCollatorForLanguageModeling, DataCollatorWithPadding
from deberta_core.errors import DebertaError, InputError, MissingName
from deberta_core.parameters import expand
from deberta_core.reference import forward
from deberta_core.tokenization import DebertaTokenizer

CONFIG = DebertaV2Config(
    vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, type_vocab_size=2
)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


VALUES = [
    *(None, 5, -1, 2.5, True, 10**30, float("nan"), b"x", "\ud800", object()),
    *([], [5], ["a", 5], [None], [[1]], [[[]]], [10**30], ["\ud800"], (1, 2), {1}, range(3), nested(3000)),
    *({}, {"a": 1}, {5: 5}, {"input_ids": 5}, {"input_ids": [1, 2], "labels": object()}, {"input_ids": nested(3000)}),
    *([{"input_ids": 5}], [{"input_ids": [1]}, {"labels": 1}], {"cls_token": 5}, {"additional_special_tokens": 5}),
    *(np.zeros(3), np.zeros((2, 2)), np.array("x"), np.array(5)),
]
METHODS = (
    *("decode", "batch_decode", "convert_ids_to_tokens", "convert_tokens_to_ids", "convert_tokens_to_string"),
    *("add_tokens", "add_special_tokens", "pad", "tokenize", "encode", "build_inputs_with_special_tokens"),
    *("create_token_type_ids_from_sequences", "get_special_tokens_mask"),
)
OPTIONS = (
    *("text_pair", "padding", "truncation", "max_length", "stride", "is_split_into_words", "pad_to_multiple_of"),
    *("padding_side", "return_tensors"),
)
CONSTRUCTOR = (
    *("vocab_file", "do_lower_case", "sp_model_kwargs", "mask_token", "added_tokens_decoder", "padding_side"),
    *("additional_special_tokens", "model_max_length", "clean_up_tokenization_spaces"),
)
OF_ENCODINGS = ("tokens", "sequence_ids", "word_ids", "token_to_word", "token_to_chars", "char_to_token")


def try_all(call, values=VALUES):
    for value in values:
        with contextlib.suppress(DebertaError):
            call(value)


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_tokenizers(small_tokenizer, small_byte_tokenizer, method):
    serialized = small_tokenizer.serialized_model
    try_all(lambda value: getattr(DebertaV2Tokenizer(serialized, model_max_length=64), method)(value))
    if not method.startswith("add"):  # those of the fixture must not change
        try_all(getattr(small_byte_tokenizer, method))


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_a_call(small_tokenizer, option):
    try_all(lambda value: small_tokenizer("The river", **{option: value}))
    windows = {"padding": True, "truncation": True, "max_length": 8, "return_overflowing_tokens": True}
    try_all(lambda value: small_tokenizer(["The river rises in the hills"], **{**windows, option: value}))


@pytest.mark.parametrize("name", CONSTRUCTOR)
def test_options_of_a_constructor(small_tokenizer, name):
    try_all(lambda value: DebertaV2Tokenizer(**{"vocab_file": small_tokenizer.serialized_model, name: value}))


@pytest.mark.parametrize("method", OF_ENCODINGS)
def test_methods_of_encodings(small_tokenizer, method):
    try_all(getattr(small_tokenizer("The river rises"), method))


@pytest.mark.parametrize("field", DebertaV2Config.field_names())
def test_fields_of_a_configuration(field):
    try_all(lambda value: DebertaV2Config(**{field: value}))


@pytest.mark.parametrize(
    "call",
    [
        DebertaV2Config.from_dict,
        DebertaV2Config.preset,
        AutoConfig.for_model,
        lambda value: DebertaTokenizer(value, value),
        lambda value: DebertaV2Tokenizer.train(value, 300),
        lambda value: expand(CONFIG, value),
        lambda value: forward(CONFIG, {}, value),
        find_weight_file,
        format_named,
        shard_size,
    ],
)
def test_functions(call):
    try_all(call, [value for value in VALUES if value is not None or call is not DebertaV2Config.from_dict])


@pytest.mark.parametrize("collator", [DataCollatorWithPadding, DataCollatorForLanguageModeling])
def test_collators(small_tokenizer, collator):
    try_all(collator(small_tokenizer))


ARRAYS = [
    *(5, "x", b"x", [], [[]], [[1, 2], [1]], [[1, "a"]], [[None, 1]], object(), {"a": 1}, [[True, False]]),
    *([[10**30, 1]], [[-1, 2]], np.array([[1, 2]], "U"), np.array([[1, 2]], object), np.array([[1 + 1j, 2]])),
    *(np.array([[1.5, np.nan]]), np.array([[np.inf, 1]]), np.zeros((1, 2), "M8[s]"), np.zeros((2, 0), int)),
    *(np.array([[1, 2]], np.uint64), np.array([[1, 2]], np.int8), np.zeros((1, 2, 2)), np.array([[1]], [("a", int)])),
]


@pytest.mark.parametrize("task", [None, "sequence_classification", "token_classification", "question_answering"])
@pytest.mark.parametrize(
    "name",
    ["input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds", "labels", "start_positions"],
)
def test_inputs_of_a_model(random_weights, task, name):
    weights = random_weights(CONFIG, task)
    inputs = {} if name == "inputs_embeds" else {"input_ids": [[1, 2]]}
    try_all(lambda value: forward(CONFIG, weights, {**inputs, name: value}, task), ARRAYS)


def test_a_missing_name_is_what_callers_expect(small_tokenizer):
    encoding = small_tokenizer("a")
    assert not hasattr(encoding, "logits")
    for error in (InputError, KeyError, AttributeError, MissingName):
        with pytest.raises(error, match=r"^The encoding has no 'logits'\. It holds: input_ids"):
            encoding["logits"]
    with pytest.raises(MissingName, match=r"The parameters have no embeddings\."):
        forward(CONFIG, {}, {"input_ids": [[1]]})
