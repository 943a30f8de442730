"""Scores of classes, one or several of a text; more is better. All are from 0 to 1, Matthews' from -1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Metrics = dict[str, float]
Ints = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]


def f1_of(both: float, found: float, wanted: float) -> float:
    """F1 of counts: what was right, what was found, what was wanted; 0 where nothing was either."""
    return 2 * both / (found + wanted) if found + wanted else 0.0


def classification_scores(found: NDArray[Any], wanted: NDArray[Any]) -> Metrics:
    """Accuracy, and the mean of the classes' F1; integers `[N]` twice. Only classes that occur count."""
    classes = np.union1d(found, wanted)
    matrix = confusion_matrix(np.searchsorted(classes, found), np.searchsorted(classes, wanted), len(classes))
    rows = class_scores(matrix)
    return {
        "accuracy": float(np.trace(matrix) / max(matrix.sum(), 1)),
        "f1": float(np.mean([row["f1"] for row in rows])) if rows else 0.0,
    }


def confusion_matrix(found: NDArray[Any], wanted: NDArray[Any], classes: int) -> Ints:
    """How often which class `[wanted, found]` was given; integers in [0, classes) `[N]` twice."""
    pairs = np.asarray(wanted, dtype=np.int64) * classes + np.asarray(found, dtype=np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_scores(matrix: Ints) -> list[dict[str, float]]:
    """Precision, recall, F1 and support of every class, from a confusion matrix."""
    both, found, wanted = np.diag(matrix), matrix.sum(axis=0), matrix.sum(axis=1)
    return [
        {
            "precision": float(right / mine) if mine else 0.0,
            "recall": float(right / true) if true else 0.0,
            "f1": f1_of(int(right), int(mine), int(true)),
            "support": int(true),
        }
        for right, mine, true in zip(both, found, wanted, strict=True)
    ]


def matthews(matrix: Ints) -> float:
    """Matthews' correlation of a confusion matrix; 0 where one side is constant.

    Source:
        Gorodkin (2004), "Comparing two K-category assignments by a K-category correlation coefficient".
    """
    total, right = float(matrix.sum()), float(np.trace(matrix))
    found, wanted = matrix.sum(axis=0).astype(float), matrix.sum(axis=1).astype(float)
    spread = np.sqrt((total**2 - found @ found) * (total**2 - wanted @ wanted))
    return float((right * total - found @ wanted) / spread) if spread else 0.0


def multi_label_scores(found: NDArray[Any], wanted: NDArray[Any]) -> Metrics:
    """F1 over all labels of all rows, and the share of rows with every label right; booleans `[N, C]` twice."""
    return {
        "f1": f1_of(int((found & wanted).sum()), int(found.sum()), int(wanted.sum())),
        "accuracy": float((found == wanted).all(axis=1).mean()),
    }


def roc_auc(scores: Floats, wanted: Bools) -> float:
    """The area under the ROC curve: how often a true one has the higher score, ties half; NaN with one class alone."""
    positives, negatives = int(wanted.sum()), int((~wanted).sum())
    if not positives or not negatives:
        return float("nan")
    ranks = mean_ranks(scores)
    return float((ranks[wanted].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def mean_ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Floats = ends - (counts - 1) / 2
    return means[places]


def precision_recall(scores: Floats, wanted: Bools) -> tuple[Floats, Floats, Floats]:
    """Precision and recall for every threshold, the highest first, and the thresholds: a score from it on is true."""
    order = np.argsort(-scores, kind="stable")
    last = np.r_[np.diff(scores[order]) != 0, True]  # of equal scores
    right = np.cumsum(wanted[order])[last]
    return right / (np.flatnonzero(last) + 1), right / max(int(wanted.sum()), 1), scores[order][last]


def average_precision(scores: Floats, wanted: Bools) -> float:
    """The area under the precision-recall curve, as a sum of steps; NaN where nothing is true."""
    if not wanted.any():
        return float("nan")
    precision, recall, _ = precision_recall(scores, wanted)
    return float((np.diff(np.r_[0.0, recall]) * precision).sum())


def best_threshold(scores: Floats, wanted: Bools) -> tuple[float, float]:
    """The score from which on something is best called true, by F1, and that F1."""
    precision, recall, thresholds = precision_recall(scores, wanted)
    sums = precision + recall
    f1 = np.divide(2 * precision * recall, sums, out=np.zeros_like(sums), where=sums > 0)
    best = int(f1.argmax())
    return float(thresholds[best]), float(f1[best])


def binary_scores(scores: Floats, wanted: Bools) -> Mapping[str, float]:
    """What is said of one class against all others: areas, and the best threshold."""
    threshold, f1 = best_threshold(scores, wanted)
    return {
        "roc_auc": roc_auc(scores, wanted),
        "pr_auc": average_precision(scores, wanted),
        "threshold": threshold,
        "threshold_f1": f1,
    }
