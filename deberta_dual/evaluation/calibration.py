"""Whether probabilities mean what they say, and the temperature that makes them."""

from __future__ import annotations

import numpy as np

from deberta_dual.evaluation.classes import Floats, Ints

BINS = 15
_RATIO = (np.sqrt(5.0) - 1) / 2  # of the golden section


def calibration_error(confidences: Floats, right: Floats, bins: int = BINS) -> float:
    """The expected calibration error: how far, on average, the share of right answers is from their confidence.

    Args:
        confidences: `[N]` in [0, 1], of the answers that were given.
        right: `[N]`, 1 for right ones.
        bins: of equal width.

    Source:
        Guo et al. (2017), "On Calibration of Modern Neural Networks", equation 3.
    """
    return float(sum(abs(c - r) * n for c, r, n in reliability(confidences, right, bins)) / max(len(right), 1))


def reliability(confidences: Floats, right: Floats, bins: int = BINS) -> list[tuple[float, float, int]]:
    """Mean confidence, share of right answers and number of every bin that is not empty."""
    places = np.minimum((np.asarray(confidences) * bins).astype(int), bins - 1)
    return [
        (float(confidences[places == b].mean()), float(right[places == b].mean()), int((places == b).sum()))
        for b in range(bins)
        if (places == b).any()
    ]


def fit_temperature(logits: Floats, wanted: Ints) -> float:
    """The temperature by which logits are best divided: that of the least cross entropy.

    The loss is convex in the inverse of the temperature, which is found by golden section in [1/20, 20].

    Args:
        logits: `[N, C]`.
        wanted: `[N]` in [0, C).

    Source:
        Guo et al. (2017), section 4.2.
    """
    low, high = np.log(1 / 20), np.log(20.0)
    points = [high - _RATIO * (high - low), low + _RATIO * (high - low)]
    losses = [cross_entropy(logits * np.exp(point), wanted) for point in points]
    while high - low > 1e-6:
        if losses[0] <= losses[1]:
            high, points[1], losses[1] = points[1], points[0], losses[0]
            points[0] = high - _RATIO * (high - low)
            losses[0] = cross_entropy(logits * np.exp(points[0]), wanted)
        else:
            low, points[0], losses[0] = points[0], points[1], losses[1]
            points[1] = low + _RATIO * (high - low)
            losses[1] = cross_entropy(logits * np.exp(points[1]), wanted)
    return float(np.exp(-(low + high) / 2))


def cross_entropy(logits: Floats, wanted: Ints) -> float:
    """The mean cross entropy; `[N, C]` and `[N]`; NaN of none."""
    if not len(wanted):
        return float("nan")
    shifted = logits - logits.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(wanted)), wanted]
    return float((np.log(np.exp(shifted).sum(axis=1)) - chosen).mean())
