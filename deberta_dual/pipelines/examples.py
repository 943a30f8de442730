"""What a pipeline is given: examples, their texts by name, and the values of options, checked at the boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deberta_core.errors import InputError, MissingName, WrongType


def read_fields(example: Any, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """The entries of an example by name, unchecked.

    Args:
        example: a mapping; or, where one entry is required, that entry alone.
        required: the names that must be there.
        optional: the names that may be.

    Raises:
        InputError: it is something else, an entry is missing, or has a name that is not known.
    """
    allowed = ", ".join((*required, *(f"{name} (if there is one)" for name in optional)))
    if not isinstance(example, Mapping):
        if len(required) == 1:
            return {required[0]: example}
        raise WrongType(f"the input is {example!r:.60}, of type {type(example).__name__}. Give a dict of {allowed}.")
    missing = [name for name in required if example.get(name) is None]
    unknown = [str(name) for name in example if name not in (*required, *optional)]
    if missing:
        raise MissingName(f"the input has no {missing[0]}. Give a dict of {allowed}.")
    if unknown:
        raise InputError(f"the input holds {unknown[0]!r}, which is unknown. Give a dict of {allowed}.")
    return {name: value for name, value in example.items() if value is not None}


def read_texts(
    example: Any, required: Sequence[str], optional: Sequence[str] = (), *, may_be_empty: bool = False
) -> dict[str, str]:
    """As `read_fields`, for entries that are texts.

    Raises:
        InputError: as there; or an entry is not a str, or has no characters but white space and that is not allowed.
    """
    fields = read_fields(example, required, optional)
    for name, value in fields.items():
        check_text(name, value, may_be_empty)
    return fields


def check_text(name: str, value: Any, may_be_empty: bool = False) -> None:
    """Raises InputError unless `value` is a str, with other characters than white space if it may not be empty."""
    if not isinstance(value, str):
        raise WrongType(f"{name} is {value!r:.60}, of type {type(value).__name__}. A text must be a str.")
    if not may_be_empty and not value.strip():
        raise InputError(f"{name}={value!r:.20} is empty. Leave it out, or give a text.")


def read_pair(example: Any) -> dict[str, str]:
    """A text, alone or with a second one: a str, a mapping, a tuple or a list of two, or such a list in a list.

    Raises:
        InputError: it is something else.
    """
    if isinstance(example, list) and len(example) == 1 and isinstance(example[0], list | tuple):
        example = example[0]
    if isinstance(example, list | tuple):
        if len(example) != 2:
            raise InputError(f"the input is {example!r:.60}, of {len(example)} texts. A pair has two.")
        example = dict(zip(("text", "text_pair"), example, strict=True))
    return read_texts(example, ["text"], ["text_pair"], may_be_empty=True)


def check_count(name: str, value: Any, least: int = 1, none: str | None = None) -> None:
    """Raises InputError unless `value` is an int of at least `least`, or None where that has a meaning, `none`."""
    if value is None and none is not None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        rest = f", or None {none}" if none else ""
        raise InputError(f"{name}={value!r} is not allowed. Give an int of {least} or more{rest}.")


def check_flag(name: str, value: Any) -> None:
    """Raises InputError unless `value` is True or False."""
    if not isinstance(value, bool):
        raise InputError(f"{name}={value!r} is not a bool. Use True or False.")


def read_names(name: str, value: Any, repeats: bool = False) -> tuple[str, ...]:
    """An option that is a list of texts, or one text with commas, without white space around them.

    Args:
        name: of the option.
        value: its value.
        repeats: whether a text may be there twice.

    Raises:
        InputError: it is empty, holds something else, or one text twice where it may not.
    """
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, Sequence) or not parts or not all(isinstance(part, str) for part in parts):
        raise WrongType(f"{name}={value!r:.60} is not allowed. Give a list of texts.")
    names = tuple(part.strip() for part in parts)
    if not all(names) or (len(set(names)) < len(names) and not repeats):
        raise InputError(f"{name}={value!r:.60} holds an empty text, or one twice. Give different texts.")
    return names
