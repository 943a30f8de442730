"""The JSON files beside a vocabulary: tokenizer_config.json, special_tokens_map.json and added_tokens.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deberta_core.errors import TokenizationError
from deberta_core.files import read_json, write_text
from deberta_core.json_shape import Shape
from deberta_core.tokenization.added_tokens import SPECIAL_NAMES, AddedToken
from deberta_core.tokenization.json_shapes import ADDED_TOKENS, SPECIAL_TOKENS, TOKENIZER_CONFIG
from deberta_core.tokenization.vocabulary import Vocabulary

CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"
ADDED_FILE = "added_tokens.json"
_SHAPES = {CONFIG_FILE: TOKENIZER_CONFIG, SPECIAL_FILE: SPECIAL_TOKENS, ADDED_FILE: ADDED_TOKENS}
SETTINGS_FILES = tuple(_SHAPES)
TOKEN_OPTIONS = (*SPECIAL_NAMES, "additional_special_tokens")
# Entries that say where a tokenizer was read from, or that other files and arguments stand for.
NOT_KEPT = {
    "added_tokens_decoder",
    "backend",
    "is_local",
    "local_files_only",
    "merges_file",
    "name_or_path",
    "special_tokens_map_file",
    "tokenizer_class",
    "tokenizer_file",
    "vocab_file",
}
# Classes of transformers that hold any tokenizer, so that their name says nothing.
ANY_CLASS = ("PreTrainedTokenizer", "TokenizersBackend")
_HINT = "A tokenizer folder holds the JSON files as save_pretrained writes them."


@dataclass(frozen=True, slots=True)
class Settings:
    """What the JSON files of a folder say."""

    options: dict[str, Any]  # arguments for the tokenizer's constructor
    extra: dict[str, Any]  # entries of tokenizer_config.json that no argument stands for, written back on saving


def read_settings(
    folder: Path, names: Sequence[str], tokenizer_class: str | None, described: Mapping[int, AddedToken]
) -> Settings:
    """Reads the JSON files of a folder; any of them may be missing.

    An `added_tokens_decoder` in tokenizer_config.json makes the other two files redundant, as it does upstream.

    Args:
        folder: the folder.
        names: options of the constructor that tokenizer_config.json may hold, beside the special tokens.
        tokenizer_class: the class that reads; `...Fast` counts as the same, and so does a class that can be any; None
            if it reads the folders of all.
        described: the added tokens that a tokenizer.json holds.

    Raises:
        TokenizationError: a file is broken, two contradict each other, or the folder is another class's.
    """
    config, special_map, added = (_read(folder / file, shape) for file, shape in _SHAPES.items())
    found = config.get("tokenizer_class") or tokenizer_class
    if tokenizer_class and str(found).removesuffix("Fast") not in (tokenizer_class, *ANY_CLASS):
        raise TokenizationError(f"{folder} holds a {found}, not a {tokenizer_class}. Load it with that class.")
    if isinstance(config.get("extra_special_tokens"), list):  # the name in transformers 5
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    options = {name: config[name] for name in names if name in config}
    extra = {name: value for name, value in config.items() if name not in {*names, *TOKEN_OPTIONS, *NOT_KEPT}}
    roles = {name: _role(config[name], name, CONFIG_FILE) for name in TOKEN_OPTIONS if name in config}
    if "added_tokens_decoder" in config:
        decoder = config["added_tokens_decoder"]
        tokens = {int(key): AddedToken.from_json(value, CONFIG_FILE) for key, value in decoder.items()}
    else:
        older = roles.get("additional_special_tokens") or []
        roles |= {name: _role(special_map[name], name, SPECIAL_FILE) for name in TOKEN_OPTIONS if name in special_map}
        roles["additional_special_tokens"] = [*older, *(roles.get("additional_special_tokens") or ())]
        special = {str(token) for role in roles.values() for token in (role if isinstance(role, list) else [role])}
        tokens = {index: AddedToken(text, special=text in special) for text, index in added.items()}
        tokens |= {index: token for index, token in described.items() if str(tokens.get(index, token)) == str(token)}
    _check_agreement(tokens, described)
    if "added_tokens_decoder" in config or described:
        known = {token.content: token for token in tokens.values()}
        roles = {name: _flagged(value, known) for name, value in roles.items()}
    return Settings({**options, **roles, "added_tokens_decoder": {**described, **tokens}}, extra)


def write_settings(folder: Path, prefix: str, config: Mapping[str, Any], vocabulary: Vocabulary) -> tuple[Path, ...]:
    """Writes the JSON files, their names after a prefix; `config` is for tokenizer_config.json."""
    roles: dict[str, AddedToken | list[AddedToken]] = {name: role for name, role in vocabulary.roles().items() if role}
    texts = {name: _each(roles.get(name), str) for name in TOKEN_OPTIONS}
    decoder = {str(index): token.to_json() for index, token in vocabulary.by_id.items()}
    first_added = vocabulary.model.vocab_size
    contents: dict[str, Mapping[str, Any]] = {
        CONFIG_FILE: {**config, **texts, "added_tokens_decoder": decoder},
        SPECIAL_FILE: {name: _each(role, _without_special) for name, role in roles.items()},
        ADDED_FILE: {token: index for token, index in vocabulary.ids.items() if index >= first_added},
    }
    return tuple(
        write_text(folder / f"{prefix}{file}", json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        for file, content in contents.items()
        if content  # often there are no added tokens
    )


def _read(file: Path, shape: Shape) -> dict[str, Any]:
    return read_json(file, TokenizationError, _HINT, shape) if file.exists() else {}


def _role(value: Any, name: str, source: str) -> Any:
    if value is None or isinstance(value, str):
        return value
    if name == "additional_special_tokens" and isinstance(value, list):
        return [_role(part, "", source) for part in value]
    # special_tokens_map.json does not say "special": every token in it is.
    return AddedToken.from_json({**value, "special": True} if isinstance(value, dict) else value, source)


def _check_agreement(tokens: Mapping[int, AddedToken], described: Mapping[int, AddedToken]) -> None:
    for index in tokens.keys() & described.keys():
        if str(tokens[index]) != str(described[index]):
            raise TokenizationError(
                f"id {index} is {str(described[index])!r} in tokenizer.json, but {str(tokens[index])!r} in the files "
                f"beside it. Remove the file that is wrong."
            )


def _flagged(role: Any, known: Mapping[str, AddedToken]) -> Any:
    if isinstance(role, list):
        return [_flagged(part, known) for part in role]
    return known.get(str(role), role)


def _each(role: AddedToken | list[AddedToken] | None, convert: Any) -> Any:
    if isinstance(role, list):
        return [convert(token) for token in role]
    return None if role is None else convert(role)


def _without_special(token: AddedToken) -> dict[str, Any]:
    return {name: value for name, value in token.to_json().items() if name != "special"}
