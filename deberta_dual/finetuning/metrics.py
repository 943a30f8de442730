"""What tasks are judged by; more is better, but for squared errors. Scores are from 0 to 1, correlations from -1."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Metrics = dict[str, float]
Entity = tuple[str, int, int]


def classification_scores(found: NDArray[Any], wanted: NDArray[Any]) -> Metrics:
    """Accuracy, and the mean of the classes' F1; integers `[N]` twice. Only classes that occur count."""
    classes = np.union1d(found, wanted)
    scores = [
        _f1(int(((found == c) & (wanted == c)).sum()), int((found == c).sum()), int((wanted == c).sum()))
        for c in classes
    ]
    return {"accuracy": float((found == wanted).mean()), "f1": float(np.mean(scores))}


def multi_label_scores(found: NDArray[Any], wanted: NDArray[Any]) -> Metrics:
    """F1 over all labels of all rows, and the share of rows with every label right; booleans `[N, C]` twice."""
    return {
        "f1": _f1(int((found & wanted).sum()), int(found.sum()), int(wanted.sum())),
        "accuracy": float((found == wanted).all(axis=1).mean()),
    }


def regression_scores(found: NDArray[Any], wanted: NDArray[Any]) -> Metrics:
    """Pearson's correlation (0 where one side is constant), and the mean squared error; floats `[N, C]` twice.

    Both are means over the columns.
    """
    a, b = found - found.mean(axis=0), wanted - wanted.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    pearson = np.divide((a * b).sum(axis=0), scale, out=np.zeros_like(scale), where=scale > 0)
    return {"pearson": float(pearson.mean()), "mse": float(((found - wanted) ** 2).mean())}


def entities(labels: Sequence[str]) -> set[Entity]:
    """The entities of a text as (name, first word, word after the last), as `conlleval` reads labels.

    B-x begins one; I-x goes on with one of the same name and begins one elsewhere; neighbours with the same label
    without a prefix are one; O is none.
    """
    found: set[Entity] = set()
    open_at, open_name, before = 0, "", ""
    for place, label in enumerate([*labels, "O"]):
        has_prefix = label[:2] in ("B-", "I-")
        name = label[2:] if has_prefix else "" if label == "O" else label
        goes_on = bool(name) and name == open_name and (label.startswith("I-") or label == before)
        if label.startswith("B-") or not goes_on:
            if open_name:
                found.add((open_name, open_at, place))
            open_at, open_name = place, name
        before = "" if has_prefix else label
    return found


def entity_scores(found: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> Metrics:
    """Precision, recall and F1 of whole entities, and the share of words with the right label; labels of words."""
    pairs = [(entities(one), entities(other)) for one, other in zip(found, wanted, strict=True)]
    both, mine, true = (sum(map(len, part)) for part in ([a & b for a, b in pairs], *zip(*pairs, strict=True)))
    words = [one == other for texts in zip(found, wanted, strict=True) for one, other in zip(*texts, strict=True)]
    return {
        "precision": both / mine if mine else 0.0,
        "recall": both / true if true else 0.0,
        "f1": _f1(both, mine, true),
        "accuracy": sum(words) / max(len(words), 1),
    }


def answer_scores(found: Sequence[str], wanted: Sequence[Sequence[str]]) -> Metrics:
    """SQuAD's exact match and F1 of words, each against the best of the true answers; none stands for no answer."""
    exact, overlap = [], []
    for answer, truths in zip(found, wanted, strict=True):
        options = list(truths) or [""]
        exact.append(max(_normalized(answer) == _normalized(truth) for truth in options))
        overlap.append(max(_word_f1(_normalized(answer).split(), _normalized(truth).split()) for truth in options))
    return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(overlap))}


def _f1(both: int, found: int, wanted: int) -> float:
    return 2 * both / (found + wanted) if found + wanted else 0.0


def _word_f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    return _f1((Counter(found) & Counter(wanted)).total(), len(found), len(wanted))


def _normalized(answer: str) -> str:
    """As SQuAD's script: lower case, no punctuation, no articles, single spaces."""
    text = "".join(character for character in answer.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())
