"""Files of examples as streams of bytes and of lines: compressed ones, standard input, bytes that are no UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from deberta_core.errors import InputError, reason
from deberta_core.files import open_input

STANDARD_INPUT = "-"
UTF8 = "utf-8"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what decoding makes of bytes that are none


def need_pyarrow(what: str) -> Any:
    """The module `pyarrow`.

    Raises:
        InputError: it is not installed; `what` says in the message what needs it.
    """
    try:
        import pyarrow
    except ImportError:
        raise InputError(f"{what} needs pyarrow. Run: pip install 'deberta-dual[data]'.") from None
    return pyarrow


def _unpack_zstd(stream: BinaryIO) -> Any:
    return need_pyarrow("a .zst file").CompressedInputStream(stream, "zstd")


# The last ending of a compressed file's name -> what unpacks it.
COMPRESSIONS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda stream: gzip.GzipFile(fileobj=stream),
    ".xz": lzma.LZMAFile,
    ".zst": _unpack_zstd,
}


def plain_name(file: str | Path) -> str:
    """The name of a file without the ending of a compression."""
    path = Path(file)
    return path.stem if path.suffix.lower() in COMPRESSIONS else path.name


@contextmanager
def opened(file: str | Path) -> Iterator[BinaryIO]:
    """Opens a file, compressed or not, or for "-" standard input; bytes come out.

    Raises:
        InputError: it cannot be opened, or is no file of the compression that its name says.
    """
    if str(file) == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    path = Path(file)
    with open_input(path, InputError, "Give a file of examples.") as stream:
        unpack = COMPRESSIONS.get(path.suffix.lower())
        if unpack is None:
            yield stream
            return
        try:
            yield io.BufferedReader(unpack(stream))
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as problem:
            raise InputError(f"{file} cannot be unpacked: {reason(problem)}. Check that it is whole.") from problem


def in_utf8(stream: BinaryIO, encoding: str) -> BinaryIO:
    """A stream whose text is in another encoding, as UTF-8; bytes that are not in it are left as they are.

    Raises:
        InputError: there is no such encoding.
    """
    try:
        codec = codecs.lookup(encoding)
    except LookupError:
        raise InputError(f"encoding={encoding!r} is not known. Give one such as latin-1, cp1252 or utf-16.") from None
    return stream if codec.name == UTF8 else io.BufferedReader(_Recoded(stream, encoding))


class _Recoded(io.RawIOBase):
    """Bytes of one encoding as those of UTF-8."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream, self._decoder = stream, codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            read = self._stream.read(io.DEFAULT_BUFFER_SIZE)
            self._ready = self._decoder.decode(read, final=not read).encode(UTF8, "surrogateescape")
            if not read and not self._ready:
                return 0
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def lines_of(stream: BinaryIO) -> Iterator[str]:
    """The lines of a text, with their ends; bytes that are no UTF-8 are kept, see `utf8_problem`.

    Only line feeds end lines, as in JSON lines and CSV; a byte order mark is taken off.
    """
    first = True
    for line in stream:
        yield line.decode("utf-8-sig" if first else "utf-8", "surrogateescape")
        first = False


def utf8_problem(text: str) -> str | None:
    """What is wrong with a line of `lines_of`, if it is no UTF-8: the byte, and where in the line it is."""
    found = _NOT_UTF8.search(text)
    if found is None:
        return None
    byte = ord(found[0]) - 0xDC00
    place = len(text[: found.start()].encode())
    return (
        f"the line is no UTF-8: byte {byte:#04x} at byte {place + 1} of the line. Give the file's encoding, such as "
        f"latin-1, or convert it to UTF-8."
    )
