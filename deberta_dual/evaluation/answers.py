"""Scores of answers to questions, as SQuAD's script has them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from deberta_dual.evaluation.classes import Metrics, f1_of

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def answer_scores(found: Sequence[str], wanted: Sequence[Sequence[str]]) -> Metrics:
    """SQuAD's exact match and F1 of words, each against the best of the true answers; none stands for no answer."""
    pairs = [_best(answer, truths) for answer, truths in zip(found, wanted, strict=True)]
    exact, overlap = np.mean(pairs, axis=0).tolist() if pairs else (0.0, 0.0)
    return {"exact_match": exact, "f1": overlap}


def no_answer_threshold(
    found: Sequence[str], wanted: Sequence[Sequence[str]], margins: Sequence[float]
) -> tuple[float, float]:
    """The margin above which "no answer" is best given, and the F1 it gives.

    Args:
        found: the best answer that is one.
        wanted: the true answers of each; none where there is no answer.
        margins: how much better "no answer" scored than that answer.

    Source:
        SQuAD 2.0's `evaluate-v2.0.py`, `find_best_thresh`.
    """
    scores = np.array([_best(answer, truths)[1] for answer, truths in zip(found, wanted, strict=True)])
    empty = np.array([float(not truths) for truths in wanted])
    order = np.argsort(np.asarray(margins), kind="stable")
    gains = np.concatenate([[0.0], np.cumsum((scores - empty)[order])]) + empty.sum()  # the first n are answered
    best = int(gains.argmax())
    threshold = float(np.asarray(margins)[order[best - 1]]) if best else float(min(margins, default=0.0)) - 1.0
    return threshold, float(gains[best]) / max(len(scores), 1)


def _best(answer: str, truths: Sequence[str]) -> tuple[float, float]:
    options = list(truths) or [""]
    words = _normalized(answer)
    exact = max(float(words == _normalized(truth)) for truth in options)
    return exact, max(_word_f1(words.split(), _normalized(truth).split()) for truth in options)


def _word_f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    return f1_of((Counter(found) & Counter(wanted)).total(), len(found), len(wanted))


def _normalized(answer: str) -> str:
    """As SQuAD's script: lower case, no punctuation, no articles, single spaces."""
    text = "".join(character for character in answer.lower() if character not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", text).split())
