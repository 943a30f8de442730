"""What happens to the arrays of a conversion on their way, piece by piece: another type, a look for NaN, a count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from deberta_core.checkpoint import Entry, LazyWeights
from deberta_core.errors import WeightError
from deberta_core.parameters import Array

DTYPES = ("float32", "float16", "bfloat16")


def cast(weights: LazyWeights, dtype: str) -> LazyWeights:
    """The same arrays rounded to `dtype`, to the nearest and of two the even one.

    Raises:
        WeightError: on reading, a finite number is too large for `dtype`.
    """
    import ml_dtypes  # noqa: F401 - teaches NumPy the name bfloat16

    target = np.dtype(dtype)

    def converted(name: str, entry: Entry) -> Entry:
        if entry.dtype == target:
            return entry

        def read(rows: slice) -> Array:
            array = entry.read(rows)
            with np.errstate(over="ignore", invalid="ignore"):
                rounded = array.astype(target)
            lost = np.isinf(rounded) & ~np.isinf(array)
            if lost.any():
                worst = np.abs(array[lost].astype(np.float64)).max()
                raise WeightError(
                    f"{name} holds {worst:g}, which is too large for {dtype}. Choose bfloat16 or float32."
                )
            return rounded

        return replace(entry, dtype=target, read=read)

    return weights.replaced({name: converted(name, entry) for name, entry in weights.entries.items()})


def watched(weights: LazyWeights, not_numbers: set[str], count: Callable[[int], object]) -> LazyWeights:
    """The same arrays, each looked at as it passes.

    Args:
        weights: the arrays.
        not_numbers: takes the names of those that hold a NaN.
        count: is told the bytes of every piece.
    """

    def seen(name: str, entry: Entry) -> Entry:
        def read(rows: slice) -> Array:
            array = entry.read(rows)
            if has_nan(array):
                not_numbers.add(name)
            count(array.nbytes)
            return array

        return replace(entry, read=read)

    return weights.replaced({name: seen(name, entry) for name, entry in weights.entries.items()})


def has_nan(array: Array) -> bool:
    """Whether a number is NaN; infinite ones are not.

    A sum of squares is NaN for no other reason, and takes no memory.
    """
    if array.dtype.name in ("float32", "float64"):
        with np.errstate(over="ignore", invalid="ignore"):
            flat = array.ravel(order="K")  # no copy of a turned array either
            return bool(np.isnan(np.dot(flat, flat)))
    return array.dtype.kind in "fV" and bool(np.isnan(array).any())
