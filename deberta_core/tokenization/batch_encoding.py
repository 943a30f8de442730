"""What a tokenizer returns: model inputs by name, and the way from tokens to texts and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn, Self

import numpy as np

from deberta_core.errors import InputError, MissingName, shown
from deberta_core.tokenization.lengths import Window
from deberta_core.tokenization.subwords import Aligned, Span


class CharSpan(NamedTuple):
    """A part of a text, in characters; `end` is the first one after it."""

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
    texts: list[tuple[Any, Any]]  # per sample, the first and the second text
    align: Callable[[int], list[Aligned]]  # gives, per sample, the texts' tokens and what they cover
    tokens: Callable[[Any], list[str]]  # gives the tokens of ids


class BatchEncoding(dict[str, Any]):
    """Model inputs by name: a dict whose entries are also attributes.

    The methods below say what the tokens cover. They tokenize again when they are first called, so that a call without
    them costs nothing, and they are gone from a pickle or a copy. A row is named by its place in the batch; the
    argument may be left out when there is one row.
    """

    _origin: Origin | None = None  # set by what makes the encoding

    def __getattr__(self, name: str) -> Any:
        return self[name]

    def __missing__(self, name: object) -> NoReturn:
        raise MissingName(f"The encoding has no {shown(name)}. It holds: {', '.join(self)}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchEncoding, (dict(self),)

    def to(self, device: Any) -> Self:
        """Moves PyTorch tensors to a device, in place.

        Raises:
            InputError: there is no tensor to move.
        """
        tensors = {name: value for name, value in self.items() if hasattr(value, "to")}
        if not tensors:
            raise InputError("The encoding holds no PyTorch tensors. Call the tokenizer with return_tensors='pt'.")
        self.update({name: value.to(device) for name, value in tensors.items()})
        return self

    def tokens(self, row: int = 0) -> list[str]:
        """The tokens of a row, special ones and padding included."""
        self._row(row)
        ids = self["input_ids"]
        is_batch = hasattr(ids, "ndim") or not ids or isinstance(ids[0], list)
        return self._known_origin().tokens(ids[row] if is_batch else ids)

    def sequence_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row, 0 or 1 for the first or second text, None for special tokens around them."""
        return [place and place[0] for place in self._row(row).places()]

    def word_ids(self, row: int = 0) -> list[int | None]:
        """For each token of a row, the index of its word in its text; None where it belongs to no word.

        The words are those of a pre-split text; in another text, what whitespace separates.
        """
        aligned = self._aligned_texts(row)
        words = [
            text.words if text.words is not None else _words_of(source, text.spans)
            for text, source in zip(aligned, self._known_origin().texts[self._row(row).sample], strict=False)
        ]
        return [place and words[place[0]][place[1]] for place in self._row(row).places()]

    def token_to_word(self, row_or_token: int, token: int | None = None) -> int | None:
        """The index of a token's word, as in `word_ids`."""
        row, token = (0, row_or_token) if token is None else (row_or_token, token)
        word: int | None = _item(self.word_ids(row), token, "token")
        return word

    def token_to_chars(self, row_or_token: int, token: int | None = None) -> CharSpan | None:
        """What a token covers in its text, or in its word if the text was pre-split; None for special tokens."""
        row, token = (0, row_or_token) if token is None else (row_or_token, token)
        place = _item(self._row(row).places(), token, "token")
        return None if place is None else CharSpan(*self._aligned_texts(row)[place[0]].spans[place[1]])

    def char_to_token(self, row_or_char: int, char: int | None = None, sequence_index: int = 0) -> int | None:
        """The token of a row that covers a character of its first or second text; None if none does.

        Raises:
            InputError: the text was pre-split, so that characters are counted per word.
        """
        row, char = (0, row_or_char) if char is None else (row_or_char, char)
        aligned = self._aligned_texts(row)
        if not isinstance(char, int | np.integer):
            raise InputError(f"char={shown(char)} is no character's place. Give an int.")
        if sequence_index < len(aligned) and aligned[sequence_index].words is not None:
            raise InputError("char_to_token counts characters of a text, but the text was pre-split. Use word_ids.")
        for token, place in enumerate(self._row(row).places()):
            if place is not None and place[0] == sequence_index:
                start, end = aligned[sequence_index].spans[place[1]]
                if start <= char < end:
                    return token
        return None

    def _known_origin(self) -> Origin:
        if self._origin is None:
            raise InputError(
                "The encoding no longer knows its texts: it was padded, copied or pickled. Ask the tokenizer's own "
                "result, or call with return_offsets_mapping=True."
            )
        return self._origin

    def _row(self, row: int) -> Row:
        found: Row = _item(self._known_origin().rows, row, "row")
        return found

    def _aligned_texts(self, row: int) -> list[Aligned]:
        return self._known_origin().align(self._row(row).sample)


def _item(values: list[Any], index: int, name: str) -> Any:
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
