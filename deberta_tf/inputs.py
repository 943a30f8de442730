"""What a Keras model may be called with: a tensor, a list, a tuple, a dict or keywords, made into named inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from deberta_core.errors import InputError, name_list
from deberta_core.inputs import IGNORED_LABEL, INPUT_NAMES
from deberta_core.tasks import TaskSpec


def name_inputs(inputs: Any, keywords: Mapping[str, Any], labels: Collection[str]) -> dict[str, Any]:
    """Names the inputs of a call and turns nested Python lists into arrays.

    Args:
        inputs: the first argument: a tensor (input_ids), a list or tuple of inputs in the order of `INPUT_NAMES`
            (None for one that is left out), a mapping of names to inputs, or None.
        keywords: inputs given by name.
        labels: the names of the task's label inputs.

    Returns:
        names to values, without those that are None.

    Raises:
        InputError: an unknown name, too many inputs, an input given twice, or texts.
    """
    if holds_texts(inputs):
        raise InputError(
            "the inputs are texts, which a call does not tokenize. Call model.predict(texts), or give model inputs: "
            "tokenizer(texts, padding=True, return_tensors='np')."
        )
    if inputs is None:
        named = dict[str, Any]()
    elif isinstance(inputs, Mapping):
        named = dict(inputs)
    elif isinstance(inputs, (list, tuple)):
        if len(inputs) > len(INPUT_NAMES):
            raise InputError(
                f"the list has {len(inputs)} inputs, but there are {len(INPUT_NAMES)}: {', '.join(INPUT_NAMES)}. "
                f"Give labels in a dict, by keyword, or as y."
            )
        named = dict(zip(INPUT_NAMES, inputs, strict=False))
    else:
        named = {"input_ids": inputs}
    twice = {name for name in keywords if keywords[name] is not None and named.get(name) is not None}
    if twice:
        raise InputError(f"{name_list(twice)} was given twice, in the first argument and by keyword. Give it once.")
    named |= {name: value for name, value in keywords.items() if value is not None}
    check_names(named, labels)
    return {name: _to_array(value) for name, value in named.items() if value is not None}


def holds_texts(value: Any) -> bool:
    """Whether the leaves of a nested list, an array, a tensor or a series are texts, judged by the first one."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    if getattr(getattr(value, "dtype", None), "kind", None) == "O":
        value = next(iter(np.asarray(value).flat), None)
        return holds_texts(value)
    dtype = getattr(value, "dtype", None)
    return isinstance(value, (str, bytes)) or getattr(dtype, "kind", "") in tuple("UST") or "string" in str(dtype)


def check_names(inputs: Mapping[str, Any], labels: Collection[str]) -> None:
    """Refuses inputs that the model does not take.

    Raises:
        InputError: an unknown name, or texts.
    """
    known = (*INPUT_NAMES, *labels)
    unknown = set(inputs) - set(known)
    if unknown:
        raise InputError(f"the inputs hold {name_list(unknown)}, which the model does not take: {', '.join(known)}.")
    if texts := [name for name, value in inputs.items() if holds_texts(value)]:
        raise InputError(f"{name_list(texts)} holds texts. Tokenize them, or give them alone: predict(texts).")


def named_labels(spec: TaskSpec, x: Any, y: Any) -> dict[str, Any] | None:
    """The labels by name, from y (an array, a list or tuple in order, a dict) or else from x; None without any."""
    names = tuple(spec.labels)
    if y is None:
        y = {name: x[name] for name in names if x.get(name) is not None} if isinstance(x, Mapping) else {}
    elif isinstance(y, (list, tuple)):
        y = dict(zip(names, y, strict=True))
    elif not isinstance(y, Mapping):
        y = {names[0]: y}
    return {name: y[name] for name in names} if set(names) <= set(y) else None


def without_padding(spec: TaskSpec, named: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs and labels of a call, labels of tokens -100 where no query sees the token."""
    seen = ops.not_equal(named["attention_mask"], 0)
    if len(seen.shape) > 2:
        seen = ops.any(seen, axis=tuple(range(1, len(seen.shape) - 1)))  # [B, L]
    per_token = [name for name, kind in spec.labels.items() if kind.per_token and name in named]
    fitting = [name for name in per_token if len(named[name].shape) == 2]  # others are refused with their shape
    return {**named, **{name: ops.where(seen, named[name], IGNORED_LABEL) for name in fitting}}


def fold_choices(inputs: Sequence[Any]) -> tuple[tuple[Any, ...], Any]:
    """Folds inputs of multiple choice, `[B, N, ...]`, to `[B * N, ...]`.

    Args:
        inputs: tensors or None, in the order of `INPUT_NAMES`.

    Returns:
        the same, folded, and N.
    """
    choices = next(ops.shape(value)[1] for value in inputs if value is not None)
    folded = (None if value is None else ops.reshape(value, (-1, *ops.shape(value)[2:])) for value in inputs)
    return tuple(folded), choices


def _to_array(value: Any) -> Any:
    """A nested list as an array; everything else as it is, floats but not integers to be cast by Keras' policy."""
    if isinstance(value, (list, tuple)):
        value = np.asarray(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return ops.convert_to_tensor(value)
    return value
