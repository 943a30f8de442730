"""What a model returns: named values, reachable by attribute, key, index and unpacking.

The classes are named-tuple types of the fields that are there, because that is what every consumer takes apart and puts
together again without help: `torch.utils._pytree`, DataParallel, `tf.nest`, Keras' tree, `tf.function`, SavedModel.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from itertools import combinations
from operator import itemgetter
from typing import Any, ClassVar, Self

from deberta_core.errors import MissingName


class ModelOutput(tuple[Any, ...]):  # D10
    """Base of all outputs; the outputs of the tasks are in `deberta_core.tasks`.

    An absent field is None as an attribute and missing as a key; indices and unpacking go over the present fields.

    Attributes:
        all_fields: what an output of this kind can hold, in order.
        variants: a type for each set of fields that are there. All are made with the class, because a class cannot be
            made inside a graph that torch.compile traces.
    """

    __slots__ = ()
    all_fields: ClassVar[tuple[str, ...]] = ()
    variants: ClassVar[Mapping[tuple[str, ...], type[ModelOutput]]] = {}
    _fields: ClassVar[tuple[str, ...]] = ()
    _field_defaults: ClassVar[Mapping[str, Any]] = {}  # as named tuples have it: torch 2.11 asks for it

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "all_fields" in vars(cls):  # a kind of output; a variant only has `_fields`
            counts = range(len(cls.all_fields) + 1)
            cls.variants = {
                fields: _variant(cls, fields) for count in counts for fields in combinations(cls.all_fields, count)
            }

    def __new__(cls, *values: Any) -> Self:
        """Takes the values of the present fields, in order; also a generator of them.

        `type(output)(f(value) for value in output)` is how transformers' Trainer and others map over tuples.
        """
        if len(values) == 1 and isinstance(values[0], Generator):
            values = tuple(values[0])
        if len(values) != len(cls._fields):
            raise TypeError(f"{cls.__name__} of {cls._fields} takes {len(cls._fields)} values, got {len(values)}.")
        return super().__new__(cls, values)

    # C's own function, which counts nothing: a graph of torch 2.6 calls it, and would compile one of Python once more.
    _make: ClassVar[Any] = classmethod(tuple.__new__)

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def _replace(self, **changes: Any) -> Self:
        return type(self)(*(self._asdict() | changes).values())

    def __getattr__(self, name: str) -> None:
        if name in type(self).all_fields:
            return
        raise MissingName(f"{type(self).__name__} has no field {name!r}; it has {', '.join(self._fields)}.")

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self._fields:
            raise MissingName(f"{key!r} is not in this {type(self).__name__}; it has {', '.join(self._fields)}.")
        return super().__getitem__(self._fields.index(key))

    def __contains__(self, key: object) -> bool:
        return key in self._fields

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self).__mro__[1], self._fields, tuple(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def keys(self) -> tuple[str, ...]:
        """The present fields."""
        return self._fields

    def values(self) -> Iterator[Any]:
        """Their values."""
        return iter(self)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Pairs of both."""
        return zip(self._fields, self, strict=True)

    def get(self, name: str, default: Any = None) -> Any:
        """A field's value, or `default` if it is not there."""
        return self[name] if name in self._fields else default

    def to_tuple(self) -> tuple[Any, ...]:
        """The values as a plain tuple."""
        return tuple(self)


def make_output(kind: type[ModelOutput], values: Mapping[str, Any], return_dict: bool | None = True) -> Any:
    """Builds an output of the values that are not None.

    Args:
        kind: a subclass that names `all_fields`.
        values: field names to values, in the output's order; None leaves a field out.
        return_dict: False gives a plain tuple.
    """
    present = {field: value for field, value in values.items() if value is not None}
    if return_dict is False:
        return tuple(present.values())
    return kind.variants[tuple(present)](*present.values())


def _variant(kind: type[ModelOutput], fields: tuple[str, ...]) -> type[ModelOutput]:
    members = {field: property(itemgetter(position)) for position, field in enumerate(fields)}
    return type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, "_fields": fields, **members})


def _rebuild(kind: type[ModelOutput], fields: tuple[str, ...], values: tuple[Any, ...]) -> ModelOutput:
    return kind.variants[fields](*values)
