"""Checks of arguments that many functions share: a wrong one is refused with its name, value and rule."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from deberta_core.errors import DebertaError, InputError, WrongType, name_list, one_of, shown
from deberta_core.tensors import to_list

Value = TypeVar("Value")


def row_of(table: Mapping[str, Value], what: str, name: object, error: type[DebertaError] = InputError) -> Value:
    """The row of a table that an argument names.

    Raises:
        error: there is none; the message lists the names.
    """
    if not isinstance(name, str) or name not in table:
        raise error(one_of(what, name, sorted(table)))
    return table[name]


def to_path(name: str, value: object, error: type[DebertaError] = InputError) -> Path:
    """A path.

    Raises:
        error: the argument is neither a str nor a path.
    """
    if not isinstance(value, str | os.PathLike):
        raise error(f"{name}={shown(value)} is no path. Give a str or a pathlib.Path.")
    return Path(value)


def items_of(value: Any, name: str, what: str) -> list[Any]:
    """The entries of a list, an array or another iterable that is not one text.

    Raises:
        WrongType: it is none; `what` says in the plural what it should hold.
    """
    value = to_list(value)
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise WrongType(f"{name} is {shown(value, 60)}, of type {type(value).__name__}. Give a list of {what}.")
    return list(value)


def ids_of(value: Any, name: str) -> list[int]:
    """A row of ids.

    Raises:
        InputError: it is none.
    """
    ids = [to_list(index) for index in items_of(value, name, "ids")]
    for index in ids:
        if type(index) is not int:
            raise InputError(f"{name} holds {shown(index, 60)}, which is no id. Ids are int.")
    return ids


def id_rows(first: Any, second: Any) -> tuple[list[int], list[int] | None]:
    """The arguments `token_ids_0` and `token_ids_1`; raises as `ids_of`."""
    return ids_of(first, "token_ids_0"), None if second is None else ids_of(second, "token_ids_1")


def columns_of(examples: Any, name: str) -> dict[str, list[Any]]:
    """Examples, each a mapping, as columns.

    Raises:
        InputError: one is no mapping, or they hold different entries.
    """
    rows = items_of(examples, name, "examples, each a mapping")
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"{name}[{place}] is {shown(row, 60)}. Every example is a mapping of names to values.")
        if different := set(rows[0]) ^ set(row):
            raise InputError(
                f"{name}[{place}] and {name}[0] do not hold the same entries: only one of them has "
                f"{name_list(map(str, different))}. Tokenize all examples with the same options."
            )
    return {entry: [to_list(row[entry]) for row in rows] for entry in (rows[0] if rows else ())}
