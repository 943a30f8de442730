"""Cutting a text before the model sees it: at added tokens, at punctuation, in lower case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from deberta_core.tokenization.added_tokens import AddedToken

# Unicode calls some ASCII characters symbols, such as "$" and "`"; here all but letters, digits and space count.
_ASCII = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class Ids(list[int]):
    """A text that was tokenized before, as ids."""


Text = str | list[str] | Ids  # a list of str holds the words of a text that was split before


class CutOptions(NamedTuple):
    """What is done to a text beside cutting it at added tokens."""

    lower: bool = False  # lower-cases everything but special tokens
    split: bool = False  # makes every punctuation mark a part of its own
    space: bool = False  # puts a space before the words of a pre-split text


@dataclass(slots=True)
class Part:
    """A part of a text: an added token, or what lies between two of them."""

    start: int  # its first character
    end: int  # the first character after it
    token: str | None = None


# A text as it was cut; its parts, none empty; where its characters and its end stand in the original, None if there.
Cut = tuple[str, list[Part], list[int] | None]


class Cutter:
    """Cuts texts into added tokens and parts that the model gets one by one.

    Args:
        tokens: the added tokens by id.
        roles: the tokens with a role, which lower-casing leaves alone, as it does special and not normalized ones.
        options: what else is done.
    """

    def __init__(self, tokens: Mapping[int, AddedToken], roles: Iterable[str], options: CutOptions) -> None:
        self._lowers, self._splits, self._spaces = options
        self.changes_texts = options.lower or options.split
        kept = {token.content for token in tokens.values() if token.special or not token.normalized}.union(roles)
        self._tokens: dict[str, AddedToken] = {}  # by what is found in a text
        for token in tokens.values():
            found = token.content if token.content in kept or not options.lower else _lowered(token.content)
            self._tokens.setdefault(found, token)
        self.added = _pattern(self._tokens)  # finds the added tokens
        self._kept = _pattern(kept)

    def cut(self, text: str, is_word: bool = False) -> Cut:
        """Cuts a text, or a word of a pre-split text."""
        places, given = None, text
        if self._lowers:
            text, places = self._lower(text)
        elif is_word and self._spaces and text and not text[0].isspace():
            text, places = f" {text}", [0, *range(len(text) + 1)]
        if self.added.search(text):
            parts = self._split(text, given, places)
        else:
            parts = [Part(0, len(text))] if text else []
        if self._splits:
            parts = [word for part in parts for word in ([part] if part.token else _words(text, part))]
        return text, parts, places

    def _split(self, text: str, given: str, places: list[int] | None) -> list[Part]:
        """Cuts before and after every added token; `given` is the text before it was changed."""
        parts: list[Part] = []
        found: list[AddedToken] = []
        end = 0
        for match in self.added.finditer(text):
            token, (start, stop) = self._tokens[match.group()], match.span()
            source = given[start:stop] if places is None else given[places[start] : places[stop]]
            if self._lowers and token.content == match.group() != source and not (token.normalized or token.special):
                continue  # lower-casing made it
            parts += [Part(end, start), Part(start, stop, token.content)]
            found.append(token)
            end = stop
        parts.append(Part(end, len(text)))
        for place, token in zip(range(1, len(parts), 2), found, strict=True):
            if token.lstrip or token.rstrip or token.single_word:
                _apply_flags(text, parts, place, token)
        return [part for part in parts if part.start < part.end]

    def _lower(self, text: str) -> tuple[str, list[int] | None]:
        """Lower-cases what lies between the tokens, character by character; and the places as `Cut` holds them.

        Of several characters that one became, the first stands in its place and the rest after it.
        """
        parts = self._kept.split(text)
        lowered = [part if place % 2 else _lowered(part) for place, part in enumerate(parts)]
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


def split_at_punctuation(text: str) -> list[str]:
    """Cuts before and after every punctuation mark; the parts, put together, are the text."""
    parts: list[str] = []
    for is_mark, run in groupby(text, key=_is_punctuation):
        characters = list(run)
        parts += characters if is_mark else ["".join(characters)]
    return parts


def _lowered(text: str) -> str:
    # str.lower looks at a capital sigma's neighbours; a published vocabulary saw one character at a time.
    return text.replace("Σ", "σ").lower()


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


@lru_cache(maxsize=4096)
def _is_punctuation(character: str) -> bool:
    """Whether the character is an ASCII symbol or in one of Unicode's punctuation classes."""
    return character in _ASCII or unicodedata.category(character).startswith("P")


def _words(text: str, part: Part) -> list[Part]:
    words, start = [], part.start
    for word in split_at_punctuation(text[part.start : part.end]):
        words.append(Part(start, start + len(word)))
        start += len(word)
    return words
