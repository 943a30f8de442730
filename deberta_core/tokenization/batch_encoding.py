"""What a tokenizer returns: model inputs by name, and the way from tokens to texts and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from deberta_core.errors import InputError, MissingName, WrongType, shown
from deberta_core.names.rows import other_attribute
from deberta_core.names.tokenizers import ENCODING_ATTRIBUTES
from deberta_core.tensors import to_list, to_tensor
from deberta_core.tokenization.row_encoding import CharSpan, Encoding, Origin, TokenSpan, item


class BatchEncoding(dict[str, Any]):
    """Model inputs by name: a dict whose entries are also attributes, and whose rows are `enc[0]`, `enc[1]`, ...

    The methods below say what the tokens cover. They tokenize again when they are first called, so that a call without
    them costs nothing, and they are gone from a pickle or a copy. A row is named by its place in the batch; the
    argument may be left out when there is one row.

    Args:
        data: the entries.
        encoding: the rows, as `encodings` of another encoding gives them; or one row.
        tensor_type: as `convert_to_tensors`.
        prepend_batch_axis: likewise.
        n_sequences: number of texts in a row.
    """

    _origin: Origin | None = None  # set by what makes the encoding
    _encodings: list[Encoding] | None = None
    _n_sequences: int | None = None

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        encoding: Encoding | Sequence[Encoding] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        n_sequences: int | None = None,
    ) -> None:
        super().__init__(data or {})
        if encoding is not None:
            self._encodings = [encoding] if isinstance(encoding, Encoding) else list(encoding)
        self._n_sequences = n_sequences
        if tensor_type is not None:
            self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, name: Any) -> Any:
        if isinstance(name, slice):
            return {entry: rows[name] for entry, rows in self.items()}
        return super().__getitem__(name)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        if name in ENCODING_ATTRIBUTES:
            return other_attribute(ENCODING_ATTRIBUTES, self, name)
        raise MissingName(self._has_no(name))

    def __missing__(self, name: object) -> Any:
        if isinstance(name, int | np.integer) and not isinstance(name, bool):
            return item(self._known(), int(name), "row")
        raise MissingName(self._has_no(name))

    def __reduce__(self) -> tuple[Any, ...]:
        return BatchEncoding, (dict(self), None, None, False, self.n_sequences)

    @property
    def data(self) -> dict[str, Any]:
        """The entries: the encoding itself, which is a dict."""
        return self

    @property
    def encodings(self) -> list[Encoding] | None:
        """The rows; None if the encoding no longer knows its texts."""
        if self._encodings is None and self._origin is not None:
            self._encodings = [Encoding(self._origin, number) for number in range(len(self._origin.rows))]
        return self._encodings

    @property
    def is_fast(self) -> bool:
        """Whether the encoding knows its texts, so that the methods below answer."""
        return self.encodings is not None

    @property
    def n_sequences(self) -> int | None:
        """Number of texts in a row, 1 or 2; None if that is not known."""
        return self.encodings[0].n_sequences if self._n_sequences is None and self.encodings else self._n_sequences

    def to(self, device: Any, *, non_blocking: bool = False) -> Self:
        """Moves PyTorch tensors to a device, in place; lists and arrays are on the CPU and stay there.

        Raises:
            InputError: there is no tensor, and the device is another.
        """
        tensors = {name: value for name, value in self.items() if hasattr(value, "to")}
        if not tensors and str(device) != "cpu":
            raise InputError("The encoding holds no PyTorch tensors. Call the tokenizer with return_tensors='pt'.")
        self.update({name: value.to(device, non_blocking=non_blocking) for name, value in tensors.items()})
        return self

    def convert_to_tensors(self, tensor_type: str | None = None, prepend_batch_axis: bool = False) -> Self:
        """Makes tensors of the entries, in place.

        Args:
            tensor_type: "np", "pt" or "tf"; None changes nothing.
            prepend_batch_axis: whether the entries are one row, and get an axis for rows.

        Raises:
            InputError: rows have several lengths, or the kind is unknown.
        """
        if tensor_type is not None:
            columns = {name: [rows] if prepend_batch_axis else rows for name, rows in self.items()}
            self.update({name: to_tensor(array_of(name, rows), tensor_type) for name, rows in columns.items()})
        return self

    def tokens(self, batch_index: int = 0) -> list[str]:
        """The tokens of a row, special ones and padding included."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row, 0 or 1 for the first or second text, None for special tokens around them."""
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a row, the index of its word in its text; None where it belongs to no word.

        The words are those of a pre-split text; in another text, what whitespace separates.
        """
        return list(self._row(batch_index).word_ids)

    def token_to_sequence(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The text of a token, as in `sequence_ids`."""
        row, token = _row_and(batch_or_token_index, token_index)
        return self._row(row).token_to_sequence(token)

    def token_to_word(self, batch_or_token_index: int, token_index: int | None = None) -> int | None:
        """The index of a token's word, as in `word_ids`."""
        row, token = _row_and(batch_or_token_index, token_index)
        return self._row(row).token_to_word(token)

    def token_to_chars(self, batch_or_token_index: int, token_index: int | None = None) -> CharSpan | None:
        """What a token covers in its text, or in its word if the text was pre-split; None for special tokens."""
        row, token = _row_and(batch_or_token_index, token_index)
        return self._row(row).token_to_chars(token)

    def word_to_tokens(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> TokenSpan | None:
        """The tokens of a word of the first or second text; None if the row has none of them."""
        row, word = _row_and(batch_or_word_index, word_index)
        return self._row(row).word_to_tokens(word, sequence_index)

    def word_to_chars(
        self, batch_or_word_index: int, word_index: int | None = None, sequence_index: int = 0
    ) -> CharSpan | None:
        """What a word covers in its text; None if the row has none of its tokens."""
        row, word = _row_and(batch_or_word_index, word_index)
        return self._row(row).word_to_chars(word, sequence_index)

    def char_to_token(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The token of a row that covers a character of its first or second text; None if none does.

        Raises:
            InputError: the text was pre-split, so that characters are counted per word.
        """
        row, char = _row_and(batch_or_char_index, char_index)
        return self._row(row).char_to_token(char, sequence_index)

    def char_to_word(
        self, batch_or_char_index: int, char_index: int | None = None, sequence_index: int = 0
    ) -> int | None:
        """The index of the word at a character, as in `word_ids`; raises as `char_to_token`."""
        row, char = _row_and(batch_or_char_index, char_index)
        return self._row(row).char_to_word(char, sequence_index)

    def _row(self, row: int) -> Encoding:
        found: Encoding = item(self._known(), row, "row")
        return found

    def _known(self) -> list[Encoding]:
        if self.encodings is None:
            raise InputError(
                "The encoding no longer knows its texts: it was padded, copied or pickled. Ask the tokenizer's own "
                "result, or call with return_offsets_mapping=True."
            )
        return self.encodings

    def _has_no(self, name: object) -> str:
        return f"The encoding has no {shown(name)}. It holds: {', '.join(self)}."


def array_of(name: str, rows: Any) -> Any:
    """The rows of an entry as an array of int64, or of float32 where they hold floats.

    Raises:
        InputError: they have several lengths, or are no numbers.
    """
    try:
        array = np.asarray(to_list(rows))
    except ValueError:
        lengths = [len(row) for row in rows]
        raise InputError(
            f"{name} has rows of {min(lengths)} to {max(lengths)} tokens, which make no array. Pass padding=True."
        ) from None
    if array.dtype.kind not in "biuf":
        raise WrongType(f"{name} holds {shown(rows, 60)}, which are no numbers. Take it out before making tensors.")
    return array.astype(np.float32 if array.size and array.dtype.kind == "f" else np.int64)


def _row_and(first: int, second: int | None) -> tuple[int, int]:
    return (0, first) if second is None else (first, second)
