"""JSON that anybody may have written: parsed within bounds, and held against a declared shape before use.

A shape is made of the functions here; see `INDEX` of `deberta_core.shard_names` for a small one.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from deberta_core.errors import shown
from deberta_core.limits import bound, check


class Problem(NamedTuple):
    """Where a value breaks its shape."""

    path: str  # from the whole to the value, such as `.model.vocab[3]`
    found: str  # the value, where the rule is about it
    rule: str

    def inside(self, step: str) -> Problem:
        """The same problem seen from one level above."""
        return self._replace(path=step + self.path)

    def describe(self, where: str) -> str:
        """A sentence without its full stop; `where` is the file or the argument."""
        path = self.path.removeprefix(".")
        return " ".join([*filter(None, [f"{path}{self.found} in" if path else "", where]), self.rule])


Shape = Callable[[Any], Problem | None]


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; an int may have too many digits for a float."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def kind(what: str, fits: Callable[[Any], bool]) -> Shape:
    """A value for which `fits` is true; `what` says so in words."""
    return lambda value: None if fits(value) else Problem("", f"={shown(value)}", f"is not {what}")


def integer(least: int, most: int, what: str = "an integer") -> Shape:
    """An int within bounds."""
    return kind(f"{what} from {least} to {most}", lambda value: type(value) is int and least <= value <= most)


ANY: Shape = kind("", lambda value: True)
TEXT = kind("a string", lambda value: isinstance(value, str))
FLAG = kind("true or false", lambda value: isinstance(value, bool))
NUMBER = kind("a finite number", is_number)


def optional(shape: Shape) -> Shape:
    """The shape, or null."""
    return lambda value: None if value is None else shape(value)


def either(what: str, *shapes: Shape) -> Shape:
    """One of several shapes; of a value of none, the problem that lies deepest is told."""
    none_fits = kind(what, lambda value: False)

    def problem(value: Any) -> Problem | None:
        found = [shape(value) for shape in shapes]
        if None in found:
            return None
        deepest = max((one for one in found if one), key=lambda one: len(one.path))
        return deepest if deepest.path else none_fits(value)

    return problem


def list_of(shape: Shape) -> Shape:
    """A list of such values."""
    is_list = kind("a list", lambda value: isinstance(value, list))

    def problem(value: Any) -> Problem | None:
        if found := is_list(value):
            return found
        for number, part in enumerate(value):
            if found := shape(part):
                return found.inside(f"[{number}]")
        return None

    return problem


def map_of(shape: Shape, key: Shape = TEXT) -> Shape:
    """An object of any keys."""
    is_object = kind("an object", lambda value: isinstance(value, Mapping))

    def problem(value: Any) -> Problem | None:
        if found := is_object(value):
            return found
        for name, part in value.items():
            if found := key(name):
                return Problem("", "", f"has a wrong key: {shown(name)} {found.rule}")
            if found := shape(part):
                return found.inside(f".{shown(name)[1:-1]}")
        return None

    return problem


def record(required: Mapping[str, Shape], allowed: Mapping[str, Shape] | None = None) -> Shape:
    """An object of named values; what is not named may be anything.

    Args:
        required: shapes of the values that must be there.
        allowed: shapes of the values that may be.
    """
    is_object = kind("an object", lambda value: isinstance(value, dict))
    shapes = {**required, **(allowed or {})}

    def problem(value: Any) -> Problem | None:
        if found := is_object(value):
            return found
        for name in required:
            if name not in value:
                return Problem("", "", f"has no {name}")
        for name, shape in shapes.items():
            if name in value and (found := shape(value[name])):
                return found.inside(f".{name}")
        return None

    return problem


def parse_json(text: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parses UTF-8 JSON of a file whose size is bounded already.

    Args:
        text: the bytes.
        pairs: makes the objects; None for dictionaries.

    Raises:
        ValueError: it is no JSON, has too many values or levels, or a text that is no Unicode.
    """
    check("json_values", text.count(b",") + text.count(b"[") + text.count(b"{"), "it has", ValueError)
    content = flat_json(text.decode("utf-8"), pairs)
    if b"\\u" in text:
        json.dumps(content, ensure_ascii=False).encode()  # a lone surrogate could not be written again
    return content


def flat_json(text: str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parses JSON that is not nested too deep, be it of any size.

    Raises:
        ValueError: it is no JSON, or has too many levels.
    """
    try:
        content = json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        content = None
        check("json_depth", bound("json_depth") + 1, "it has", ValueError)
    depth = 0
    level: list[Any] = [[content]]  # lists and dicts
    while level:
        check("json_depth", depth, "it has", ValueError)
        level = [
            part
            for whole in level
            for part in (whole.values() if isinstance(whole, dict) else whole)
            if isinstance(part, list | dict)
        ]
        depth += 1
    return content
