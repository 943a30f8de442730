"""Data sets of other libraries and plain objects as records, told apart by what they offer, not by their classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from deberta_core.errors import InputError, shown
from deberta_core.tensors import to_list
from deberta_dual.data.records import Record, broken

TEXT, LABEL = "text", "label"


def read_objects(source: Any) -> Iterator[Record]:
    """Reads dicts, pairs of inputs and label as `tf.data` and Keras have them, and plain texts.

    Of a data set of Hugging Face the numbers of classes become their names.

    Raises:
        InputError: it cannot be iterated.
    """
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise InputError(f"data is of type {type(source).__name__}. Give files, a data set, or an iterable of dicts.")
    names = {column: _class_names(feature) for column, feature in (getattr(source, "features", None) or {}).items()}
    plain: Callable[[], Iterable[Any]] | None = getattr(source, "as_numpy_iterator", None)
    for number, item in enumerate(plain() if plain else source, 1):
        place = f"example {number}"
        problem = f"it is {shown(item, 40)}. Give a dict, a text, or a pair of inputs and label."
        try:
            values = _values(item)
        except UnicodeDecodeError as error:
            values, problem = None, f"a text is no UTF-8: {error.reason} at byte {error.start}."
        if values is None:
            yield broken(place, number, problem)
            continue
        yield Record({key: _named(value, names.get(key)) for key, value in values.items()}, place, number)


def _values(item: Any) -> dict[str, Any] | None:
    if isinstance(item, tuple) and len(item) == 2:
        inputs = _values(item[0])
        return None if inputs is None else {**inputs, LABEL: _plain(item[1])}
    if isinstance(item, Mapping):
        return {str(key): _plain(value) for key, value in item.items()}
    text = _plain(item)
    return {TEXT: text} if isinstance(text, str) else None


def _plain(value: Any) -> Any:
    value = to_list(value)
    if isinstance(value, bytes):
        return value.decode()
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _class_names(feature: Any) -> list[str] | None:
    """The names of classes of a feature of `datasets`, or of the list that it is."""
    feature = getattr(feature, "feature", feature)
    names = getattr(feature, "names", None)
    return list(names) if names else None


def _named(value: Any, names: list[str] | None) -> Any:
    if names is None:
        return value
    if isinstance(value, list):
        return [_named(part, names) for part in value]
    return names[value] if type(value) is int and 0 <= value < len(names) else value
