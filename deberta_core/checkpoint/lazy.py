"""A weight file as a read-only mapping whose arrays are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from deberta_core.errors import WeightError
from deberta_core.parameters import Array


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored tensor, known without reading its numbers.

    Attributes:
        stored: its name in the file.
        shape: in PyTorch's layout, whatever the file's is.
        dtype: as stored, in the machine's byte order.
        read: gives the array, in PyTorch's layout.
    """

    stored: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Array]


class LazyWeights(Mapping[str, Array]):
    """Names to arrays in PyTorch's layout; each access reads the file again and nothing is kept.

    The file stays open until `close`, the end of a `with` block, or the end of the last reference.

    Attributes:
        file: where the arrays come from.
        entries: names to what is known without reading.
    """

    def __init__(self, file: Path, entries: Mapping[str, Entry], close: Callable[[], object]) -> None:
        self.file = file
        self.entries = dict(entries)
        self._close = close
        self._closed = False

    def __getitem__(self, name: str) -> Array:
        entry = self.entries[name]
        if self._closed:
            raise WeightError(f"{self.file} is closed, so {name} cannot be read. Read inside the with block.")
        return entry.read()

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

    def close(self) -> None:
        """Closes the file; reading is an error afterwards."""
        self._closed = True
        self._close()

    def select(self, names: Mapping[str, str]) -> LazyWeights:
        """The same open file under other names.

        Args:
            names: new names to names of this mapping.
        """
        return LazyWeights(self.file, {new: self.entries[old] for new, old in names.items()}, self.close)


def describe(weights: Mapping[str, Array], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype of one array; of a `LazyWeights` without reading it."""
    known = weights.entries[name] if isinstance(weights, LazyWeights) else np.asarray(weights[name])
    return tuple(known.shape), known.dtype


def check_tied(file: Path, copies: Mapping[str, Array]) -> None:
    """Compares the stored copies of one parameter; NaN equals NaN.

    Args:
        file: where they are stored.
        copies: names in the file to arrays.

    Raises:
        WeightError: two differ; the message names both.
    """
    (name, first), *others = copies.items()
    for other, array in others:
        if first.shape != array.shape or not np.array_equal(first, array, equal_nan=True):
            raise WeightError(
                f"{file} stores {name} and {other}, which are one parameter, with different numbers. "
                f"Save the model again with the two tied."
            )


def damaged(file: Path, problem: object) -> WeightError:
    """The error for a weight file that cannot be read as what its name says."""
    reason = " ".join(str(problem).split())
    return WeightError(f"{file} is truncated, damaged or of another format: {reason}. Copy or download it again.")
