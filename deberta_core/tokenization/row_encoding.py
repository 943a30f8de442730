"""Where the tokens of one row are from: what `enc[0]` gives, and what the methods of a batch ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from deberta_core.errors import InputError, shown
from deberta_core.tokenization.lengths import Window
from deberta_core.tokenization.subwords import Aligned, Span


class CharSpan(NamedTuple):
    """A part of a text, in characters; `end` is the first one after it."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """A part of a row, in tokens; `end` is the first one after it."""

    start: int
    end: int


class Row(NamedTuple):
    """Where the tokens of a row are from."""

    sample: int  # which of the texts, or pairs, of the call
    window: Window  # what the row keeps of them
    special: bool  # whether it has [CLS] and [SEP]
    before: int = 0  # padding on the left, in tokens
    after: int = 0  # padding on the right

    def padded(self, gap: int, side: str) -> Row:
        """The row with `gap` tokens of padding on one side, "right" or "left"."""
        before, after = (0, gap) if side == "right" else (gap, 0)
        return Row(self.sample, self.window, self.special, before, after)

    def places(self) -> list[tuple[int, int] | None]:
        """For each token, its text (0 or 1) and its number among that text's tokens; None for what was added."""
        around: list[tuple[int, int] | None] = [None] if self.special else []
        places = [None] * self.before + around
        for sequence, kept in enumerate(self.window):
            if kept is not None:
                places += [(sequence, number) for number in range(kept.start, kept.stop)] + around
        return places + [None] * self.after


class Origin(NamedTuple):
    """Where the tokens of an encoding are from."""

    rows: list[Row]
    ids: list[list[int]]  # as many
    texts: list[tuple[Any, Any]]  # per sample, the first and the second text
    align: Callable[[int], list[Aligned]]  # gives, per sample, the texts' tokens and what they cover
    tokens: Callable[[Any], list[str]]  # gives the tokens of ids


class Encoding:
    """One row of an encoding, and the way from its tokens to the texts and back.

    Args:
        origin: where the tokens are from.
        number: of the row.

    Note:
        The names are those of `tokenizers.Encoding`. Words are those of a pre-split text; in another text, what
        whitespace separates.
    """

    def __init__(self, origin: Origin, number: int) -> None:
        self._row, self.ids = origin.rows[number], list(origin.ids[number])
        self._texts, self._align, self._names = origin.texts[self._row.sample], origin.align, origin.tokens

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Encoding(num_tokens={len(self)}, tokens={shown(self.tokens)})"

    @cached_property
    def tokens(self) -> list[str]:
        """The tokens, special ones and padding included."""
        return self._names(self.ids)

    @property
    def n_sequences(self) -> int:
        """Number of texts in the row, 1 or 2."""
        return len(self._row.window) - self._row.window.count(None)

    @property
    def attention_mask(self) -> list[int]:
        """1 for tokens, 0 for padding."""
        kept = len(self) - self._row.before - self._row.after
        return [0] * self._row.before + [1] * kept + [0] * self._row.after

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for special tokens around the texts and for padding."""
        return [int(place is None) for place in self._places]

    @property
    def type_ids(self) -> list[int]:
        """1 for the second text and the token after it."""
        last = max((number for number, place in enumerate(self._places) if place and place[0] == 1), default=-1)
        first = next((number for number, place in enumerate(self._places) if place and place[0] == 1), 0)
        end = last + 1 + (last >= 0)
        return [int(self._row.special and first <= number < end) for number in range(len(self))]

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The characters that each token covers in its text, or in its word; (0, 0) for special tokens."""
        return [(0, 0) if place is None else self._aligned[place[0]].spans[place[1]] for place in self._places]

    @property
    def sequence_ids(self) -> list[int | None]:
        """For each token 0 or 1 for the first or second text, None for special tokens around them."""
        return [place and place[0] for place in self._places]

    @cached_property
    def word_ids(self) -> list[int | None]:
        """For each token the index of its word in its text; None where it belongs to no word."""
        words = [
            text.words if text.words is not None else _words_of(source, text.spans)
            for text, source in zip(self._aligned, self._texts, strict=False)
        ]
        return [place and words[place[0]][place[1]] for place in self._places]

    @property
    def words(self) -> list[int | None]:
        """As `word_ids`."""
        return self.word_ids

    def token_to_sequence(self, token_index: int) -> int | None:
        """The text of a token; None for special tokens."""
        sequence: int | None = item(self.sequence_ids, token_index, "token")
        return sequence

    def token_to_word(self, token_index: int) -> int | None:
        """The index of a token's word."""
        word: int | None = item(self.word_ids, token_index, "token")
        return word

    def token_to_chars(self, token_index: int) -> CharSpan | None:
        """What a token covers in its text, or in its word if the text was pre-split; None for special tokens."""
        place = item(self._places, token_index, "token")
        return None if place is None else CharSpan(*self._aligned[place[0]].spans[place[1]])

    def word_to_tokens(self, word_index: int, sequence_index: int = 0) -> TokenSpan | None:
        """The tokens of a word; None if the row has none of them."""
        found = self._tokens_of(word_index, sequence_index)
        return TokenSpan(found[0], found[-1] + 1) if found else None

    def word_to_chars(self, word_index: int, sequence_index: int = 0) -> CharSpan | None:
        """What the tokens of a word cover in its text, or in the word itself if the text was pre-split."""
        spans = [self.offsets[token] for token in self._tokens_of(word_index, sequence_index)]
        return CharSpan(spans[0][0], spans[-1][1]) if spans else None

    def char_to_token(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """The token that covers a character of the first or second text; None if none does.

        Raises:
            InputError: the text was pre-split, so that characters are counted per word.
        """
        if not isinstance(char_pos, int | np.integer):
            raise InputError(f"char={shown(char_pos)} is no character's place. Give an int.")
        if sequence_index < len(self._aligned) and self._aligned[sequence_index].words is not None:
            raise InputError("char_to_token counts characters of a text, but the text was pre-split. Use word_ids.")
        for token, place in enumerate(self._places):
            if place is not None and place[0] == sequence_index:
                start, end = self._aligned[sequence_index].spans[place[1]]
                if start <= char_pos < end:
                    return token
        return None

    def char_to_word(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """The index of the word at a character; None if none is there. Raises as `char_to_token`."""
        token = self.char_to_token(char_pos, sequence_index)
        return None if token is None else self.word_ids[token]

    @cached_property
    def _places(self) -> list[tuple[int, int] | None]:
        return self._row.places()

    @property
    def _aligned(self) -> list[Aligned]:
        return self._align(self._row.sample)

    def _tokens_of(self, word: int, sequence: int) -> list[int]:
        known = zip(self.word_ids, self.sequence_ids, strict=True)
        return [token for token, found in enumerate(known) if found == (word, sequence)]


def item(values: Iterable[Any], index: int, name: str) -> Any:
    """An entry of a list, counted from the end where negative.

    Raises:
        InputError: there is none.
    """
    values = list(values)
    if not isinstance(index, int | np.integer) or not -len(values) <= index < len(values):
        raise InputError(f"{name}={shown(index)} is out of range: there are {len(values)}. Give an int.")
    return values[index]


def _words_of(text: str, spans: list[Span]) -> list[int | None]:
    word, numbers, inside = -1, [], False
    for character in text:
        word += not (inside or character.isspace())
        inside = not character.isspace()
        numbers.append(word if inside else None)
    # A token that covers nothing goes with the characters it stands at.
    numbers.append(numbers[-1] if numbers else None)
    words: list[int | None] = []
    for start, end in spans:
        words.append(next((number for number in numbers[start:end] if number is not None), None))
        if start == end:
            words[-1] = numbers[start]
    return words
