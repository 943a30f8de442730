"""Logits to probabilities, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_LARGEST_EXPONENT = math.log(np.finfo(np.float64).max)


def softmax(logits: NDArray[Any]) -> Floats:
    """Probabilities over the last axis; `-inf` gives 0."""
    exponents = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    result: Floats = exponents / exponents.sum(axis=-1, keepdims=True)
    return result


def sigmoid(logits: NDArray[Any]) -> Floats:
    """A probability for each logit; does not overflow."""
    result: Floats = np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
    return result


def mean_logits(logits: Floats) -> Floats:
    """Logits `[..., C]` whose softmax is the mean of the softmax of several, `[models, ..., C]`; `-inf` stays so.

    Their scale, the logarithm of the sum of exponentials, is the mean of the scales: of one model they are its own.
    """
    if len(logits) == 1:
        only: Floats = logits[0]
        return only
    scales = np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    result: Floats = np.logaddexp.reduce(logits - scales, axis=0) - math.log(len(logits)) + scales.mean(axis=0)
    return result


def mean_sigmoid_logits(logits: Floats) -> Floats:
    """Logits whose sigmoid is the mean of the sigmoid of several, `[models, ...]`."""
    true, false = (-np.logaddexp(0.0, sign * logits) for sign in (-1.0, 1.0))
    result: Floats = np.logaddexp.reduce(true, axis=0) - np.logaddexp.reduce(false, axis=0)
    return result


def unchanged(logits: NDArray[Any]) -> Floats:
    """The logits themselves."""
    return logits.astype(np.float64)


# By the names of the option `function_to_apply`.
FUNCTIONS: dict[str, Callable[[NDArray[Any]], Floats]] = {"softmax": softmax, "sigmoid": sigmoid, "none": unchanged}


def perplexity(loss: float) -> float:
    """The exponential of a mean loss; infinite where that is no float."""
    return math.exp(loss) if loss < _LARGEST_EXPONENT else math.inf


def best(scores: Floats, count: int | None) -> list[int]:
    """The places of the `count` highest scores `[N]`, the highest first; of all with None. Equal ones keep order."""
    order: list[int] = np.argsort(-scores, kind="stable")[:count].tolist()
    return order
