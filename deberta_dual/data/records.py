"""Files of examples as records: CSV, TSV, JSON lines, CoNLL and SQuAD's JSON."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from deberta_core.errors import InputError, one_of
from deberta_core.files import open_input
from deberta_core.json_shape import flat_json

DOCUMENT_START = "-DOCSTART-"  # a line of CoNLL 2003 that is no token


@dataclass(frozen=True, slots=True)
class Record:
    """An example as it stands in a file.

    Attributes:
        values: its entries by name.
        place: where it is, for messages: file and line, or file and number.
    """

    values: dict[str, Any] = field(repr=False)
    place: str


def read_records(files: Sequence[str | Path], columns: Mapping[str, str] | None = None) -> list[Record]:
    """Reads files, each by the end of its name: see `READERS`; any other is read as CoNLL.

    Args:
        files: in UTF-8.
        columns: the name an entry should have -> the name it has in the files; or, with commas, the names of several
            entries that make a list.

    Raises:
        InputError: a file cannot be read, there is no example, a file is not what its name says, or an entry that is
            to be renamed is missing.
    """
    records = [record for file in files for record in _read(Path(file))]
    if not records:
        raise InputError(f"{', '.join(map(str, files)) or 'no file'} holds no example.")
    return [Record(_renamed(record, columns or {}), record.place) for record in records]


def _read(file: Path) -> Iterator[Record]:
    with open_input(file, InputError, "Give a file of examples.", "r", encoding="utf-8-sig", newline="") as stream:
        try:
            yield from READERS.get(file.suffix.lower(), _conll)(stream, str(file))
        except UnicodeDecodeError as problem:
            byte = f"{problem.object[problem.start]:#04x}"
            raise InputError(f"{file} is no UTF-8: {problem.reason}, {byte}. Convert it to UTF-8.") from None


def _renamed(record: Record, columns: Mapping[str, str]) -> dict[str, Any]:
    values = dict(record.values)
    taken = {}
    for name, source in columns.items():
        parts = source.split(",")
        for part in parts:
            if part not in values:
                raise InputError(f"{record.place}: {one_of('column', part, sorted(map(str, values)))}")
        found = [values[part] for part in parts]
        taken[name] = found if len(parts) > 1 else found[0]
    used = {part for source in columns.values() for part in source.split(",")}
    return {name: value for name, value in values.items() if name not in used} | taken


def _table(delimiter: str, quoting: Literal[0, 3]) -> Callable[[TextIO, str], Iterator[Record]]:
    def read(stream: TextIO, name: str) -> Iterator[Record]:
        rows = csv.reader(stream, delimiter=delimiter, quoting=quoting, strict=True)
        try:
            header = [title.strip() for title in next(rows, [])]
            if len(set(filter(None, header))) < len([*filter(None, header)]):
                raise InputError(f"{name}: two columns of the first line have one name: {header!r:.80}. Rename one.")
            for row in rows:
                if not any(row):
                    continue
                if len(row) != len(header):
                    raise InputError(
                        f"{name}, line {rows.line_num}: {len(row)} entries, but the first line names {len(header)} "
                        f"columns. Put entries with {delimiter!r} or ends of lines in them into quotation marks."
                    )
                yield Record(dict(zip(header, row, strict=True)), f"{name}, line {rows.line_num}")
        except csv.Error as problem:
            raise InputError(f"{name}, line {rows.line_num}: {problem}. Look for a quotation mark too many.") from None

    return read


def _json_lines(stream: TextIO, name: str) -> Iterator[Record]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        values = _loaded(line, place)
        if not isinstance(values, dict):
            raise InputError(f"{place} is {line.strip()[:40]!r}. Every line must be a JSON object.")
        yield Record(values, place)


def _json(stream: TextIO, name: str) -> Iterator[Record]:
    """A list of objects; or SQuAD's file, {"data": [{"paragraphs": [{"context", "qas"}]}]}."""
    content = _loaded(stream.read(), name)
    try:
        if isinstance(content, dict):
            found = [
                {"context": paragraph["context"], **question}
                for article in content["data"]
                for paragraph in article["paragraphs"]
                for question in paragraph["qas"]
            ]
        else:
            found = [{**values} for values in content]
    except (KeyError, TypeError, ValueError) as problem:
        raise InputError(
            f"{name} is neither a list of JSON objects nor a file like SQuAD's: {problem!r:.80}. One object a line is "
            f"read from .jsonl files."
        ) from None
    for number, values in enumerate(found, 1):
        yield Record(values, f"{name}, example {number}")


def _conll(stream: TextIO, name: str) -> Iterator[Record]:
    """A word and its columns a line, the label last, a blank line between texts."""
    words: list[str] = []
    labels: list[str] = []
    first = 1
    for number, line in enumerate([*stream, "\n"], 1):
        line = line.strip()
        parts = [part.strip() for part in line.split("\t" if "\t" in line else " ")]
        if not any(parts):
            if words:
                yield Record({"words": words, "labels": labels}, f"{name}, line {first}")
            words, labels, first = [], [], number + 1
        elif parts[0] != DOCUMENT_START:
            if len(parts) < 2 or not parts[0] or not parts[-1]:
                raise InputError(f"{name}, line {number}: {line[:40]!r} is no word with its label behind it.")
            words.append(parts[0])
            labels.append(parts[-1])


def _loaded(text: str, place: str) -> Any:
    try:
        return flat_json(text)
    except ValueError as problem:
        raise InputError(f"{place} is no JSON: {problem}.") from None


# The end of a file's name -> what reads it.
READERS: dict[str, Callable[[TextIO, str], Iterator[Record]]] = {
    ".csv": _table(",", csv.QUOTE_MINIMAL),
    ".tsv": _table("\t", csv.QUOTE_NONE),  # there a quotation mark is a character like any other
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
}
