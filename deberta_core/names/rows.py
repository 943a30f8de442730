"""A row of the tables of names: what becomes of a name that users of transformers or keras-hub write."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar, cast

from deberta_core.errors import DebertaError, InputError, MissingName, NotOffered, shown


@dataclass(frozen=True, slots=True)
class Renamed:
    """Another name for one of ours.

    Args:
        ours: an argument's name, which is its own where only values differ; of an attribute, with dots for attributes
            of attributes.
        values: their values to ours, where they differ; a value that is not in it is handed on as it is.
        note: for the page.
    """

    ours: str
    values: Mapping[Any, Any] | None = None
    note: str = ""

    def describe(self) -> str:
        """The cell of the page."""
        pairs = [f"{key!r} is {value!r}" for key, value in (self.values or {}).items()]
        return f"`{self.ours}`" + "".join(f"; {part}" for part in (*pairs, self.note) if part)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A name that may be given and changes nothing.

    Args:
        why: a part of a sentence, as "every format is read".
        reads_as: of an attribute, what it gives to those who read it.
    """

    why: str
    reads_as: Any = None

    def describe(self) -> str:
        """The cell of the page."""
        return f"accepted, without effect: {self.why}"


@dataclass(frozen=True, slots=True)
class Refused:
    """A name that is refused; an argument only if it asks for something: None and False do not.

    Args:
        instead: a whole sentence that says what to do.
    """

    instead: str

    def describe(self) -> str:
        """The cell of the page."""
        return f"refused. {self.instead}"


Row = Renamed | Accepted | Refused
Rows = Mapping[str, Row]
Function = TypeVar("Function", bound=Callable[..., Any])


def with_other_names(rows: Rows, error: type[DebertaError] = InputError) -> Callable[[Function], Function]:
    """A decorator: the keywords of a method may also be given by other names; inside they have ours.

    What neither the method nor the rows know is refused, unless the method takes any keyword, and so judges it itself.

    Args:
        rows: what becomes of other names.
        error: of the messages.
    """

    def decorate(method: Function) -> Function:
        arguments = inspect.signature(method).parameters
        own = [name for name, one in arguments.items() if one.kind is not one.VAR_KEYWORD]
        takes_any = len(own) < len(arguments)

        @functools.wraps(method)
        def called(self: Any, *given: Any, **keywords: Any) -> Any:
            known = {*own, *(keywords.keys() - rows.keys())} if takes_any else own[1:]
            keywords = own_keywords(rows, keywords, known, error=error)
            for name in own[1 : len(given) + 1]:
                if name in keywords:
                    raise error(f"{name} was given twice, by its place and by a name. Give it once.")
            return method(self, *given, **keywords)

        return cast(Function, called)

    return decorate


def own_keywords(
    rows: Rows,
    given: Mapping[str, Any],
    known: Collection[str],
    what: str = "argument",
    error: type[DebertaError] = InputError,
) -> dict[str, Any]:
    """Keyword arguments by our names.

    Args:
        rows: what becomes of other names.
        given: keywords as the caller wrote them.
        known: our own names; they are handed on as they are.
        what: of the message, what the names are.
        error: of the message.

    Raises:
        error: a name is refused, or unknown (the message has the nearest that is known), or one thing is given under
            two names.
    """
    own = {name: _translated(_values(rows.get(name), name), value) for name, value in given.items() if name in known}
    for name, value in given.items():
        if name in known:
            continue
        row = rows.get(name)
        if row is None:
            raise error(unknown_name(what, name, [*known, *rows]))
        if isinstance(row, Refused) and value is not None and value is not False:
            raise error(f"{what} {name!r} is not taken. {row.instead}")
        if isinstance(row, Renamed):
            if row.ours in own:
                raise error(f"{name} and {row.ours} are two names of one {what}. Give one of them.")
            own[row.ours] = _translated(row.values, value)
    return own


def unknown_name(what: str, name: str, known: Collection[str]) -> str:
    """The message for a name that nobody knows: with the nearest that is known, or else all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    mend = f"Did you mean {close[0]!r}?" if close else f"Use one of: {', '.join(sorted(known)) or 'none at all'}."
    return f"{what} {shown(name)} is unknown. {mend}"


def other_attribute(rows: Rows, owner: object, name: str) -> Any:
    """The value of an attribute that `owner` has under another name; for `__getattr__`.

    Raises:
        NotOffered: the attribute is refused.
        MissingName: it is in no row; the message has the nearest name, if one is near.
    """
    row = rows.get(name)
    if isinstance(row, Renamed):
        return _translated(row.values, attrgetter(row.ours)(owner))
    if isinstance(row, Accepted):
        return row.reads_as
    has_none = f"{type(owner).__name__} has no attribute {name!r}."
    if row is not None:
        raise NotOffered(f"{has_none} {row.instead}")
    known = [name for name in (*dir(type(owner)), *rows) if not name.startswith("_")]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    raise MissingName(f"{has_none} Did you mean {close[0]!r}?" if close else has_none)


def _values(row: Row | None, name: str) -> Mapping[Any, Any] | None:
    """The values of others that one of our own names has."""
    return row.values if isinstance(row, Renamed) and row.ours == name else None


def _translated(values: Mapping[Any, Any] | None, value: Any) -> Any:
    try:
        return value if values is None else values.get(value, value)
    except TypeError:  # what cannot be a key is in no mapping
        return value


def as_table(rows: Rows) -> str:
    """The rows as a Markdown table, in their order."""
    lines = [f"| `{name}` | {row.describe()} |" for name, row in rows.items()]
    return "\n".join(["| there | here |", "|---|---|", *lines])
