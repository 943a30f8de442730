"""A weight file as a read-only mapping whose arrays are read when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from deberta_core.errors import MissingName, WeightError, shown
from deberta_core.limits import check
from deberta_core.parameters import Array

WHOLE = slice(None)
# Bytes moved at a time: small enough for memory, large enough that all but word embeddings move in one piece.
BLOCK = 1 << 26
ALIGNMENT = 64  # bytes: where frameworks let their arrays begin, so that they can use what was read as it is
_TILE = 16  # rows turned at a time: a cache line of float32
_WORTH_THREADS = 1 << 20  # bytes
_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored tensor, known without reading its numbers.

    Attributes:
        stored: its name in the file.
        shape: in PyTorch's layout, whatever the file's is.
        dtype: as stored, in the machine's byte order.
        read: gives a slice of the first axis, in PyTorch's layout; `WHOLE` gives everything.
        mapped: gives the whole array in the file's own pages, as `RawFile.mapped`; None where it does not lie there.
    """

    stored: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[slice], Array]
    mapped: Callable[[], Array | None] | None = None

    @property
    def size(self) -> int:
        """The number of bytes of the array."""
        return array_bytes(self.shape, self.dtype)


class LazyWeights(Mapping[str, Array]):
    """Names to arrays in PyTorch's layout; each access reads the file again and nothing is kept.

    The file stays open until `close`, the end of a `with` block, or the end of the last reference.

    Attributes:
        file: where the arrays come from.
        entries: names to what is known without reading.
        beside: names in the file of arrays that are beside the model, which is a part of something else there.
    """

    def __init__(self, file: Path, entries: Mapping[str, Entry], close: Callable[[], object]) -> None:
        self.file = file
        self.entries = dict(entries)
        self.beside: tuple[str, ...] = ()
        self._close = close
        self._closed = False

    def __getitem__(self, name: str) -> Array:
        return self.read(name, WHOLE)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, name: str, rows: slice) -> Array:
        """A slice of the first axis of an array; the others are not read."""
        return self._open_entry(name).read(rows)

    def mapped(self, name: str) -> Array | None:
        """An array in the file's own pages, as `RawFile.mapped`, which outlives `close`; None where there is none."""
        entry = self._open_entry(name)
        return None if entry.mapped is None else entry.mapped()

    def _open_entry(self, name: str) -> Entry:
        if name not in self.entries:
            raise MissingName(f"{self.file} has no {shown(name)}.")
        if self._closed:
            raise WeightError(f"{self.file} is closed, so {name} cannot be read. Read inside the with block.")
        return self.entries[name]

    def close(self) -> None:
        """Closes the file; reading is an error afterwards."""
        self._closed = True
        self._close()

    def select(self, names: Mapping[str, str]) -> LazyWeights:
        """The same open file under other names.

        Args:
            names: new names to names of this mapping.
        """
        return self.replaced({new: self.entries[old] for new, old in names.items()})

    def replaced(self, entries: Mapping[str, Entry]) -> LazyWeights:
        """The same open file with other entries."""
        weights = LazyWeights(self.file, entries, self.close)
        weights.beside = self.beside
        return weights


def describe(weights: Mapping[str, Array], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of one array; of a `LazyWeights` without reading it."""
    known = weights.entries[name] if isinstance(weights, LazyWeights) else np.asarray(weights[name])
    return tuple(known.shape), known.dtype


def array_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """The number of bytes of an array; exact for shapes of any size."""
    size = dtype.itemsize
    for length in shape:
        size *= int(length)
    return size


def check_shape(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """Raises WeightError unless NumPy can hold such an array, as far as memory goes; sizes are ints of 0 or more."""
    check("dimensions", len(shape), f"{name[:100]} has", WeightError)
    size = array_bytes(tuple(max(1, length) for length in shape), dtype)  # beside a 0, no length may be absurd either
    check("array_bytes", size, f"{name[:100]} has", WeightError)


def row_slices(shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[slice]:
    """Slices of the first axis, each of at most `BLOCK` bytes or one row; `[WHOLE]` for what fits into one."""
    size = array_bytes(shape, dtype)
    if size <= BLOCK:
        return [WHOLE]
    rows = max(1, BLOCK * shape[0] // size)
    return [slice(start, stop) for start, stop in pairwise([*range(0, shape[0], rows), shape[0]])]


def blocks(weights: Mapping[str, Array], name: str) -> Iterator[tuple[slice, Array]]:
    """An array piece by piece along its first axis, so that a large one never is in memory as a whole."""
    if not isinstance(weights, LazyWeights):
        yield WHOLE, np.asarray(weights[name])
        return
    entry = weights.entries[name]
    for rows in row_slices(entry.shape, entry.dtype):
        yield rows, weights.read(name, rows)


def contiguous(array: Array) -> Array:
    """The array in C order, native byte order; itself where it is already.

    A transposed matrix is copied in strips of a cache line, several times faster than NumPy's own loop, and a large
    one by several threads.
    """
    native = array.dtype.newbyteorder("=")
    if array.ndim != 2 or array.flags.c_contiguous or native != array.dtype:
        return np.ascontiguousarray(array, dtype=native)
    out = np.empty(array.shape, native)

    def turn(columns: range) -> None:
        for start in columns:
            out[:, start : start + _TILE] = array[:, start : start + _TILE]

    strips = range(0, array.shape[1], _TILE)
    if array.nbytes < _WORTH_THREADS:
        turn(strips)
        return out
    share = -(-len(strips) // _THREADS)
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(turn, [strips[start : start + share] for start in range(0, len(strips), share)]))
    return out


def compared(file: Path, entry: Entry, copies: list[Entry]) -> Entry:
    """The entry, whose reader also compares what it reads with the other stored copies of the parameter.

    Raises:
        WeightError: on reading, two differ; the message names both. NaN equals NaN.
    """

    def read(rows: slice) -> Array:
        array = entry.read(rows)
        for copy in copies:
            if copy.shape != entry.shape or not np.array_equal(array, copy.read(rows), equal_nan=True):
                raise WeightError(
                    f"{file} stores {entry.stored} and {copy.stored}, which are one parameter, with different "
                    f"numbers. Save the model again with the two tied."
                )
        return array

    return Entry(entry.stored, entry.shape, entry.dtype, read) if copies else entry


def damaged(file: Path, problem: object) -> WeightError:
    """The error for a weight file that cannot be read as what its name says."""
    reason = " ".join(str(problem).split())[:300]
    return WeightError(f"{file} is truncated, damaged or of another format: {reason}. Copy or download it again.")
