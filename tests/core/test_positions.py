"""Distances, buckets and the index table."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deberta_core import ConfigError, DebertaV2Config
from deberta_core.positions import (
    log_bucket_position,
    position_index,
    position_index_table,
    position_indices,
    relative_position,
)

quick = settings(deadline=None, max_examples=25, derandomize=True)


@st.composite
def bucket_sizes(draw):
    buckets = 2 * draw(st.integers(2, 200), label="half")
    return buckets, draw(st.integers(buckets // 2 + 2, 1500), label="distance")


def config(buckets=-1, distance=-1, positions=512) -> DebertaV2Config:
    return DebertaV2Config(position_buckets=buckets, max_relative_positions=distance, max_position_embeddings=positions)


def formula(distance: int, buckets: int, limit: int) -> int:
    """NUMERICS 1, written again: the row of the table for one distance."""
    span = buckets or limit
    bucket, middle = distance, buckets // 2
    if buckets and abs(distance) > middle:
        size = math.ceil(math.log(abs(distance) / middle) / math.log((limit - 1) / middle) * (middle - 1)) + middle
        bucket = size if distance > 0 else -size
    return min(max(bucket + span, 0), 2 * span - 1)


def test_distance_is_query_minus_key():
    expected = np.array([[0, -1, -2, -3], [1, 0, -1, -2]], np.int32)
    np.testing.assert_array_equal(relative_position(2, 4), expected, strict=True)


@quick
@given(sizes=bucket_sizes())
def test_buckets(sizes):
    buckets, limit = sizes
    half = buckets // 2
    distances = np.arange(-2 * limit, 2 * limit + 1)
    result = log_bucket_position(distances, buckets, limit)
    assert result.dtype == np.int32
    np.testing.assert_array_equal(result, -result[::-1])  # odd
    assert (np.diff(result) >= 0).all()  # monotone
    near = np.abs(distances) <= half
    np.testing.assert_array_equal(result[near], distances[near])  # the identity up to half
    assert result[distances == limit - 1] == buckets - 1  # exactly, the log's ratio being 1 there
    assert (np.abs(result[np.abs(distances) < limit - 1]) < buckets).all()


def test_known_buckets():
    """K=256, M=512 as published, and the distance where float32 logarithms say 427 instead."""
    assert log_bucket_position([128, 129, 511, 512, -511], 256, 512).tolist() == [128, 129, 255, 256, -255]
    assert abs(log_bucket_position(1643, 512, 4096)) == 428
    assert log_bucket_position(-1643, 512, 4096) == -428
    assert log_bucket_position(5, 256, 512).shape == ()
    assert log_bucket_position(np.zeros((2, 3), int), 256, 512).shape == (2, 3)


def test_the_published_table():
    table = position_index_table(config(256))
    reach = len(table) // 2
    assert reach == 512
    assert table.dtype == np.int32
    assert table[reach] == 256
    row = {distance: int(table[distance + reach]) for distance in range(-512, 513)}
    assert row[-512] == 0
    assert row[-511] == 1  # row 0 is not read by two tokens of one text of 512
    assert [distance for distance in row if row[distance] == 0] == [-512]
    assert row[506] == 511 == row[512]
    assert row[505] == 510
    assert min(distance for distance in row if row[distance] == 511) == 506


@pytest.mark.parametrize(
    ("made", "reach"),
    [(config(), 512), (config(positions=1), 1), (config(distance=5), 5), (config(4, 4), None), (config(8, 64), None)],
)
def test_reach_is_the_smallest(made, reach):
    table = position_index_table(made)
    found = len(table) // 2
    assert reach in (found, None)
    assert len(table) % 2 == 1
    assert (table[0], table[-1]) == (0, made.table_rows - 1)
    assert table[1] != table[0] or table[-2] != table[-1]  # a smaller one would be wrong on one side


@quick
@given(sizes=bucket_sizes() | st.tuples(st.just(0), st.integers(1, 300)), data=st.data())
def test_the_table_is_the_formula(sizes, data):
    buckets, limit = sizes
    made = config(buckets or -1, limit)
    table = position_index_table(made)
    reach = len(table) // 2
    far = data.draw(st.lists(st.integers(-100_000, 100_000), max_size=20), label="far")
    for distance in [*range(-limit - 3, limit + 4), *far]:
        assert table[min(max(distance, -reach), reach) + reach] == formula(distance, buckets, limit), distance
    assert (np.diff(table) >= 0).all()


@quick
@given(
    sizes=bucket_sizes() | st.tuples(st.just(0), st.integers(1, 40)),
    queries=st.integers(1, 40),
    keys=st.integers(1, 40),
)
def test_indices_of_queries_and_keys(sizes, queries, keys):
    buckets, limit = sizes
    made = config(buckets or -1, limit)
    index = position_indices(queries, keys, made)
    assert index.shape == (queries, keys)
    assert index.dtype == np.int32
    np.testing.assert_array_equal(index, position_index(relative_position(queries, keys), buckets, limit))


def test_a_callers_change_does_not_reach_the_table():
    made = config(256)
    position_index_table(made)[:] = 0
    assert position_index_table(made)[512] == 256


@quick
@given(buckets=st.integers(1, 60), limit=st.integers(1, 60))
def test_other_sizes_are_refused_by_the_configuration(buckets, limit):
    assume(buckets % 2 or buckets < 4)
    with pytest.raises(ConfigError, match="position_buckets"):
        config(buckets, limit)


@quick
@given(half=st.integers(2, 200), fewer=st.integers(0, 200))
def test_fewer_positions_than_exact_buckets(half, fewer):
    """As transformers computes it for texts of that length: every distance has a row of its own."""
    buckets, limit = 2 * half, max(half + 1 - fewer, 1)
    distance = relative_position(limit, limit)
    np.testing.assert_array_equal(position_indices(limit, limit, config(buckets, limit)), distance + buckets)
    table = position_index_table(config(buckets, limit))
    assert table[0] == 0
    assert table[-1] == 2 * buckets - 1
