"""From tokens to a text, where the model has no say: tokens that stand apart, and spaces before punctuation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import groupby

# What is cleaned up, in this order: spaces that English does not write.
_SPACES = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'", " n't": "n't"}
_SPACES |= {" 'm": "'m", " 's": "'s", " 've": "'ve", " 're": "'re"}


def join_apart(tokens: list[str], apart: Collection[str], join: Callable[[list[str]], str]) -> str:
    """Joins tokens with `join`, but puts spaces around those that stand apart."""
    texts: list[str] = []
    for stands_apart, run in groupby(tokens, key=apart.__contains__):
        group = list(run)
        texts += group if stands_apart else [join(group)]
    return " ".join([*filter(None, texts[:-1]), *texts[-1:]])  # upstream keeps an empty end, and so its space


def clean_up(text: str) -> str:
    """Removes the spaces before punctuation."""
    for written, wanted in _SPACES.items():
        text = text.replace(written, wanted)
    return text
