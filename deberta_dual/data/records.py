"""An example as it stands in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from deberta_core.errors import InputError

BLANK = "blank line"


@dataclass(frozen=True, slots=True)
class Record:
    """An example as it stands in a file, or why there is none.

    Attributes:
        values: its entries by name; empty where it cannot be read.
        place: where it is, for messages: file and line, or file and number.
        line: the line where it begins, from 1; in files without lines its number, from 1.
        error: why it cannot be read.
        rest: entries that are nothing the task reads, which are handed on.
        file: the file, where there are several.
    """

    values: dict[str, Any] = field(repr=False)
    place: str
    line: int = 0
    error: InputError | None = None
    rest: dict[str, Any] = field(default_factory=dict, repr=False)
    file: str = ""

    @property
    def is_blank(self) -> bool:
        """Whether it is a line with nothing on it."""
        return self.error is not None and str(self.error) == BLANK


# Reads an open file, whose name is given for messages.
Reader = Callable[[BinaryIO, str], Iterator[Record]]
# Is told what a reader found out by itself, a sentence each.
Note = Callable[[str], None]


def broken(place: str, line: int, problem: str) -> Record:
    """A record that cannot be read."""
    return Record({}, place, line, InputError(problem))
