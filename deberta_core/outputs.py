"""What a model returns: named values, reachable by attribute, key, index and unpacking.

The classes are named-tuple types of the fields that are there, because that is what every consumer takes apart and puts
together again without help: `torch.utils._pytree`, DataParallel, `tf.nest`, Keras' tree, `tf.function`, SavedModel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from operator import itemgetter
from typing import Any, ClassVar, Self


class ModelOutput(tuple[Any, ...]):
    """Base of all outputs; `all_fields` names what an output of its kind can hold, `_fields` what this one holds.

    An absent field is None as an attribute and missing as a key; indices and unpacking go over the present fields.
    """

    __slots__ = ()
    all_fields: ClassVar[tuple[str, ...]] = ()
    _fields: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, *values: Any) -> Self:
        """Takes the values of the present fields, in order."""
        if len(values) != len(cls._fields):
            raise TypeError(f"{cls.__name__} of {cls._fields} takes {len(cls._fields)} values, got {len(values)}.")
        return super().__new__(cls, values)

    @classmethod
    def _make(cls, values: Iterable[Any]) -> Self:
        return cls(*values)

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    def _replace(self, **changes: Any) -> Self:
        return self._make((self._asdict() | changes).values())

    def __getattr__(self, name: str) -> None:
        if name in type(self).all_fields:
            return
        raise AttributeError(f"{type(self).__name__} has no field {name!r}; it has {', '.join(self._fields)}.")

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return super().__getitem__(key)
        if key not in self._fields:
            raise KeyError(f"{key!r} is not in this {type(self).__name__}; it has {', '.join(self._fields)}.")
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

    def to_tuple(self) -> tuple[Any, ...]:
        """The values as a plain tuple."""
        return tuple(self)


class BaseModelOutput(ModelOutput):
    """Output of a backbone: `last_hidden_state [B, L, C]`, `hidden_states`, `attentions`."""

    __slots__ = ()
    all_fields = ("last_hidden_state", "hidden_states", "attentions")


class SequenceClassifierOutput(ModelOutput):
    """Output of sequence classification: `loss` (a scalar), `logits [B, N]`, `hidden_states`, `attentions`."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


class MaskedLMOutput(ModelOutput):
    """Output of masked LM: `loss` (a scalar), `logits [B, L, V]`, `hidden_states`, `attentions`."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


class TokenClassifierOutput(ModelOutput):
    """Output of token classification: `loss` (a scalar), `logits [B, L, N]`, `hidden_states`, `attentions`."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


class QuestionAnsweringOutput(ModelOutput):
    """Output of question answering: `loss`, `start_logits` and `end_logits` `[B, L]`, and the others."""

    __slots__ = ()
    all_fields = ("loss", "start_logits", "end_logits", "hidden_states", "attentions")


class MultipleChoiceOutput(ModelOutput):
    """Output of multiple choice: `loss`, `logits [B, N]`; the others are of the folded `B * N` texts."""

    __slots__ = ()
    all_fields = ("loss", "logits", "hidden_states", "attentions")


OUTPUT_CLASSES: dict[str, type[ModelOutput]] = {
    cls.__name__: cls
    for cls in (
        BaseModelOutput,
        MaskedLMOutput,
        SequenceClassifierOutput,
        TokenClassifierOutput,
        QuestionAnsweringOutput,
        MultipleChoiceOutput,
    )
}


def _with_fields(base: type[ModelOutput], fields: tuple[str, ...]) -> type[ModelOutput]:
    members = {field: property(itemgetter(position)) for position, field in enumerate(fields)}
    return type(base.__name__, (base,), {"__slots__": (), "__module__": base.__module__, "_fields": fields, **members})


# The type of every output there can be, by its kind and the fields it holds. All are made here, because a class cannot
# be made inside a graph that torch.compile traces.
_CLASSES: dict[tuple[str, tuple[str, ...]], type[ModelOutput]] = {
    (name, fields): _with_fields(base, fields)
    for name, base in OUTPUT_CLASSES.items()
    for count in range(len(base.all_fields) + 1)
    for fields in combinations(base.all_fields, count)
}


def concrete_classes() -> dict[str, type[ModelOutput]]:
    """The type of every output there can be, by a name that tells its kind and fields: `MaskedLMOutput(logits)`."""
    return {f"{name}({','.join(fields)})": cls for (name, fields), cls in _CLASSES.items()}


def make_output(name: str, values: Mapping[str, Any], return_dict: bool | None = True) -> Any:
    """Builds the output called `name` from the values that are not None.

    Args:
        name: a name of `OUTPUT_CLASSES`.
        values: field names to values, in the output's order; None leaves a field out.
        return_dict: False gives a plain tuple.
    """
    present = {field: value for field, value in values.items() if value is not None}
    if return_dict is False:
        return tuple(present.values())
    return _CLASSES[name, tuple(present)](*present.values())


def _rebuild(base: type[ModelOutput], fields: tuple[str, ...], values: tuple[Any, ...]) -> ModelOutput:
    return _CLASSES[base.__name__, fields](*values)
