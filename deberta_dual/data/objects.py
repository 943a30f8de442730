"""Data sets of other libraries and plain objects as records, told apart by what they offer, not by their classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from deberta_core.errors import InputError, shown
from deberta_core.tensors import to_list
from deberta_dual.data.records import Record, broken

TEXT, LABEL = "text", "label"
LISTS = {"words", "tokens", "choices", "answers"}  # what is a list in one example, and no batch


def read_objects(source: Any) -> Iterator[Record]:
    """Reads dicts, pairs of inputs and label as `tf.data` and Keras have them, also in batches, and plain texts.

    Of a data set of Hugging Face the numbers of classes become their names.

    Raises:
        InputError: it cannot be iterated.
    """
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise InputError(f"data is of type {type(source).__name__}. Give files, one data set, or an iterable of dicts.")
    names = {column: _class_names(feature) for column, feature in (getattr(source, "features", None) or {}).items()}
    for number, item in enumerate(chain.from_iterable(map(_unbatched, _items(source))), 1):
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


def _items(source: Any) -> Iterable[Any]:
    if isinstance(count := getattr(source, "num_batches", None), int):  # Keras' own may go on for ever
        return (source[number] for number in range(count))
    plain: Callable[[], Iterable[Any]] | None = getattr(source, "as_numpy_iterator", None)
    return plain() if plain else source


def _unbatched(item: Any) -> Iterable[Any]:
    """The examples of a batch, which is a pair of an array or a list of texts, or a dict of such, and their labels."""
    if not (isinstance(item, tuple) and len(item) == 2):
        return [item]
    inputs, labels = item
    columns = {**inputs} if isinstance(inputs, Mapping) else {TEXT: inputs}
    lists = {name: to_list(column) for name, column in columns.items()}
    if LISTS & {*lists} or not all(isinstance(column, list) for column in (*lists.values(), to_list(labels))):
        return [item]
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return zip(rows, to_list(labels), strict=True)


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
