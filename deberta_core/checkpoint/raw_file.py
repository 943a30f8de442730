"""Positioned reads of plain arrays, and arrays in a file's own pages.

What is converted is read: mapped pages count as a process' memory as long as the system leaves them there.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.checkpoint.lazy import ALIGNMENT, array_bytes, damaged
from deberta_core.errors import WeightError, reason
from deberta_core.parameters import Array

_LITTLE = np.dtype("<f4")
# On Windows a file that is mapped cannot be replaced, and so a model not be saved to where it came from.
_MAPS = _LITTLE.isnative and os.name != "nt"


class RawFile:
    """An open file that gives arrays at given places; closed with the last reference at the latest.

    Attributes:
        file: its path.
        size: its length in bytes.

    Raises:
        WeightError: the file cannot be opened.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self.handle = file.open("rb", buffering=0)
        except OSError as problem:
            raise WeightError(f"{file} cannot be opened: {reason(problem)}.").caused_by(problem) from problem
        self.size = os.fstat(self.handle.fileno()).st_size
        self._pages: mmap.mmap | None = None

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self.handle.close()

    def close(self) -> None:
        """Closes the file; arrays of `mapped` stay."""
        self.handle.close()
        self._pages = None

    def read_bytes(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset` on.

        Raises:
            WeightError: the file is shorter; known before memory is taken.
        """
        return self.read(offset, (count,), np.dtype(np.uint8)).tobytes()

    def read(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """A little-endian C-ordered array that begins at `offset`.

        Raises:
            WeightError: the file is shorter; known before memory is taken.
        """
        count = array_bytes(shape, dtype)
        if offset < 0 or offset + count > self.size:
            raise damaged(self.file, f"it has {self.size} bytes, and {count} at {offset} were asked for")
        flat = np.empty(count + ALIGNMENT, np.uint8)
        first = -flat.ctypes.data % ALIGNMENT
        flat = flat[first : first + count]
        view, done = flat.data, 0
        try:
            while done < count:
                got = os.preadv(self.handle.fileno(), [view[done:]], offset + done)
                if not got:
                    raise damaged(self.file, "it became shorter while it was read")
                done += got
        except OSError as problem:
            raise damaged(self.file, problem) from problem
        array: Array = flat.view(dtype.newbyteorder("<") if dtype.kind != "V" else dtype).reshape(shape)
        return array if _LITTLE.isnative else array.astype(dtype)

    def read_rows(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], rows: slice) -> Array:
        """A slice of the first axis of such an array."""
        if not shape:
            return self.read(offset, shape, dtype)
        start, stop, _ = rows.indices(shape[0])
        return self.read(offset + start * array_bytes(shape[1:], dtype), (stop - start, *shape[1:]), dtype)

    def mapped(self, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array | None:
        """Such an array in the file's own pages: read when they are used, and shared with others that map the file.

        It can be written to, which changes the pages for this array alone. It stays as it is where the file is
        replaced by another of its name, or removed; where the file itself is written to, it may change, and where the
        file is cut short, reading it ends the process. Two arrays must not overlap.

        None where the system does not map files, or not as described; or where the array is empty.
        """
        count = array_bytes(shape, dtype)
        if not _MAPS or not count or offset + count > self.size:
            return None
        if self._pages is None:
            try:
                self._pages = mmap.mmap(self.handle.fileno(), self.size, access=mmap.ACCESS_COPY)
            except (OSError, ValueError, OverflowError):
                return None
        flat: Array = np.frombuffer(self._pages, np.uint8, count, offset)
        return flat.view(dtype).reshape(shape)
