"""Cutting a text at its punctuation marks."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import groupby

# Unicode calls some ASCII characters symbols, such as "$" and "`"; here all but letters, digits and space count.
_ASCII = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


@lru_cache(maxsize=4096)
def is_punctuation(character: str) -> bool:
    """Whether the character is an ASCII symbol or in one of Unicode's punctuation classes."""
    return character in _ASCII or unicodedata.category(character).startswith("P")


def split_at_punctuation(text: str) -> list[str]:
    """Cuts before and after every punctuation mark; the parts, put together, are the text."""
    parts: list[str] = []
    for is_mark, run in groupby(text, key=is_punctuation):
        characters = list(run)
        parts += characters if is_mark else ["".join(characters)]
    return parts
