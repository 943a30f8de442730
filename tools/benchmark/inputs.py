"""The token ids that every subject of a cell computes with, and outputs in an order that can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
FIRST_ID = 1  # 0 is padding
IGNORED = -100  # a position without a label


@dataclass(frozen=True)
class Batches:
    """Padded batches of texts.

    Attributes:
        ids: per batch `[B, L]`.
        masks: per batch `[B, L]`, 1 at tokens and 0 at padding.
        labels: per batch `[B]` classes, or `[B, L]` ids and `IGNORED`; None without training.
        texts: per batch `[B]`, the number of each text.
    """

    ids: list[Array]
    masks: list[Array]
    texts: list[Array]
    labels: list[Array] | None = None

    def save(self, file: Path) -> str:
        """Writes everything to `file`."""
        names = {"ids": self.ids, "masks": self.masks, "texts": self.texts, "labels": self.labels or []}
        named: dict[str, Any] = {
            f"{name}{i}": array for name, arrays in names.items() for i, array in enumerate(arrays)
        }
        np.savez(file, **named)
        return str(file)

    @classmethod
    def load(cls, file: str) -> Batches:
        """Reads what `save` wrote."""
        with np.load(file) as found:

            def read(name: str) -> list[Array]:
                return [found[f"{name}{i}"] for i in range(len(found.files)) if f"{name}{i}" in found.files]

            return cls(read("ids"), read("masks"), read("texts"), read("labels") or None)


def by_text(batches: Batches, outputs: Sequence[Array]) -> Array:
    """Outputs `[B, L, C]` per batch as `[tokens, C]` without padding, text by text in the texts' own order."""
    rows = {
        int(text): output[mask.astype(bool)]
        for texts, masks, batch in zip(batches.texts, batches.masks, outputs, strict=True)
        for text, mask, output in zip(texts, masks, batch, strict=True)
    }
    return np.concatenate([rows[text] for text in sorted(rows)])


def full(size: int, length: int, vocabulary: int, labels: str | None = None) -> Batches:
    """One batch of `size` texts that all have `length` tokens.

    Args:
        size: B.
        length: L.
        vocabulary: V.
        labels: "classes" for one of two per text, "tokens" for the ids at 15 % of the positions.
    """
    random = np.random.default_rng(0)
    ids = random.integers(FIRST_ID, vocabulary, (size, length))
    made = {
        None: None,
        "classes": [random.integers(0, 2, size)],
        "tokens": [np.where(random.random((size, length)) < 0.15, ids, IGNORED)],
    }[labels]
    return Batches([ids], [np.ones_like(ids)], [np.arange(size)], made)


def lognormal_lengths(count: int, mean: float, longest: int) -> Array:
    """How many tokens texts have: few long ones among many short ones."""
    shape = 0.7  # the standard deviation of the logarithm
    drawn = np.random.default_rng(0).lognormal(np.log(mean) - shape**2 / 2, shape, count)
    lengths: Array = np.clip(drawn.round().astype(int), 4, longest)
    return lengths


def padded(lengths: Array, size: int, vocabulary: int, by_length: bool) -> Batches:
    """Texts of these lengths in batches of `size`, in their own order or the longest first."""
    random = np.random.default_rng(1)
    texts = [random.integers(FIRST_ID, vocabulary, length) for length in lengths]
    order = np.argsort(-lengths, kind="stable") if by_length else np.arange(len(lengths))
    chosen = [order[start : start + size] for start in range(0, len(order), size)]
    batches = Batches([], [], chosen)
    for numbers in chosen:
        longest = max(len(texts[number]) for number in numbers)
        batches.ids.append(np.stack([np.pad(texts[number], (0, longest - len(texts[number]))) for number in numbers]))
        batches.masks.append((batches.ids[-1] >= FIRST_ID).astype(np.int64))
    return batches
