"""The options all tokenizers share: their types, defaults and checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from deberta_core.arguments import items_of
from deberta_core.errors import InputError, MissingName, shown
from deberta_core.names.rows import own_keywords
from deberta_core.names.tokenizers import TOKENIZER_OPTIONS
from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.lengths import NO_LIMIT, SIDES, check_choice


class TokenizerOptions(TypedDict, total=False):
    """Options of all tokenizers.

    The seven special tokens, None for one the tokenizer shall not have; `additional_special_tokens`;
    `added_tokens_decoder`, tokens with given ids; `model_max_length` in tokens; `padding_side` and `truncation_side`,
    "right" or "left"; `clean_up_tokenization_spaces`, whether decoding removes the space before punctuation;
    `split_special_tokens`, whether special tokens in a text are cut like other text; `model_input_names`, of what a
    call returns.
    """

    bos_token: str | AddedToken | None
    eos_token: str | AddedToken | None
    unk_token: str | AddedToken | None
    sep_token: str | AddedToken | None
    pad_token: str | AddedToken | None
    cls_token: str | AddedToken | None
    mask_token: str | AddedToken | None
    additional_special_tokens: Sequence[str | AddedToken]
    added_tokens_decoder: Mapping[int, AddedToken]
    model_max_length: int
    padding_side: str
    truncation_side: str
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool
    model_input_names: Sequence[str]


DEFAULTS: dict[str, Any] = {
    "bos_token": "[CLS]",
    "eos_token": "[SEP]",
    "unk_token": AddedToken("[UNK]", special=True, normalized=True),
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "additional_special_tokens": (),
    "added_tokens_decoder": {},
    "model_max_length": NO_LIMIT,
    "padding_side": "right",
    "truncation_side": "right",
    "clean_up_tokenization_spaces": False,
    "split_special_tokens": False,
    "model_input_names": ("input_ids", "token_type_ids", "attention_mask"),
}


def checked_options(options: Mapping[str, Any], own: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Fills up with the defaults and checks the values.

    Args:
        options: what the caller gave.
        own: names of further options of the class, for the message.
        defaults: of the class, where they are not DEFAULTS.

    Raises:
        InputError: an option is unknown or has a value it cannot have.
    """
    given = own_keywords(TOKENIZER_OPTIONS, options, [*own, *DEFAULTS], "option", MissingName)
    settings = {**DEFAULTS, **defaults, **given}
    for name, check in CHECKS.items():
        if name in settings:
            settings[name] = check(name, settings[name])
    additional, decoder = settings["additional_special_tokens"], settings["added_tokens_decoder"]
    if isinstance(additional, Mapping):  # transformers 4 names such tokens
        settings["additional_special_tokens"] = additional = list(additional.values())
    if isinstance(additional, str) or not isinstance(additional, Sequence | None):
        raise InputError(f"additional_special_tokens={shown(additional)} is no list. Give a list of tokens.")
    if not isinstance(decoder, Mapping) or any(type(key) is not int for key in decoder):
        raise InputError(f"added_tokens_decoder={shown(decoder)} is not allowed. Give a mapping of int to AddedToken.")
    tokens = {index: AddedToken.of(token, "added_tokens_decoder") for index, token in decoder.items()}
    return {**settings, "added_tokens_decoder": tokens}


def check_bool(name: str, value: object) -> None:
    """Raises InputError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{name}={shown(value)} is not a bool. Use True or False.")


def _bool(name: str, value: Any) -> bool:
    check_bool(name, value)
    return bool(value)


def _side(name: str, value: Any) -> str:
    check_choice(name, value, SIDES)
    return str(value)


def _length(name: str, value: Any) -> int:
    if value is None:
        return NO_LIMIT
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < math.inf or value % 1:
        raise InputError(f"{name}={shown(value)} is not a positive int. Give a number of tokens.")
    return int(value)


def _names(name: str, value: Any) -> list[str]:
    names = items_of(value, name, "names")
    if not names or not all(isinstance(entry, str) for entry in names):
        raise InputError(f"{name}={shown(value)} is not allowed. Give names of inputs, that of the ids first.")
    return names


def _any(name: str, value: Any) -> Any:
    return value


# What may be assigned to a tokenizer, special tokens aside: the name, and the check that gives the value.
CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "model_max_length": _length,
    "padding_side": _side,
    "truncation_side": _side,
    "clean_up_tokenization_spaces": _bool,
    "split_special_tokens": _bool,
    "model_input_names": _names,
    "name_or_path": _any,
    "deprecation_warnings": _any,
}
SAVED_OPTIONS = tuple(name for name in CHECKS if name in DEFAULTS)
