"""Parts of a text, by their first character and the one after the last."""

from __future__ import annotations

import re
from typing import Any

from deberta_core.tokenization.byte_level_tokenizer import DebertaTokenizer

Span = tuple[int, int]


def trimmed(text: str, start: int, end: int) -> Span | None:
    """A part of a text without the white space around it, which v1 has tokens for; None if nothing is left."""
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    end = start + len(part.strip())
    return (start, end) if start < end else None


# What the pieces of the byte-level vocabulary were made of: GPT-2's words, without the space before them.
_BYTE_LEVEL_WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)|[^\W\d_]+|\d+|(?:[^\w\s]|_)+")
_WORDS = re.compile(r"\S+")


def whole_words(tokenizer: Any, text: str, span: Span) -> Span:
    """A part of a text, without white space around it, widened to the words that it shares characters with."""
    words = _BYTE_LEVEL_WORDS if isinstance(tokenizer, DebertaTokenizer) else _WORDS
    first, after = span
    while first and not text[first - 1].isspace():
        first -= 1
    while after < len(text) and not text[after].isspace():
        after += 1
    found = [word.span() for word in words.finditer(text, first, after)]
    shared = [(start, end) for start, end in found if start < span[1] and end > span[0]]
    return (shared[0][0], shared[-1][1]) if shared else span
