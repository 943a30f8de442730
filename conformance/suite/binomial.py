"""Counts of chance are held to exact intervals."""

from __future__ import annotations

import numpy as np

TAIL = 1e-6  # chance, on each side, of a count outside its interval


def binomial_interval(trials: int, probability: float) -> tuple[int, int]:
    """The counts left when the outermost ones, of chance `TAIL` on each side, are taken away; exact."""
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    counts = np.arange(trials + 1)
    log_chance = log_factorials[-1] - log_factorials - log_factorials[::-1]
    log_chance += counts * np.log(probability) + (trials - counts) * np.log1p(-probability)
    below = np.cumsum(np.exp(log_chance))
    return int(np.searchsorted(below, TAIL)), int(np.searchsorted(below, 1 - TAIL))


def assert_binomial(count: int, trials: int, probability: float) -> None:
    """Raises AssertionError where a count of successes is outside its interval."""
    __tracebackhide__ = True
    certain = probability in (0, 1)
    low, high = [probability * trials] * 2 if certain else binomial_interval(trials, probability)
    assert low <= count <= high, f"{count} of {trials} is not {probability}: expected {low} to {high}"
