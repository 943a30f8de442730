"""The shapes of the JSON files of tokenizers."""

from __future__ import annotations

from typing import Any

from deberta_core.json_shape import (
    ANY,
    FLAG,
    NUMBER,
    TEXT,
    Problem,
    either,
    integer,
    is_number,
    kind,
    list_of,
    map_of,
    optional,
    record,
)
from deberta_core.limits import LIMITS
from deberta_core.tokenization.added_tokens import SPECIAL_NAMES

ID = integer(0, LIMITS["vocabulary"].most - 1, "an id")
_ID_TEXT = kind("an id", lambda key: isinstance(key, str) and key.isdecimal() and key.isascii() and len(key) < 9)
_FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "special"), FLAG) | {"normalized": optional(FLAG)}
_WORD = kind("a token", lambda value: isinstance(value, str) and value != "")
_TOKEN = either("a token, a string or an object with content", _WORD, record({"content": _WORD}, _FLAGS))
_TOKENS = optional(list_of(_TOKEN))
_ROLES = dict.fromkeys(SPECIAL_NAMES, optional(_TOKEN)) | {"additional_special_tokens": _TOKENS}
_LENGTH = kind("a whole number from 1 on", lambda value: NUMBER(value) is None and value >= 1 and value % 1 == 0)
_SIDE = kind("right or left", lambda value: value in ("right", "left"))

VOCABULARY = map_of(ID)
ADDED_TOKENS = map_of(ID)
SPECIAL_TOKENS = record({}, _ROLES)
TOKENIZER_CONFIG = record(
    {},
    {
        **_ROLES,
        "added_tokens_decoder": map_of(_TOKEN, _ID_TEXT),
        "extra_special_tokens": optional(either("a list of tokens or an object of them", list_of(_TOKEN), map_of(ANY))),
        "tokenizer_class": optional(TEXT),
        "model_max_length": _LENGTH,
        "padding_side": _SIDE,
        "truncation_side": _SIDE,
        "clean_up_tokenization_spaces": FLAG,
        "do_lower_case": FLAG,
        "split_by_punct": FLAG,
        "add_prefix_space": optional(FLAG),
        "errors": TEXT,
        "sp_model_kwargs": optional(map_of(ANY)),
    },
)
# The arguments of SentencePieceProcessor whose values it does not check itself, or not before texts come.
SENTENCEPIECE_OPTIONS = record(
    {},
    {
        "enable_sampling": FLAG,
        "nbest_size": integer(-1, 512),  # its own limit
        "alpha": NUMBER,
        "num_threads": integer(-1, 1024),
        **dict.fromkeys(("add_bos", "add_eos", "reverse", "emit_unk_piece"), FLAG),
    },
)


def _part(value: Any) -> Problem | None:
    """A normalizer, pre-tokenizer or decoder; a Sequence holds others."""
    return _PART(value)


PARTS = ("normalizers", "pretokenizers", "decoders")
_PATTERN = either("an object with String or Regex", record({"String": TEXT}), record({"Regex": TEXT}))
_PART = record(
    {"type": TEXT},
    {
        **dict.fromkeys(PARTS, list_of(_part)),
        "pattern": either("a pattern", TEXT, _PATTERN),
        "content": TEXT,
        "precompiled_charsmap": optional(TEXT),
    },
)
# Of what there are hundreds of thousands, one function sees the whole.
_PIECE = kind(
    "a token and its score",
    lambda row: type(row) is list and len(row) == 2 and type(row[0]) is str and is_number(row[1]),
)
_MERGE = kind(
    "a pair of tokens",
    lambda row: (
        row.count(" ") == 1 if type(row) is str else type(row) is list and [type(part) for part in row] == [str, str]
    ),
)
TOKENIZER = record(
    {
        "model": record(
            {"vocab": either("an object of ids or a list of tokens with scores", map_of(ID), list_of(_PIECE))},
            {"type": TEXT, "merges": list_of(_MERGE), "unk_id": optional(ID), "unk_token": optional(TEXT)},
        )
    },
    {
        "added_tokens": optional(list_of(record({"id": ID, "content": _WORD}, _FLAGS))),
        **dict.fromkeys(("normalizer", "pre_tokenizer", "decoder"), optional(_part)),
    },
)
