"""Scores of numbers: correlations and errors, agreement of grades, and orders of documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_dual.evaluation.classes import Floats, Metrics, average_precision, mean_ranks

DEPTH = 10  # how many of the first documents of a query count


def regression_scores(found: NDArray[Any], wanted: NDArray[Any]) -> Metrics:
    """Pearson's correlation (0 where one side is constant) and the mean squared error; floats `[N, C]` twice.

    Both are means over the columns.
    """
    return {"pearson": _mean(pearson, found, wanted), "mse": float(((found - wanted) ** 2).mean())}


def spearman(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Spearman's correlation of ranks, the mean over columns; floats `[N, C]` twice."""
    return _mean(lambda a, b: pearson(mean_ranks(a), mean_ranks(b)), found, wanted)


def _mean(score: Callable[[Floats, Floats], float], found: Floats, wanted: Floats) -> float:
    return float(np.mean([score(a, b) for a, b in zip(found.T, wanted.T, strict=True)]))


def pearson(found: Floats, wanted: Floats) -> float:
    """Pearson's correlation; 0 where one side is constant; floats `[N]` twice."""
    a, b = found - found.mean(), wanted - wanted.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def quadratic_kappa(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Cohen's kappa with quadratic weights, of grades as integers `[N]` twice; 1 where both are constant and equal.

    Source:
        Cohen (1968), "Weighted kappa".
    """
    low = int(min(found.min(), wanted.min()))
    size = int(max(found.max(), wanted.max())) - low + 1
    observed = np.zeros((size, size))
    np.add.at(observed, (wanted - low, found - low), 1.0)
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.sum()
    weights = np.subtract.outer(np.arange(size), np.arange(size)) ** 2.0
    chance = float((weights * expected).sum())
    return 1.0 - float((weights * observed).sum()) / chance if chance else 1.0


def ranking_scores(scores: Sequence[Floats], relevances: Sequence[Floats], depth: int = DEPTH) -> Metrics:
    """MRR, NDCG and MAP, means over queries; each query's documents `[D]` have a score and a relevance of 0 or more.

    Reciprocal rank and NDCG look at the first `depth` documents; a relevance above 0 counts as relevant. Queries
    without a relevant document count as 0.

    Source:
        Järvelin and Kekäläinen (2002), gain 2^relevance - 1, discount log2(rank + 1).
    """
    rows = [_query(np.asarray(s), np.asarray(r), depth) for s, r in zip(scores, relevances, strict=True)]
    means = np.mean(rows, axis=0) if rows else np.zeros(3)
    return dict(zip((f"mrr@{depth}", f"ndcg@{depth}", "map"), means.tolist(), strict=True))


def _query(scores: Floats, relevances: Floats, depth: int) -> tuple[float, float, float]:
    relevant = relevances > 0
    if not relevant.any():
        return 0.0, 0.0, 0.0
    order = np.argsort(-scores, kind="stable")
    first = int(np.flatnonzero(relevant[order])[0])
    best = np.sort(relevances)[::-1]
    ndcg = _gain(relevances[order][:depth]) / _gain(best[:depth])
    return (1.0 / (first + 1) if first < depth else 0.0), ndcg, average_precision(scores, relevant)


def _gain(relevances: Floats) -> float:
    return float(((2.0**relevances - 1) / np.log2(np.arange(2, len(relevances) + 2))).sum())
