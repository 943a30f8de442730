"""The documents of a file one after the other, from any place on, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from deberta_core import limits
from deberta_core.errors import InputError, name_list
from deberta_core.json_shape import flat_json
from deberta_dual.data.columns import ROLES
from deberta_dual.data.formats import FORMATS
from deberta_dual.data.streams import opened

LONGEST = 65_536  # bytes of a document; what is longer is cut
_SKIPPED_AT_ONCE = 1 << 20  # bytes
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(r"\s")

# Is told what cannot be read; reading goes on unless it raises.
Refuse = Callable[[str], Any]

# What a document is in plain text: lines up to a blank one, or each line.
PARAGRAPH, LINE = SPLITTINGS = ("paragraph", "line")


class Place(NamedTuple):
    """A place in an unpacked file.

    Attributes:
        offset: bytes before it; in files that are not read by lines, records before it.
        line: its number, from 1.
        column: bytes of the line before it.
    """

    offset: int
    line: int
    column: int


START = Place(0, 1, 0)
Found = Iterator[tuple[str, Place]]


def read_documents(
    file: Path, kind: str, start: Place, splitting: str, columns: Sequence[str], refuse: Refuse
) -> Found:
    """Reads documents, each with the place behind it.

    Args:
        file: compressed or not.
        kind: a name of `FORMATS`.
        start: where to begin: `START`, or a place that was given out. Files that are not compressed are not read up to
            there, if they are read by lines.
        splitting: one of `SPLITTINGS`.
        columns: the columns of records that make the text; none: the first there is of `ROLES["text"]`.
        refuse: is told what cannot be read.

    Raises:
        InputError: the file cannot be read at all.
    """
    with opened(file) as stream:
        if kind in ("text", "lines"):
            _skip(stream, start.offset)
            yield from _texts(stream, str(file), start, splitting, refuse)
        elif kind == "jsonl":
            _skip(stream, start.offset)
            yield from _json_lines(stream, str(file), start, columns, refuse)
        else:
            yield from _records(stream, str(file), kind, start, columns, refuse)


def _skip(stream: BinaryIO, count: int) -> None:
    if count and stream.seekable():
        stream.seek(count)
        return
    while count and (passed := len(stream.read(min(count, _SKIPPED_AT_ONCE)))):
        count -= passed


def _texts(stream: BinaryIO, name: str, start: Place, splitting: str, refuse: Refuse) -> Found:
    held: list[str] = []
    size = 0
    for line, begin, end in _parts(stream, start):
        is_end = not line.strip()
        if held and (is_end or size + len(line) > LONGEST):
            yield "\n".join(held), end if is_end else begin
            held, size = [], 0
        if is_end:
            continue
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as problem:
            refuse(_not_utf8(name, begin, line, problem))
            continue
        if not text:  # white space beyond ASCII
            continue
        if splitting == LINE:
            yield text, end
        else:
            held.append(text)
            size += len(line)
    if held:
        yield "\n".join(held), end


def _parts(stream: BinaryIO, place: Place) -> Iterator[tuple[bytes, Place, Place]]:
    """Lines, long ones in parts, each with the place before and behind it."""
    rest = b""
    while part := rest + stream.readline(LONGEST - len(rest)):
        rest = b""
        if len(part) == LONGEST and not part.endswith(b"\n"):
            cut = _cut(part)
            part, rest = part[:cut], part[cut:]
        begin = place
        if part.endswith(b"\n"):
            place = Place(begin.offset + len(part), begin.line + 1, 0)
        else:
            place = Place(begin.offset + len(part), begin.line, begin.column + len(part))
        yield part if begin.offset else part.removeprefix(_BYTE_ORDER_MARK), begin, place


def _cut(part: bytes) -> int:
    """Where to cut a part of a line: behind the last space of its second half, or else between characters."""
    if (space := part.rfind(b" ", LONGEST // 2)) > 0:
        return space + 1
    end = len(part) - 1
    while end > len(part) - 4 and part[end] & 0xC0 == 0x80:  # bytes of a character behind its first
        end -= 1
    return end


def _json_lines(stream: BinaryIO, name: str, place: Place, columns: Sequence[str], refuse: Refuse) -> Found:
    most = limits.bound("text_bytes")
    while line := stream.readline(most + 1):
        limits.check("text_bytes", len(line), f"{name}, line {place.line} has", InputError)
        begin, place = place, Place(place.offset + len(line), place.line + 1, 0)
        if not line.strip():
            continue
        try:
            found = flat_json(line.decode("utf-8-sig"))
            text = found if isinstance(found, str) else _text_of(found, columns)
        except UnicodeDecodeError as problem:
            refuse(_not_utf8(name, begin, line, problem))
        except InputError as problem:
            refuse(f"{name}, line {begin.line}: {problem}")
        except ValueError as problem:
            refuse(f"{name}, line {begin.line}: the line is no JSON: {problem}. Mend it, or read it as text.")
        else:
            yield from ((piece, place) for piece in _pieces(text))


def _records(stream: BinaryIO, name: str, kind: str, start: Place, columns: Sequence[str], refuse: Refuse) -> Found:
    records = FORMATS[kind](lambda _: None)(stream, name)
    for number, record in enumerate(islice(records, start.offset, None), start.offset + 1):
        try:
            if record.error is not None:
                raise record.error
            text = _text_of(record.values, columns)
        except InputError as problem:
            if not record.is_blank:
                refuse(f"{record.place}: {problem}")
        else:
            yield from ((piece, Place(number, number + 1, 0)) for piece in _pieces(text))


def _text_of(values: Any, columns: Sequence[str]) -> str:
    if not isinstance(values, dict):
        raise InputError(f"the line is {values!r:.40}. Every line must be a JSON object.")
    if not columns:
        by_name = {str(name).lower(): name for name in reversed([*values])}
        columns = [by_name[name] for name in ROLES["text"] if name in by_name][:1]
    there = name_list(map(str, values), 20) or "nothing"
    if not columns:
        raise InputError(f"there is no text; there is: {there}. Give the column, as in --columns text=NAME.")
    if missing := [column for column in columns if column not in values]:
        raise InputError(f"there is no {missing[0]!r}, which is text; there is: {there}.")
    texts = [values[column] for column in columns if values[column] is not None]
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise InputError(f"text={wrong[0]!r:.40} is no str. Give the column that holds the text.")
    text = "\n".join(texts)
    try:
        text.encode()
    except UnicodeEncodeError as problem:
        raise InputError(
            f"text holds half a surrogate pair, {problem.object[problem.start]!r}. Mend the text."
        ) from None
    return text


def _pieces(text: str) -> Iterator[str]:
    """A document in pieces of so many characters at most, cut at white space where there is some."""
    start = 0
    while start < len(text):
        end = start + LONGEST
        if end < len(text):
            spaces = [found.end() for found in _SPACE.finditer(text, start + LONGEST // 2, end)]
            end = spaces[-1] if spaces else end
        if piece := text[start:end].strip():
            yield piece
        start = end


def _not_utf8(name: str, place: Place, line: bytes, problem: UnicodeDecodeError) -> str:
    byte, column = line[problem.start], place.column + problem.start + 1
    return (
        f"{name}, line {place.line}: the line is no UTF-8: byte {byte:#04x} at byte {column} of the line. Convert the "
        f"file to UTF-8."
    )
