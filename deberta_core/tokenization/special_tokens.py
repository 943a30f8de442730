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


@dataclass(slots=True)
class Part:
    """A part of a text, in characters: an added token, or what lies between two of them.

    Args:
        start: its first character.
        end: the first character after it.
        token: the added token.
    """

    start: int
    end: int
    token: str | None = None


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

    def split(self, text: str) -> list[Part]:
        """Cuts a text before and after every added token; no part is empty."""
        found = list(self._any.finditer(text))
        if not found:
            return [Part(0, len(text))] if text else []
        parts: list[Part] = []
        end = 0
        for match in found:
            parts += [Part(end, match.start()), Part(match.start(), match.end(), match.group())]
            end = match.end()
        parts.append(Part(end, len(text)))
        for place in range(1, len(parts), 2):
            token = self._tokens[parts[place].token or ""]
            if token.lstrip or token.rstrip or token.single_word:
                _apply_flags(text, parts, place, token)
        return [part for part in parts if part.start < part.end]

    def lower(self, text: str) -> tuple[str, list[int] | None]:
        """Lower-cases what lies between the tokens, character by character.

        Returns:
            The text, and where its characters stand in the original, its end included; None if at the same place. Of
            several characters that one became, the first stands there and the rest after it.
        """
        parts = self._kept.split(text)
        # str.lower looks at a capital sigma's neighbours; a published vocabulary saw one character at a time.
        lowered = [part if place % 2 else part.replace("Σ", "σ").lower() for place, part in enumerate(parts)]
        result = "".join(lowered)
        if len(result) == len(text):
            return result, None
        places: list[int] = []
        start = 0
        for number, part in enumerate(parts):
            for character in part:
                length = 1 if number % 2 else len(character.lower())
                places += [start, *[start + 1] * (length - 1)]
                start += 1
        return result, [*places, start]


def _pattern(contents: Iterable[str]) -> re.Pattern[str]:
    # Longest first, so that of two tokens that start alike the longer one is found; "(?!)" never matches.
    ordered = sorted(set(contents), key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, ordered)) or '(?!)'})")


def _apply_flags(text: str, parts: list[Part], place: int, token: AddedToken) -> None:
    left, here, right = parts[place - 1 : place + 2]
    left_text, right_text = text[left.start : left.end], text[right.start : right.end]
    # Between two tokens that touch there is an empty part; their neighbour is then the other token.
    before = left_text or (place > 2 and parts[place - 2].token) or ""
    after = right_text or (place + 2 < len(parts) and parts[place + 2].token) or ""
    if token.rstrip:
        right.start = right.end - len(right_text.lstrip())
    if token.lstrip:
        left.end = left.start + len(left_text.rstrip())
    if token.single_word and before and before[-1] != " ":
        here.token = None
        left.end, here.start = here.end, here.end
    elif token.single_word and after and after[0] != " ":
        here.token = None
        right.start, here.end = here.start, here.start
