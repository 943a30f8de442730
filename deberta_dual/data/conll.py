"""CoNLL: a word and its columns a line, the label last, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from deberta_core.errors import InputError
from deberta_dual.data.records import Record
from deberta_dual.data.streams import lines_of, utf8_problem

DOCUMENT_START = "-DOCSTART-"  # a line of CoNLL 2003 that is no word
WORDS, LABELS = "words", "labels"
_LABEL = re.compile(r"O|[BIESLU]-\S+")


def read_conll(stream: BinaryIO, name: str) -> Iterator[Record]:
    """Reads sentences: `words`, the first column; `labels`, the last of several; others as `column2` and so on.

    Columns are separated by tabs where a line has one, else by spaces. Lines that begin with "# " stand between
    sentences and are passed over.
    """
    rows: list[list[str]] = []
    first, width = 1, 0
    number = 0
    for number, line in enumerate(lines_of(stream), 1):
        place = f"{name}, line {number}"
        if wrong := utf8_problem(line):
            raise InputError(f"{place}: {wrong}")
        parts = split_columns(line)
        if not any(parts):
            if rows:
                yield _sentence(rows, name, first)
            rows, first = [], number + 1
        elif parts[0] == DOCUMENT_START or (not rows and line.startswith("# ")):
            first = number + 1
        else:
            width = width or len(parts)
            if len(parts) != width or not parts[0] or not parts[-1]:
                shown = line.strip()[:40]
                raise InputError(
                    f"{place}: {shown!r} has {len(parts)} columns, the lines before it have {width}. Give every word "
                    f"the same columns, the label last."
                )
            rows.append(parts)
    if rows:
        yield _sentence(rows, name, first)


def split_columns(line: str) -> list[str]:
    """The columns of a line; one empty one for a blank line."""
    line = line.strip()
    return [part.strip() for part in line.split("\t" if "\t" in line else None)] or [""]


def looks_like_conll(lines: Sequence[str]) -> bool:
    """Whether all lines have the same columns, two or more, of which the last holds labels such as O and B-LOC."""
    rows = [split_columns(line) for line in lines if line.strip() and not line.startswith(("# ", DOCUMENT_START))]
    widths = {len(row) for row in rows}
    return len(widths) == 1 and widths.pop() > 1 and all(_LABEL.fullmatch(row[-1]) for row in rows)


def _sentence(rows: list[list[str]], name: str, first: int) -> Record:
    columns = [list(column) for column in zip(*rows, strict=True)]
    values: dict[str, Any] = {WORDS: columns[0]}
    values |= {f"column{number}": column for number, column in enumerate(columns[1:-1], 2)}
    if len(columns) > 1:
        values[LABELS] = columns[-1]
    return Record(values, f"{name}, line {first}", first)
