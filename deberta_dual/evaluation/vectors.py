"""Scores of vectors: cosines, and how well texts are found by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_dual.evaluation.classes import Metrics
from deberta_dual.evaluation.numbers import DEPTH

_ROWS = 256  # of cosines that are made at once


def cosines(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """The cosines of vectors `[N, C]` and `[M, C]`, `[N, M]`; 0 for a vector of zeros."""
    return _unit(first) @ _unit(second).T


def positive_ranks(vectors: NDArray[Any], texts: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """The place, from 1, of each text's positive among all positives, the nearest first.

    Equal positives are one. Left aside are other positives of an equal text, and what equals the text itself. What is
    as near as the positive stands before it.

    Args:
        vectors: `[N, 2, C]`, of the text and of its positive.
        texts: these two texts.
    """
    places = {text: place for place, text in enumerate(dict.fromkeys(positive for _, positive in texts))}
    owners = np.array([places[positive] for _, positive in texts])
    right: dict[str, set[int]] = {}
    for text, positive in texts:
        right.setdefault(text, {places[text]} if text in places else set()).add(places[positive])
    _, first = np.unique(owners, return_index=True)
    ranks = np.zeros(len(texts), dtype=np.int64)
    for start in range(0, len(texts), _ROWS):
        found = cosines(vectors[start : start + _ROWS, 0], vectors[first, 1])
        for number, row in enumerate(found, start):
            near = row[owners[number]]
            aside = [place for place in right[texts[number][0]] if place != owners[number]]
            row[aside] = -np.inf
            ranks[number] = (row >= near).sum()
    return ranks


def retrieval_scores(vectors: NDArray[Any], texts: Sequence[Sequence[str]], depth: int = DEPTH) -> Metrics:
    """MRR, and the share of positives that are the first, or among the first `depth`; see `positive_ranks`."""
    ranks = positive_ranks(vectors, texts)
    return {
        f"mrr@{depth}": float(np.where(ranks <= depth, 1 / ranks, 0).mean()),
        "recall@1": float((ranks == 1).mean()),
        f"recall@{depth}": float((ranks <= depth).mean()),
    }


def _unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
