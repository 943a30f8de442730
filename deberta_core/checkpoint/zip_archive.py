"""Zip archives that anybody may have written: opened within bounds, and where the data of their members are."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from deberta_core.checkpoint.lazy import damaged
from deberta_core.checkpoint.raw_file import RawFile
from deberta_core.errors import WeightError
from deberta_core.limits import check

# What Python's zip reader raises for damaged archives.
_PROBLEMS = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, ValueError, OverflowError)
_LOCAL_HEADER = 30  # bytes before the name of a member


class BoundedFile:
    """A file of which one piece must not take more memory than a row of `LIMITS` says.

    Args:
        handle: the open file.
        limit: the name of the row.
        what: is read, for the message.
        error: the type raised.
    """

    def __init__(self, handle: BinaryIO, limit: str, what: str, error: type[Exception]) -> None:
        self.handle, self.limit, self.what, self.error = handle, limit, what, error

    def read(self, count: int = -1) -> bytes:
        """At most `count` bytes; all that are left where it is below 0."""
        check(self.limit, count, f"{self.what} has", self.error)
        return self.handle.read(count)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handle, name)


@contextmanager
def open_zip(raw: RawFile) -> Iterator[zipfile.ZipFile]:
    """Gives an archive whose directory is not too large to be read.

    Raises:
        WeightError: it is, or the archive is found to be damaged, also inside the `with` block.
    """
    try:
        with raw.file.open("rb") as handle:
            bounded = BoundedFile(handle, "zip_directory_bytes", f"{raw.file}: its directory", WeightError)
            with zipfile.ZipFile(cast(Any, bounded)) as archive:  # which reads the directory as a whole
                bounded.limit = "pickle_bytes"
                yield archive
    except WeightError:
        raise
    except _PROBLEMS as problem:
        raise damaged(raw.file, problem) from problem


def data_offset(raw: RawFile, info: zipfile.ZipInfo) -> int:
    """Where the data of a stored member begin: its local header may be longer than the directory says.

    Raises:
        WeightError: the member is packed, cut off, or not there.
    """
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise damaged(raw.file, "it holds compressed or encrypted parts, which no framework writes")
    header = raw.read_bytes(info.header_offset, _LOCAL_HEADER)
    if header[:4] != b"PK\x03\x04":
        raise damaged(raw.file, f"{info.filename[:100]} is not where its directory says")
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    begin = info.header_offset + _LOCAL_HEADER + lengths
    if begin + info.file_size > raw.size:
        raise damaged(raw.file, f"its {info.filename[:100]} is cut off")
    return begin
