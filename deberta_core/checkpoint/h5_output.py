"""Writing HDF5 files of parameters."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deberta_core.checkpoint.lazy import WHOLE, blocks, contiguous
from deberta_core.parameters import Array, Kind

if TYPE_CHECKING:
    import h5py

BFLOAT16 = "bfloat16"  # HDF5 has no such type: Keras stores two bytes and the name in this attribute
DTYPE_ATTRIBUTE = "dtype"
_OPAQUE = "V2"


class H5Output:
    """A new HDF5 file that is being written.

    Attributes:
        handle: the open file.
    """

    def __init__(self, handle: h5py.File, disk: _Disk) -> None:
        self.handle = handle
        self._disk = disk

    def write(self, path: str, kind: Kind, weights: Mapping[str, Array], name: str, shape: tuple[int, ...]) -> None:
        """Writes one parameter in Keras' layout, piece by piece.

        Args:
            path: of the dataset.
            kind: the parameter's kind.
            weights: the mapping that holds it, in PyTorch's layout.
            name: its name there.
            shape: its shape there.

        Raises:
            OSError: the disk is full, or fails.
        """
        dataset: Any = None
        for rows, array in blocks(weights, name):
            half = array.dtype.name == BFLOAT16
            if dataset is None:
                dtype = _OPAQUE if half else array.dtype.newbyteorder("=")
                dataset = self.handle.create_dataset(path, shape=kind.shape(shape), dtype=dtype)
                if half:
                    dataset.attrs[DTYPE_ATTRIBUTE] = BFLOAT16
            turned = contiguous(kind.convert(array))
            dataset[place(kind, shape, rows)] = turned.view(_OPAQUE) if half else turned
            self._disk.check()


@contextmanager
def new_h5_file(file: Path) -> Iterator[H5Output]:
    """Opens a new HDF5 file.

    Args:
        file: the file, replaced if it exists.

    Raises:
        OSError: the disk is full, or fails.
    """
    import h5py

    with file.open("wb+", buffering=0) as raw:
        disk = _Disk(raw)
        with h5py.File(disk, "w") as handle:
            yield H5Output(handle, disk)
        disk.check()


def place(kind: Kind, shape: tuple[int, ...], rows: slice) -> Any:
    """Where the rows of PyTorch's layout are in a dataset of Keras' layout."""
    if rows == WHOLE or not shape:
        return ()
    return (..., rows) if kind.reversed_axes else rows


class _Disk(io.RawIOBase):
    """A file whose failures are kept until they are asked for: HDF5 crashes the process if a write fails."""

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__()
        self._raw = raw
        self._problem: OSError | None = None

    def check(self) -> None:
        if self._problem is not None:
            raise self._problem

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self._problem is None:
                done += self._raw.write(view[done:]) or 0
        except OSError as problem:
            self._problem = problem
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._raw.truncate(size)
        except OSError as problem:
            self._problem = self._problem or problem
            return size or 0

    def readinto(self, buffer: Any) -> int | None:
        return self._raw.readinto(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
