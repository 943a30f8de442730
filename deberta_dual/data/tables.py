"""CSV and TSV: a row a record, the first line names the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, Literal

from deberta_core.errors import InputError
from deberta_dual.data.records import Note, Reader, Record, broken
from deberta_dual.data.streams import lines_of, utf8_problem

LONGEST_ENTRY = 100_000_000  # characters; the module's own bound, 131,072, is less than a book
_SEPARATORS = (",", ";", "\t")
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs"}


def csv_reader(note: Note) -> Reader:
    """Reads CSV; what separates columns is what stands most often in the first line, of comma, semicolon and tab."""

    def read(stream: BinaryIO, name: str) -> Iterator[Record]:
        lines = lines_of(stream)
        first = next(lines, "")
        separator = _separator(first)
        if separator != ",":
            note(f"{name}: columns are separated by {_NAMES[separator]}.")
        return _rows(chain([first], lines), name, separator, csv.QUOTE_MINIMAL)

    return read


def read_tsv(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Reads TSV, where a quotation mark is a character like any other."""
    return _rows(lines_of(stream), name, "\t", csv.QUOTE_NONE)


def _separator(line: str) -> str:
    outside = "".join(line.split('"')[::2])  # what stands in quotation marks separates nothing
    return max(_SEPARATORS, key=outside.count)


def _rows(lines: Iterator[str], name: str, separator: str, quoting: Literal[0, 3]) -> Iterator[Record]:
    if csv.field_size_limit() < LONGEST_ENTRY:
        csv.field_size_limit(LONGEST_ENTRY)
    wrong: list[tuple[int, str]] = []  # lines of the row that are no UTF-8
    rows = csv.reader(_watched(lines, wrong), delimiter=separator, quoting=quoting, strict=True)
    header: list[str] | None = None
    while True:
        line = rows.line_num + 1  # where the next row begins
        place = f"{name}, line {line}"
        wrong.clear()
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as problem:
            what = f"line {line} opens a quotation mark that is never closed, or closes one too early ({problem})"
            raise InputError(f"{name}: {what}. Mend the quotation marks there.") from None
        if wrong and header is None:
            raise InputError(f"{name}, line {wrong[0][0]}: {wrong[0][1]}")
        if header is None:
            header = _header(row, name)
        elif not any(row):
            continue
        elif wrong:
            yield broken(f"{name}, line {wrong[0][0]}", line, wrong[0][1])
        elif len(row) != len(header):
            yield broken(
                place,
                line,
                f"there are {len(row)} entries, but the first line names {len(header)} columns. Put entries with "
                f"{separator!r} or ends of lines in them into quotation marks.",
            )
        else:
            yield Record(dict(zip(header, row, strict=True)), place, line)


def _watched(lines: Iterator[str], wrong: list[tuple[int, str]]) -> Iterator[str]:
    """Lines, of which those that are no UTF-8 are put into a list, with their numbers."""
    for number, line in enumerate(lines, 1):
        if problem := utf8_problem(line):
            wrong.append((number, problem))
        yield line


def _header(row: list[str], name: str) -> list[str]:
    header = [title.strip() for title in row]
    named = [title for title in header if title]
    if len({*named}) < len(named):
        raise InputError(f"{name}: two columns of the first line have one name: {header!r:.80}. Rename one.")
    return header
