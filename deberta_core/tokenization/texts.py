"""What a tokenizer is called with: one text, a pair, or a batch of either, checked and brought into one form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deberta_core.errors import InputError, TokenizationError

Text = str | list[str]  # a list holds the words of a text that was split before


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one call.

    Args:
        first: the first text of every row.
        second: the second text of every row, None where the row has one text.
        is_batch: whether the call was for a batch, and so the result has an axis for rows.
    """

    first: list[Text]
    second: list[Text | None]
    is_batch: bool


def collect_texts(text: Any, text_pair: Any = None, is_split_into_words: bool = False) -> Texts:
    """Reads the arguments `text` and `text_pair` of a tokenizer.

    Args:
        text: a str; or a list, tuple or array of str, or of pairs (str, str). With `is_split_into_words`, a list of
            words, or a list of such lists.
        text_pair: None; or the second texts, in the form of `text`.
        is_split_into_words: whether texts are lists of words.

    Raises:
        InputError: a text is not a str, or `text` and `text_pair` do not match.
        TokenizationError: a text is not valid Unicode.
    """
    text, text_pair = _plain(text), _plain(text_pair)
    check = _check_words if is_split_into_words else check_text
    is_batch = isinstance(text, list | tuple)
    if is_split_into_words:
        is_batch = is_batch and bool(text) and isinstance(_plain(text[0]), list | tuple)
    if not is_batch:
        second = None if text_pair is None else check(text_pair, "text_pair")
        return Texts([check(text, "text")], [second], is_batch=False)
    if text_pair is None:
        if is_split_into_words:
            words: list[Text] = [_check_words(row, f"text[{place}]") for place, row in enumerate(text)]
            return Texts(words, [None] * len(words), is_batch=True)
        rows = [_row(row, f"text[{place}]") for place, row in enumerate(text)]
        return Texts([first for first, _ in rows], [second for _, second in rows], is_batch=True)
    if not isinstance(text_pair, list | tuple) or len(text_pair) != len(text):
        found = f"{len(text_pair)} texts" if isinstance(text_pair, list | tuple) else type(text_pair).__name__
        raise InputError(
            f"text is a batch of {len(text)} texts but text_pair is {found}. Give one second text for each first."
        )
    return Texts(
        [check(row, f"text[{place}]") for place, row in enumerate(text)],
        [check(row, f"text_pair[{place}]") for place, row in enumerate(text_pair)],
        is_batch=True,
    )


def check_text(value: Any, name: str) -> str:
    """Gives a text back.

    Raises:
        InputError: it is not a str.
        TokenizationError: it is not valid Unicode.
    """
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r:.60}, of type {type(value).__name__}. A text must be a str.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise TokenizationError(
            f"{name} holds the lone surrogate {value[problem.start]!r} at character {problem.start}, which is no "
            f"Unicode character. Decode its bytes with errors='replace', or remove it."
        ) from None
    return value


def _check_words(value: Any, name: str) -> list[str]:
    value = _plain(value)
    if not isinstance(value, list | tuple):
        raise InputError(
            f"{name} is {value!r:.60}, of type {type(value).__name__}. With is_split_into_words=True a text must be a "
            f"list of words."
        )
    return [check_text(word, f"{name}[{place}]") for place, word in enumerate(value)]


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value  # NumPy arrays and pandas columns


def _row(row: Any, name: str) -> tuple[str, str | None]:
    row = _plain(row)
    if isinstance(row, list | tuple) and len(row) == 2:
        return check_text(row[0], f"{name}[0]"), check_text(row[1], f"{name}[1]")
    return check_text(row, name), None
