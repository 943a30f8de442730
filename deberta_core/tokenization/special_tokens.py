"""Tokens that a text is cut at before its vocabulary sees it: their flags, their ids, and the cutting."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import Any, Protocol

from deberta_core.errors import TokenizationError

# The named special tokens, in the order in which missing ones are appended to the vocabulary.
SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is found in a text as it stands.

    Args:
        content: the token's text.
        single_word: only found where no other character than a space touches it.
        lstrip: takes the whitespace before it away.
        rstrip: takes the whitespace after it away.
        special: a token of the model, which `skip_special_tokens` removes, and not part of the language.
        normalized: whether lower-casing applies to it; None: to those that are not special.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    special: bool = False
    normalized: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.content, str) or not self.content:
            raise TokenizationError(f"content={self.content!r} is no token. An added token is a non-empty str.")
        if self.normalized is None:
            object.__setattr__(self, "normalized", not self.special)

    def __str__(self) -> str:
        return self.content

    @classmethod
    def from_json(cls, value: object, source: str) -> AddedToken:
        """Reads a token as the JSON files hold it: a dict of the fields; a str is a special token without flags.

        Raises:
            TokenizationError: the value is something else; `source` says where it stands.
        """
        if isinstance(value, str):
            return cls(value, special=True)
        fields = {name: part for name, part in value.items() if name != "__type"} if isinstance(value, Mapping) else {}
        if "content" not in fields or fields.keys() - {field.name for field in dataclass_fields(cls)}:
            raise TokenizationError(f"{source} holds {value!r}, which is no token. Use a str, or a dict with content.")
        return cls(**fields)

    def as_special(self) -> AddedToken:
        """The same token, marked as special."""
        return replace(self, special=True)

    def to_json(self) -> dict[str, Any]:
        """The fields as tokenizer_config.json holds them."""
        return asdict(self)


class HasSpecialTokens(Protocol):
    """What the two descriptors below need."""

    special_tokens_map: dict[str, Any]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Gives the id of a token."""


class SpecialToken:
    """Attribute such as `cls_token`: the token's text, None where the tokenizer has none."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tokenizer: HasSpecialTokens, owner: type) -> str | None:
        token: str | None = tokenizer.special_tokens_map.get(self._name)
        return token


class SpecialTokenId:
    """Attribute such as `cls_token_id`: the token's id, None where the tokenizer has none."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name.removesuffix("_id")

    def __get__(self, tokenizer: HasSpecialTokens, owner: type) -> int | None:
        token = tokenizer.special_tokens_map.get(self._name)
        index: int | None = None if token is None else tokenizer.convert_tokens_to_ids(token)
        return index


class AddedVocabulary:
    """The added tokens of a tokenizer by id and by content, and how texts are cut at them.

    Args:
        tokens: the tokens by id.
        special: contents of the tokens with a role, which lower-casing leaves alone.
    """

    def __init__(self, tokens: Mapping[int, AddedToken], special: Sequence[str]) -> None:
        self.by_id = dict(sorted(tokens.items()))
        self.ids = {token.content: index for index, token in self.by_id.items()}
        self._tokens = {token.content: token for token in self.by_id.values()}
        normalized = [token.content for token in self.by_id.values() if token.normalized and not token.special]
        self._any = _pattern(self.ids)
        self._kept = _pattern([*special, *normalized])

    def split(self, text: str) -> list[str]:
        """Cuts a text before and after every added token; no part is empty, and the parts in `ids` are tokens."""
        parts = [part for part in self._any.split(text) if part]
        for place, part in enumerate(parts):
            if part in self._tokens:
                _apply_flags(parts, place, self._tokens[part])
        return [part for part in parts if part]

    def lower(self, text: str) -> str:
        """Lower-cases what lies between the tokens, character by character."""
        parts = self._kept.split(text)
        # str.lower looks at a capital sigma's neighbours; a published vocabulary saw one character at a time.
        parts[::2] = [part.replace("Σ", "σ").lower() for part in parts[::2]]
        return "".join(parts)


def _pattern(contents: Iterable[str]) -> re.Pattern[str]:
    # Longest first, so that of two tokens that start alike the longer one is found; "(?!)" never matches.
    ordered = sorted(set(contents), key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, ordered)) or '(?!)'})")


def _apply_flags(parts: list[str], place: int, token: AddedToken) -> None:
    left = parts[place - 1] if place > 0 else ""
    right = parts[place + 1] if place + 1 < len(parts) else ""
    if token.rstrip and right:
        parts[place + 1] = right.lstrip()
    if token.lstrip and left:
        parts[place - 1] = left.rstrip()
    if token.single_word and left and left[-1] != " ":
        parts[place - 1] += token.content
        parts[place] = ""
    elif token.single_word and right and right[0] != " ":
        parts[place + 1] = token.content + parts[place + 1]
        parts[place] = ""
