"""Which tokens make a word, for masking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

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
            token = self._tokenizer.convert_ids_to_tokens(index)
            text = self._tokenizer.convert_tokens_to_string(["a", token, "a"])  # letters: spaces at the ends are lost
            self._known[index] = text[1:2].isspace()
        return self._known[index]


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
