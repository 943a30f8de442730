"""The options all tokenizers share: their types, defaults and checks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from deberta_core.errors import InputError, one_of, shown
from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.lengths import NO_LIMIT, SIDES, check_choice


class TokenizerOptions(TypedDict, total=False):
    """Options of all tokenizers.

    The seven special tokens, None for one the tokenizer shall not have; `additional_special_tokens`;
    `added_tokens_decoder`, tokens with given ids; `model_max_length` in tokens; `padding_side` and `truncation_side`,
    "right" or "left"; `clean_up_tokenization_spaces`, whether decoding removes the space before punctuation.
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
}
SAVED_OPTIONS = ("model_max_length", "padding_side", "truncation_side", "clean_up_tokenization_spaces")


def checked_options(options: Mapping[str, Any], own: Sequence[str], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Fills up with the defaults and checks the values.

    Args:
        options: what the caller gave.
        own: names of further options of the class, for the message.
        defaults: of the class, where they are not DEFAULTS.

    Raises:
        InputError: an option is unknown or has a value it cannot have.
    """
    if unknown := sorted(options.keys() - DEFAULTS.keys()):
        raise InputError(one_of("option", unknown[0], (*own, *DEFAULTS)))
    settings = {**DEFAULTS, **defaults, **options}
    for side in ("padding_side", "truncation_side"):
        check_choice(side, settings[side], SIDES)
    check_bool("clean_up_tokenization_spaces", settings["clean_up_tokenization_spaces"])
    limit = settings["model_max_length"]
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 1 <= limit < math.inf or limit % 1:
        raise InputError(f"model_max_length={shown(limit)} is not a positive int. Give a number of tokens.")
    settings["model_max_length"] = int(limit)
    additional, decoder = settings["additional_special_tokens"], settings["added_tokens_decoder"]
    if isinstance(additional, str) or not isinstance(additional, Sequence | None):
        raise InputError(f"additional_special_tokens={shown(additional)} is no list. Give a list of tokens.")
    is_map = isinstance(decoder, Mapping)
    if not is_map or not all(type(key) is int and isinstance(token, AddedToken) for key, token in decoder.items()):
        raise InputError(f"added_tokens_decoder={shown(decoder)} is not allowed. Give a mapping of int to AddedToken.")
    return settings


def check_bool(name: str, value: object) -> None:
    """Raises InputError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{name}={shown(value)} is not a bool. Use True or False.")
