"""What a word of running text is: rules, of which the one that splits as training data do is kept with the model."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

Span = tuple[int, int]
CONFIG_KEY = "word_rule"  # in config.json, of a model that was trained on words

# Rule -> what a word is; white space is in none. W stands for a character of a word.
_PATTERNS = {
    # Letters, with their marks, and digits; every other character by itself.
    "unicode": r"W+|\S",
    # As the Penn Treebank: clitics by themselves; abbreviations, numbers and hyphenated words whole; and so are
    # addresses, mentions and hash tags.
    "penn": r"(?:https?://|www\.)\S*W+/?|[\w.+-]+@\w+(?:[.-]\w+)+|[@#]W+|W+(?=n['’]t\b)|n['’]t\b|"
    r"['’](?:s|S|re|ve|ll|d|m)\b|(?:[^\W\d_]\.){2,}|\d+(?:[.,:]\d+)+|W+(?:-W+)*|\.{2,}|\S",
    # What white space separates.
    "spaces": r"\S+",
}
WORD_RULES = tuple(_PATTERNS)
_NO_SPACE_BEFORE = re.compile(r" (?=(?:[.,;:!?%)\]}]|n['’]t\b|['’](?:s|S|re|ve|ll|d|m)\b)(?:$| ))")
_NO_SPACE_BEHIND = re.compile(r"(?<=[(\[{$#]) ")
LOOKED_AT = 2_000  # sentences


@cache
def _pattern(rule: str, with_ends: bool = False) -> re.Pattern[str]:
    marks = "".join(filter(lambda one: unicodedata.category(one)[0] == "M", map(chr, range(0x300, 0x1F000))))
    pattern = rf"\n+|{_PATTERNS[rule]}" if with_ends else _PATTERNS[rule]
    return re.compile(pattern.replace("W+", f"[\\w{marks}\u200d]+"))  # what joins characters is in their word


def split_words(text: str, rule: str, *, with_ends: bool = False) -> list[Span]:
    """The words of a text, by their first character and the one after the last.

    Args:
        text: any.
        rule: a name of `WORD_RULES`.
        with_ends: whether line feeds, those that follow one another together, are words, too.
    """
    return [found.span() for found in _pattern(rule, with_ends).finditer(text)]


def words_of_tokens(text: str, places: Sequence[Span]) -> list[int | None]:
    """The number of the word in which each token begins, words split from punctuation; None behind the last one.

    Args:
        text: as it was tokenized.
        places: the characters of its tokens, which may have white space before them; or none, as the first bytes of a
            character that takes several tokens have.
    """
    ends = [end for _, end in split_words(text, "unicode")]
    found: list[int | None] = []
    for start, end in places:
        first = end - len(text[start:end].lstrip())
        place = bisect_right(ends, first)  # the word of the character, or the next one
        found.append(place if place < len(ends) else None)
    return found


def join_words(words: Sequence[str]) -> str:
    """The running text of words: no space before closing punctuation and clitics, none behind opening brackets."""
    return _NO_SPACE_BEHIND.sub("", _NO_SPACE_BEFORE.sub("", " ".join(words)))


def choose_rule(sentences: Sequence[Sequence[str]]) -> str:
    """The rule that gives most of the words of sentences back when they are made running text; the first of equals."""

    def lost(rule: str) -> int:
        count = 0
        for words in sentences[:LOOKED_AT]:
            text = join_words(words)
            found = [text[start:end] for start, end in split_words(text, rule)]
            count += 0 if found == [*words] else len({*_places(found)} ^ {*_places(words)})
        return count

    return min(WORD_RULES, key=lost)


def _places(words: Sequence[str]) -> list[Span]:
    """Words by their characters, white space not counted."""
    places, end = [], 0
    for word in words:
        start, end = end, end + len("".join(word.split()))
        places.append((start, end))
    return places
