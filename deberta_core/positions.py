"""Relative positions: distance, logarithmic bucket, and the one index table both frameworks look up.

The distance of query i and key j is `i - j`, in tokens (NUMERICS 1).
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from deberta_core.config import BaseConfig

IntArray = npt.NDArray[np.int32]


def relative_position(query_length: int, key_length: int) -> IntArray:
    """The distance of every query to every key.

    Returns:
        `[Q, K] int32`, query - key.
    """
    return np.arange(query_length, dtype=np.int32)[:, None] - np.arange(key_length, dtype=np.int32)[None, :]


def log_bucket_position(distance: npt.ArrayLike, buckets: int, max_distance: int) -> IntArray:
    """The signed bucket of a distance: exact up to `buckets // 2`, logarithmic beyond.

    Args:
        distance: integers of any shape, in tokens.
        buckets: K, even and at least 4.
        max_distance: M, in tokens. The distance M - 1 falls in bucket K - 1. If `M - 1 <= K // 2`, every distance is
            exact: texts of M tokens have no others, and beyond them the published formula turns round.

    Returns:
        int32 of the same shape; odd and monotone in the distance; not clipped.

    Source:
        microsoft/DeBERTa `da_utils.py make_log_bucket_position`; differs: evaluated in float64 by the C library's
        logarithm, one distance at a time, so that no vectorised approximation moves a value across an integer.
    """
    middle = buckets // 2
    if max_distance - 1 <= middle:  # D18
        return np.asarray(distance, dtype=np.int32)
    scale = math.log((max_distance - 1) / middle)

    def bucket(value: int) -> int:
        size = abs(value)
        if size <= middle:
            return value
        return int(math.copysign(math.ceil(math.log(size / middle) / scale * (middle - 1)) + middle, value))

    distances = np.asarray(distance)
    values, inverse = np.unique(distances, return_inverse=True)
    return np.array([bucket(int(value)) for value in values], dtype=np.int32)[inverse].reshape(distances.shape)


def position_index(distance: npt.ArrayLike, buckets: int, max_distance: int) -> IntArray:
    """The row of the relative table for a distance: `clip(bucket(distance) + S, 0, 2S - 1)`.

    Args:
        distance: integers of any shape, in tokens.
        buckets: K; 0 for none, then the bucket is the distance itself and S = M.
        max_distance: M, in tokens.

    Returns:
        int32 of the distance's shape, in [0, 2S).
    """
    span = buckets or max_distance
    bucket = log_bucket_position(distance, buckets, max_distance) if buckets else np.asarray(distance, dtype=np.int32)
    return np.clip(bucket + span, 0, 2 * span - 1).astype(np.int32)


def position_index_table(config: BaseConfig) -> IntArray:  # D1, D13
    """The row of the relative table for every distance from -reach to reach.

    `reach` is the smallest distance beyond which the row stays the same on both sides, so the row of any distance d
    is `table[clip(d, -reach, reach) + reach]`: no logarithm and no rounding is left to a framework.

    Distances of M and more: the index is clipped, as transformers does, since long-text checkpoints were fine-tuned
    that way. Microsoft clips the distance first, so that row 0, never trained within M tokens, is not used
    (NUMERICS decision 8).

    Returns:
        `[2 * reach + 1] int32`, ascending.
    """
    return _index_table(config.buckets, config.max_distance).copy()


def position_indices(query_length: int, key_length: int, config: BaseConfig) -> IntArray:
    """The row of the relative table for every query and key.

    Returns:
        `[Q, K] int32`, in [0, R).
    """
    table = position_index_table(config)
    reach = len(table) // 2
    distance = relative_position(query_length, key_length)
    return table[np.clip(distance, -reach, reach) + reach]


@functools.lru_cache(maxsize=32)
def _index_table(buckets: int, max_distance: int) -> IntArray:
    bound = max(max_distance, buckets) + 1  # from here on both sides are constant: rows 0 and 2S - 1
    index = position_index(np.arange(-bound, bound + 1), buckets, max_distance)
    changes = np.flatnonzero(np.diff(index))
    reach = max(bound - int(changes[0]), int(changes[-1]) + 1 - bound)
    return index[bound - reach : bound + reach + 1]
