"""Examples of a task, wherever they are: files, data sets of other libraries, or objects."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from deberta_core.arguments import row_of
from deberta_core.errors import InputError
from deberta_dual.data.columns import FIELDS, Columns, parse_columns, role_of_name
from deberta_dual.data.formats import AUTO, read_files
from deberta_dual.data.objects import read_objects
from deberta_dual.data.records import Note, Record
from deberta_dual.data.streams import UTF8

Sources = str | Path | Iterable[Any]
Named = Mapping[str, str | Sequence[str]] | Iterable[str] | None


def read_examples(
    task: str,
    sources: Sources,
    columns: Named = None,
    *,
    labelled: bool,
    input_format: str = AUTO,
    encoding: str = UTF8,
    note: Note | None = None,
) -> Iterator[Record]:
    """Reads the examples of a task one after the other.

    Args:
        task: a name of `FIELDS`.
        sources: files and folders, see `read_files`; or a data set of Hugging Face or of TensorFlow, or dicts.
        columns: which column is what, see `parse_columns`; others are guessed by their names.
        labelled: whether what the task learns is read, too; if not, it is handed on as all other entries are.
        input_format: of files.
        encoding: of files of text.
        note: is told what was guessed, once; None: a log of the level INFO.

    Yields:
        records with their values by role, in order; also those that cannot be read, with their `error`.

    Raises:
        InputError: a file cannot be read at all, or a column is not there.
    """
    tell = note or logging.getLogger(__name__).info
    read, learnt = row_of(FIELDS, "task", task)
    roles = (*read, *learnt) if labelled else read
    named = {role_of_name(name, task, (*read, *learnt)): own for name, own in parse_columns(columns or {}).items()}
    if not labelled:
        named = {role: names for role, names in named.items() if role not in learnt}
    chosen: Columns | None = None
    found = read_files(sources, input_format, tell, encoding=encoding) if _are_files(sources) else read_objects(sources)
    for record in found:
        if record.error is not None:
            yield record
            continue
        if chosen is None:
            chosen = Columns.choose(list(map(str, record.values)), task, roles, named, record.place)
            if not chosen.is_plain():
                tell(f"columns are read as {chosen.describe()}; --columns changes that.")
        try:
            yield chosen.split(record)
        except InputError as problem:
            yield replace(record, values={}, rest=record.values, error=problem)


def load_data(
    task: str,
    sources: Sources,
    columns: Named = None,
    *,
    input_format: str = AUTO,
    encoding: str = UTF8,
    note: Note | None = None,
) -> list[Record]:
    """Reads labelled examples of a task: as `read_examples`, all of them, blank lines left out.

    Raises:
        InputError: an example cannot be read, with its place; or there is none.
    """
    found = []
    options: dict[str, Any] = {"input_format": input_format, "encoding": encoding, "note": note}
    for record in read_examples(task, sources, columns, labelled=True, **options):
        if record.error is None:
            found.append(record)
        elif not record.is_blank:
            raise InputError(f"{record.place}: {record.error}")
    if not found:
        names = ", ".join(map(str, [sources] if isinstance(sources, str | Path) else sources)) or "no file"
        raise InputError(f"{names if _are_files(sources) else 'data'} holds no example. Give one that has some.")
    return found


def _are_files(sources: Any) -> TypeGuard[str | Path | Sequence[str | Path]]:
    if isinstance(sources, str | Path):
        return True
    return isinstance(sources, list | tuple) and all(isinstance(source, str | Path) for source in sources)
