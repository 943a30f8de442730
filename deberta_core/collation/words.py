"""Which tokens make a word, for masking."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A longer run of tokens is text written without spaces, such as Chinese, and counts token by token.
LONGEST_WORD = 16  # tokens

Word = list[int]  # places of its tokens in the row


class WordStarts:
    """Knows which tokens begin a word: those that the tokenizer writes with a space, or a line end, before them.

    Args:
        tokenizer: is asked once per token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, bool] = {}

    def __call__(self, index: int) -> bool:
        """Tells whether the token with this id begins a word."""
        if index not in self._known:
            self._known[index] = _text_of(self._tokenizer, index)[:1].isspace()
        return self._known[index]


class WordStartTable:
    """Knows the same of many ids at once, and that one character of punctuation begins a word, too.

    Args:
        tokenizer: is asked once per token.

    Source:
        `NGramMaskGenerator` of microsoft/DeBERTa, which never joins one character of punctuation, white space or
        control to what is before it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known = np.full(len(tokenizer), -1, dtype=np.int8)

    def __call__(self, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """Tells which tokens begin a word, of any shape."""
        known = self._known[ids]
        if (unknown := np.unique(ids[known < 0])).size:
            self._known[unknown] = [self._begins(index) for index in unknown.tolist()]
            known = self._known[ids]
        begins: NDArray[np.bool_] = known == 1
        return begins

    def _begins(self, index: int) -> bool:
        text = _text_of(self._tokenizer, index)
        return text[:1].isspace() or (len(text) == 1 and _is_punctuation(text))


def _text_of(tokenizer: Any, index: int) -> str:
    text: str = tokenizer.convert_tokens_to_string(["a", tokenizer.convert_ids_to_tokens(index), "a"])
    return text[1:-1]  # between letters, since spaces at the ends are lost


def _is_punctuation(character: str) -> bool:
    is_ascii_sign = character.isascii() and character.isprintable() and not character.isalnum()
    return is_ascii_sign or unicodedata.category(character)[0] in "PZC"


def words_by_starts(ids: Sequence[int], maskable: Sequence[bool], starts: WordStarts) -> list[list[Word]]:
    """Cuts a row into words, the words into stretches between tokens that cannot be masked.

    Args:
        ids: of the row.
        maskable: for each token, whether it may be masked.
        starts: tells where words begin.
    """
    return _stretches(maskable, [starts(index) if free else True for index, free in zip(ids, maskable, strict=True)])


def words_by_ids(word_ids: Sequence[int], maskable: Sequence[bool]) -> list[list[Word]]:
    """Does the same where the word of each token is known; a token of no word, -1, stands alone."""
    before = [-1, *word_ids[:-1]]
    return _stretches(maskable, [word < 0 or word != last for word, last in zip(word_ids, before, strict=True)])


def _stretches(maskable: Sequence[bool], begins: Sequence[bool]) -> list[list[Word]]:
    stretches: list[list[Word]] = [[]]
    for place, (free, begin) in enumerate(zip(maskable, begins, strict=True)):
        if not free:
            stretches.append([])
        elif begin or not stretches[-1]:
            stretches[-1].append([place])
        else:
            stretches[-1][-1].append(place)
    return [[part for word in words for part in _short(word)] for words in stretches if words]


def _short(word: Word) -> Iterator[Word]:
    yield from [word] if len(word) <= LONGEST_WORD else ([place] for place in word)
