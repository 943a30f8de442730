"""Rows into files: JSON lines, CSV, Parquet; whole lines at any time, and the last name at the end."""

from __future__ import annotations

import csv
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from deberta_core.errors import InputError
from deberta_core.file_system import sync
from deberta_dual.data.arrow import ROWS
from deberta_dual.data.streams import need_pyarrow

PART = ".part"  # behind the name of a file that is being written
Row = dict[str, Any]


class Writer(ABC):
    """Writes rows to a stream of bytes.

    Args:
        stream: where to.
        names: of all columns a row can have, where the format must know them.
    """

    def __init__(self, stream: BinaryIO, names: Sequence[str]) -> None:
        self._stream, self._names = stream, names

    @abstractmethod
    def write(self, row: Row) -> None:
        """Writes a row."""

    def close(self) -> None:  # noqa: B027 - most formats have no end
        """Writes what a file ends with."""


def json_line(row: Row) -> bytes:
    """A row as a line of JSON; half a surrogate pair, which UTF-8 has no bytes for, is escaped."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"


def write_lines(file: Path, rows: Iterable[Row]) -> None:
    """Writes rows as lines of JSON."""
    file.write_bytes(b"".join(map(json_line, rows)))


class JsonLines(Writer):
    """An object a line."""

    def write(self, row: Row) -> None:
        """Writes a row."""
        self._stream.write(json_line(row))
        self._stream.flush()


class Csv(Writer):
    """A row a line, columns separated by commas; lists and objects as JSON."""

    def __init__(self, stream: BinaryIO, names: Sequence[str]) -> None:
        super().__init__(stream, names)
        if not stream.seekable() or stream.tell() == 0:
            self._line(names)

    def write(self, row: Row) -> None:
        """Writes a row.

        Raises:
            InputError: it has an entry that the first did not have.
        """
        if others := [name for name in row if name not in self._names]:
            raise InputError(
                f"line {row['line']} has an entry {others[0]!r}, which the first line does not have, and a table has "
                f"no column for it. Write to a .jsonl file."
            )
        values = [row.get(name, "") for name in self._names]
        self._line([json.dumps(v, ensure_ascii=False) if isinstance(v, list | dict) else v for v in values])

    def _line(self, values: Sequence[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(values)
        self._stream.write(text.getvalue().encode())
        self._stream.flush()


class Parquet(Writer):
    """A Parquet file, through pyarrow; the types of its columns are those of the first thousand rows."""

    def __init__(self, stream: BinaryIO, names: Sequence[str]) -> None:
        super().__init__(stream, names)
        self._pyarrow = need_pyarrow("a Parquet file")
        self._rows: list[Row] = []
        self._file: Any = None

    def write(self, row: Row) -> None:
        """Writes a row.

        Raises:
            InputError: its values are of other types than those of the first rows.
        """
        self._rows.append({name: row.get(name) for name in self._names})
        if len(self._rows) == ROWS:
            self._flush()

    def close(self) -> None:
        """Writes the rest, and what the file ends with."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        from pyarrow import parquet

        if self._file is not None:
            schema = self._file.schema
        elif self._rows:
            schema = None  # by the rows
        else:
            schema = self._pyarrow.schema([(name, self._pyarrow.null()) for name in self._names])
        try:
            table = self._pyarrow.Table.from_pylist(self._rows, schema)
        except (self._pyarrow.ArrowInvalid, self._pyarrow.ArrowTypeError) as problem:
            raise InputError(f"a row does not fit the table: {problem}. Write to a .jsonl file.") from problem
        if self._file is None:
            self._file = parquet.ParquetWriter(self._stream, table.schema)
        self._file.write_table(table)
        self._rows = []


class Conll(Writer):
    """Words with their tags, a word a line and a blank line behind a text; an error is a line that begins with "# "."""

    def write(self, row: Row) -> None:
        """Writes a row.

        Raises:
            InputError: a word is empty or holds white space.
        """
        if "tags" in row:
            for word in row["words"]:
                if word.split() != [word]:
                    raise InputError(f"the word {word!r:.40} cannot stand in CoNLL. Write to a .jsonl file.")
            text = "".join(f"{word}\t{tag}\n" for word, tag in zip(row["words"], row["tags"], strict=True))
        else:
            text = f"# line {row['line']}: {row.get('error')}\n"
        self._stream.write(f"{text}\n".encode())
        self._stream.flush()


# Ending of the output's name -> what writes it; others are JSON lines.
WRITERS: dict[str, Callable[[BinaryIO, Sequence[str]], Writer]] = {".csv": Csv, ".parquet": Parquet, ".conll": Conll}
NOT_RESUMED = (".parquet", ".conll")  # of these files it cannot be said how many rows they hold


def write_rows(rows: Iterable[Row], file: Path, names: Callable[[Row], Sequence[str]], *, resume: bool = False) -> None:
    """Writes rows into a file, by the ending of its name; until all are there it is called FILE.part.

    Args:
        rows: in order.
        file: its name ends as one of `WRITERS` says; any other is for JSON lines. What is there and no file, such as
            /dev/stdout or a named pipe, is written into as it is.
        names: gives the columns of a table, by its first row.
        resume: go on behind the last whole line of FILE.part; `rows` are those that are not in it.

    Raises:
        InputError: it cannot be written; what was written before stays in FILE.part, in whole lines.
    """
    part = part_of(file)
    kind = WRITERS.get(file.suffix.lower(), JsonLines)
    try:
        with part.open("r+b" if resume and part.exists() else "wb") as stream:
            if resume:
                stream.seek(0, os.SEEK_END)
            writer: Writer | None = None
            try:
                for row in rows:
                    writer = writer or kind(stream, names(row))
                    writer.write(row)
            except OSError:
                if part != file:
                    stream.truncate(_whole_rows(part)[1])
                raise
            (writer or kind(stream, names({}))).close()
            stream.flush()
            if part != file:
                os.fsync(stream.fileno())
        if part != file:
            part.replace(file)
            sync(file.parent)
    except OSError as problem:
        rest = "Begin anew." if _is_lost(file) else f"What was answered is in {part}; --resume goes on."
        failed = InputError(f"{file} cannot be written: {problem}. {rest}")
        raise failed.caused_by(problem) from problem


def part_of(file: Path) -> Path:
    """The name of a file while it is written; a device, which must not be replaced, keeps its own."""
    return file if file.exists() and not file.is_file() else file.with_name(file.name + PART)


def written_rows(file: Path) -> int:
    """How many rows of FILE.part are whole; the rest of it is cut off.

    Raises:
        InputError: the format cannot be resumed.
    """
    part = part_of(file)
    if not part.exists():
        return 0
    if _is_lost(file):
        raise InputError(f"{file}: such a file cannot be resumed. Write to .jsonl or .csv, or begin anew.")
    rows, end = _whole_rows(part)
    os.truncate(part, end)
    return max(rows - _titles(file), 0)


def _is_lost(file: Path) -> bool:
    return file.suffix.lower() in NOT_RESUMED or part_of(file) == file


def _titles(file: Path) -> int:
    """The lines of a file before its first row."""
    return int(file.suffix.lower() == ".csv")


def _whole_rows(part: Path) -> tuple[int, int]:
    """How many rows a file being written has, titles included, and the byte where the last whole one ends."""
    rows = end = 0
    with part.open("rb") as stream:
        if not _titles(part.with_suffix("")):
            for line in stream:
                if line.endswith(b"\n"):
                    rows, end = rows + 1, end + len(line)
            return rows, end
        read = 0

        def lines() -> Iterator[str]:
            nonlocal read
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                read += len(line)
                yield line.decode()

        with suppress(csv.Error):  # a row that was cut off within quotation marks
            for _ in csv.reader(lines(), strict=True):
                rows, end = rows + 1, read
    return rows, end
