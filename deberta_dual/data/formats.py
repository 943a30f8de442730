"""Which reader a file gets: by its ending, or by the format that is asked for."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from deberta_core.arguments import row_of
from deberta_core.errors import InputError
from deberta_dual.data.arrow import read_arrow, read_parquet
from deberta_dual.data.conll import looks_like_conll, read_conll
from deberta_dual.data.json_files import read_any_lines, read_json, read_json_lines, read_text
from deberta_dual.data.records import Note, Reader, Record
from deberta_dual.data.streams import STANDARD_INPUT, UTF8, in_utf8, lines_of, opened, plain_name
from deberta_dual.data.tables import csv_reader, read_tsv

AUTO = "auto"
LOOKED_AT = 100  # lines of a file whose name does not tell what it is

# Format -> what makes its reader.
FORMATS: dict[str, Callable[[Note], Reader]] = {
    "csv": csv_reader,
    "tsv": lambda note: read_tsv,
    "jsonl": lambda note: read_json_lines,
    "json": lambda note: read_json,
    "conll": lambda note: read_conll,
    "text": lambda note: read_text,
    "parquet": lambda note: read_parquet,
    "arrow": lambda note: read_arrow,
    "lines": lambda note: read_any_lines,
}
BINARY = ("parquet", "arrow")  # formats whose files are no text
# Ending of a name -> format; other files are looked at.
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".conll": "conll",
    ".conllu": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
INPUT_FORMATS = (AUTO, *FORMATS)


def read_files(
    sources: str | Path | Sequence[str | Path],
    input_format: str = AUTO,
    note: Note | None = None,
    *,
    encoding: str = UTF8,
) -> Iterator[Record]:
    """Reads files one after the other, in constant memory but for .json files.

    Args:
        sources: files, compressed (.gz, .xz, .zst) or not; folders, whose files of known endings are read in the order
            of their names; or "-", standard input.
        input_format: a name of `FORMATS`; "auto" goes by each name's ending. A file without a known one is CoNLL if its
            first lines are, else lines of text and of JSON objects.
        note: is told what was found out; None: a log of the level INFO.
        encoding: of files of text, by Python's name.

    Raises:
        InputError: no such format or encoding; a file cannot be read, or is not what its name says.
    """
    if input_format != AUTO:
        row_of(FORMATS, "input_format", input_format)
    tell = note or logging.getLogger(__name__).info
    files = files_of(sources)
    for file in files:
        name = "standard input" if str(file) == STANDARD_INPUT else str(file)
        form = _format(file, input_format, name, tell, encoding)
        with opened(file) as stream:
            for record in FORMATS[form](tell)(stream if form in BINARY else in_utf8(stream, encoding), name):
                yield replace(record, file=str(file)) if len(files) > 1 else record


def files_of(sources: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """The files: those of folders in the order of their names.

    Raises:
        InputError: a folder holds none.
    """
    files: list[str | Path] = []
    for source in [sources] if isinstance(sources, str | Path) else sources:
        if str(source) == STANDARD_INPUT or not Path(source).is_dir():
            files.append(source)
            continue
        inside = sorted(file for file in Path(source).rglob("*") if file.is_file() and _ending(file) in ENDINGS)
        if not inside:
            raise InputError(f"the folder {source} holds no file that ends with one of {', '.join(ENDINGS)}.")
        files += inside
    return files


def _ending(file: str | Path) -> str:
    return Path(plain_name(file)).suffix.lower()


def _format(file: str | Path, input_format: str, name: str, note: Note, encoding: str) -> str:
    if input_format != AUTO:
        return input_format
    if (ending := _ending(file)) in ENDINGS:
        return ENDINGS[ending]
    if str(file) == STANDARD_INPUT:
        return "lines"
    with opened(file) as stream:
        is_conll = looks_like_conll(_first_lines(in_utf8(stream, encoding)))
    if is_conll:
        note(f"{name}: read as CoNLL, a word and its label a line. For text give --input-format text.")
    return "conll" if is_conll else "lines"


def _first_lines(stream: BinaryIO) -> list[str]:
    return list(itertools.islice(lines_of(stream), LOOKED_AT))
