"""Texts that are longer than a row: cut, refused, or read in windows whose scores are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deberta_core.errors import InputError
from deberta_dual.pipelines.scores import Floats

# How the scores of windows `[W, C]` become those of their text `[C]`.
WINDOW_SCORES: dict[str, Callable[[Floats], Floats]] = {
    "mean": lambda scores: scores.mean(axis=0),
    "max": lambda scores: scores.max(axis=0),
    "first": lambda scores: scores[0],
}
LONG_TEXTS = ("truncate", "windows", "error")
_LEAST = 8  # tokens of a text in a window


def text_windows(tokenizer: Any, text: str, pair: str | None, length: int) -> list[dict[str, list[int]]]:
    """The model's inputs of the windows of a text, each with the whole second text.

    Two neighbours share a quarter of a window.

    Args:
        tokenizer: the model's own.
        text: the one that may be long.
        pair: a second text, which must leave room.
        length: of a row, in tokens.

    Raises:
        InputError: the second text leaves no room.
    """
    taken = tokenizer.num_special_tokens_to_add(pair is not None)
    if pair is not None:
        taken += len(tokenizer.encode(pair, add_special_tokens=False, verbose=False))
    room = length - taken
    if room < _LEAST:
        raise InputError(
            f"the second text leaves {max(room, 0)} of {length} tokens for windows of the first. Shorten it."
        )
    found = tokenizer(
        text,
        pair,
        truncation="only_first",
        max_length=length,
        stride=room // 4,
        return_overflowing_tokens=True,
        verbose=False,
    )
    names = tokenizer.model_input_names
    return [{name: found[name][row] for name in names} for row in range(len(found["input_ids"]))]


def check_length(inputs: Mapping[str, list[int]], length: int) -> None:
    """Raises InputError if a row is longer than it may be."""
    if len(inputs["input_ids"]) > length:
        raise InputError(
            f"the text has {len(inputs['input_ids'])} tokens, and max_length={length}. Shorten it, or let it be "
            f"truncated or read in windows."
        )
