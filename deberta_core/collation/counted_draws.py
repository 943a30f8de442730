"""Random numbers that are a function of a key and a counter: the same in every process, for any number of workers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_STEP = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, odd
_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
_UNUSED_BITS = np.uint64(11)  # a float64 holds 53


def row_keys(seed: int, epoch: int, rows: ArrayLike) -> NDArray[np.uint64]:
    """A key for each row, a function of three numbers.

    Args:
        seed: of the run.
        epoch: counts from 0.
        rows: numbers of rows, [B].

    Returns:
        `[B]`.
    """
    key = np.zeros(1, np.uint64)
    for number in (np.array([seed]), np.array([epoch]), np.asarray(rows)):
        key = _mixed(key ^ _mixed(number.astype(np.uint64)))
    return key


def uniforms(keys: NDArray[np.uint64], counters: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers in [0, 1), one for each pair of a key and a counter of 0 or more; the shapes are broadcast.

    Source:
        SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014; the key is its state.
    """
    states = _mixed(keys + counters.astype(np.uint64) * _STEP)
    return (states >> _UNUSED_BITS).astype(np.float64) * 2.0**-53


def _mixed(states: NDArray[np.uint64]) -> NDArray[np.uint64]:
    states = states + _STEP  # arrays wrap around without a warning
    states ^= states >> _SHIFTS[0]
    states *= _FACTORS[0]
    states ^= states >> _SHIFTS[1]
    states *= _FACTORS[1]
    states ^= states >> _SHIFTS[2]
    return states
