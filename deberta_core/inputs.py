"""The inputs of a model: their names and order, and the checks made once, at the boundary, on concrete values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, name_list, one_of, shown
from deberta_core.tasks import BACKBONE, BY_PROBLEM, TaskSpec, reads_positions, sequence_problem

# The documented order: a list or tuple as the first argument of a Keras model is read in it.
INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
IGNORED_LABEL = -100
# Integers of a call, and the field of the configuration that they must be below.
LIMITS = {
    "input_ids": "vocab_size",
    "token_type_ids": "type_vocab_size",
    "position_ids": "max_position_embeddings",
}

Arrays = Mapping[str, npt.NDArray[Any] | None]


def named_arrays(inputs: Any, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The inputs of a call as arrays; what is None is left out.

    Raises:
        InputError: they are no mapping, one has another name than `names`, or makes no array.
    """
    if not isinstance(inputs, Mapping):
        raise InputError(f"inputs={shown(inputs)} is no mapping. Give arrays by name.")
    if unknown := [str(name) for name in inputs if name not in names]:
        raise InputError(f"inputs hold {name_list(unknown)}, which is not one of {', '.join(names)}.")
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, value in inputs.items():
        try:
            arrays |= {} if value is None else {name: np.asarray(value)}
        except ValueError:
            raise InputError(f"{name} has rows of different shapes, which make no array. Pad them.") from None
    return arrays


def check_inputs(config: BaseConfig, inputs: Arrays, spec: TaskSpec = BACKBONE) -> tuple[int, int]:
    """Checks everything a forward pass is given except labels.

    Args:
        config: the model's configuration.
        inputs: names of `INPUT_NAMES` to arrays; None and absent are the same.
        spec: the row of its task, which may read positions that a backbone does not.

    Returns:
        B and L.

    Raises:
        InputError: an input has the wrong shape, type or a value out of range; it names the first offender.
    """
    _check_numbers(inputs)
    ids, embeds = inputs.get("input_ids"), inputs.get("inputs_embeds")
    if (ids is None) == (embeds is None):
        given = "both" if ids is not None else "neither"
        raise InputError(f"{given} of input_ids and inputs_embeds were given. Give exactly one of them.")
    if ids is not None:
        _check_rank("input_ids", ids, "[B, L]", 2)
        _check_range("input_ids", ids, config)
        batch, length = ids.shape
    else:
        assert embeds is not None
        _check_rank("inputs_embeds", embeds, "[B, L, E]", 3)
        batch, length = embeds.shape[:2]
        if embeds.shape[2] != config.embedding_width:
            raise InputError(
                f"inputs_embeds has shape {tuple(embeds.shape)}: the last axis must be the embedding width "
                f"{config.embedding_width}."
            )
    if length == 0:
        raise InputError(f"the inputs have shape {(batch, length)}: a text must have at least one token.")
    _check_mask(inputs.get("attention_mask"), batch, length)
    if reads_positions(config, spec):
        _check_positions(config, inputs.get("position_ids"), batch, length)
    types = inputs.get("token_type_ids")
    if types is not None and config.type_vocab_size:
        _check_shape("token_type_ids", types, (batch, length))
        _check_range("token_type_ids", types, config)
    return batch, length


def check_labels(config: BaseConfig, spec: TaskSpec, arrays: Arrays, sizes: tuple[int, int], choices: int = 1) -> None:
    """Checks the labels of a task, where they are given.

    Args:
        config: the model's configuration.
        spec: the row of its task.
        arrays: inputs and labels by name; inputs of multiple choice are folded.
        sizes: B and L, as `check_inputs` gives them.
        choices: N of multiple choice.

    Raises:
        InputError: wrong shape, or a class number out of range.
    """
    _check_numbers(arrays)
    batch, length = sizes[0] // choices, sizes[1]
    # How many classes there are; any position will do: those beyond the text are ignored.
    counts = {
        "labels": config.num_labels,
        "vocabulary": config.vocab_size,
        "replaced": 2,
        "choices": choices,
        "positions": None,
    }
    for name, kind in spec.labels.items():
        values = arrays.get(name)
        if values is None:
            continue
        if not values.ndim:
            raise InputError(f"{name} is {shown(values)}: it must have an axis of {batch} texts. Give a list.")
        if kind is BY_PROBLEM:
            _check_sequence_labels(config, values, batch)
            continue
        if kind.per_token:
            _check_label_shape(name, values, [(batch, length)], f"{batch} texts of {length} tokens")
        else:
            _check_label_shape(name, values, [(batch,), (batch, 1)], f"{batch} texts")
        _check_classes(name, values, counts[kind.classes])
        if kind.per_token:
            _check_padding_labels(values, arrays.get("attention_mask"))


def ignores_padding(labels_at_padding: str) -> bool:
    """Whether the argument `labels_at_padding` of a call is "ignore", not "error".

    Raises:
        InputError: it is neither.
    """
    if labels_at_padding not in ("error", "ignore"):
        raise InputError(one_of("labels_at_padding", labels_at_padding, ("error", "ignore")))
    return labels_at_padding == "ignore"


def seen_tokens(attention_mask: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which tokens any query sees, `[B, L]`; of a mask `[B, L]`, `[B, L, L]` or `[B, 1, L, L]`."""
    seen: npt.NDArray[np.bool_] = attention_mask != 0
    return np.asarray(seen.any(axis=tuple(range(1, seen.ndim - 1)))) if seen.ndim > 2 else seen


def fold_choices(inputs: Sequence[Any]) -> tuple[tuple[Any, ...], int]:
    """Folds inputs of multiple choice, `[B, N, ...]`, to `[B * N, ...]`.

    Args:
        inputs: arrays or tensors with a `reshape` method, or None, in the order of `INPUT_NAMES`.

    Returns:
        the same, folded, and N.

    Raises:
        InputError: an input has no axis of choices, or not as many choices as the others.
    """
    given = {name: value for name, value in zip(INPUT_NAMES, inputs, strict=True) if value is not None}
    tokens: Any = given.get("input_ids", given.get("inputs_embeds"))
    for name, value in given.items():
        if not hasattr(value, "shape"):
            raise InputError(f"{name} is a {type(value).__name__}: it must be an array or a tensor. Convert it.")
        axes, rank = ("[B, N, L, E]", 4) if name == "inputs_embeds" else ("[B, N, L]", 3)
        if len(value.shape) < rank:
            raise InputError(f"{name} has shape {tuple(value.shape)}: multiple choice takes {axes}, N choices each.")
        fits = tokens is None or value.shape[:2] == tokens.shape[:2]
        if not fits and not (name == "position_ids" and tuple(value.shape[:2]) == (1, 1)):
            raise InputError(
                f"{name} has shape {tuple(value.shape)}: the first two axes, texts and choices, must be "
                f"{tuple(tokens.shape[:2])}, as of the tokens."
            )
    choices = 1 if tokens is None else tokens.shape[1]
    if choices == 0:
        raise InputError(f"the inputs have shape {tuple(tokens.shape)}: a text must have at least one choice.")
    folded = (None if value is None else value.reshape(-1, *value.shape[2:]) for value in inputs)
    return tuple(folded), choices


def _check_sequence_labels(config: BaseConfig, values: npt.NDArray[Any], batch: int) -> None:
    problem = sequence_problem(config, values.shape)
    count = config.num_labels
    allowed: list[tuple[int, ...]] = [(batch, count or 1)]
    if problem == "single_label_classification" or (problem == "regression" and count == 1):
        allowed = [(batch,), (batch, 1)]
    _check_label_shape("labels", values, allowed, f"{problem} with num_labels={count} and {batch} texts")
    if problem == "single_label_classification":
        _check_classes("labels", values, count, any_negative=config.problem_type is None)


def _check_label_shape(name: str, values: npt.NDArray[Any], allowed: Sequence[tuple[int, ...]], what: str) -> None:
    if values.shape not in allowed:
        raise InputError(
            f"{name} has shape {tuple(values.shape)}, but {what} takes {' or '.join(map(str, allowed))}. "
            f"Change the labels, or num_labels and problem_type of the config."
        )


def _check_classes(name: str, values: npt.NDArray[Any], count: int | None, any_negative: bool = False) -> None:
    """Refuses what is no whole number, and, if there is a count, what is no class and not to be ignored."""
    whole = values == np.floor(values)  # false for NaN too
    wrong = values[~whole]
    rule = "a whole number"
    if count is not None:
        ignored = values < 0 if any_negative else values == IGNORED_LABEL
        wrong = values[~ignored & ((values < 0) | (values >= count) | ~whole)]
        rule = f"an integer in [0, {count}), or {IGNORED_LABEL} to be ignored"
    if wrong.size:
        raise InputError(
            f"{name} holds {wrong.flat[0]}: a class must be {rule}. "
            f"Map the labels to numbers from 0, or set num_labels."
        )


def _check_padding_labels(labels: npt.NDArray[Any], mask: npt.NDArray[Any] | None) -> None:
    if mask is None:
        return
    wrong = labels[~seen_tokens(mask) & (labels != IGNORED_LABEL)]
    if wrong.size:
        raise InputError(
            f"labels holds {wrong.flat[0]} at a padding position: labels must be {IGNORED_LABEL} there. "
            f"Set them with numpy.where(attention_mask == 1, labels, {IGNORED_LABEL}), or call the model with "
            f'labels_at_padding="ignore".'
        )


def _check_mask(mask: npt.NDArray[Any] | None, batch: int, length: int) -> None:
    if mask is None:
        return
    allowed = [(batch, length), (batch, length, length), (batch, 1, length, length)]
    if mask.shape not in allowed:
        raise InputError(
            f"attention_mask has shape {tuple(mask.shape)}: it must be {' or '.join(map(str, allowed))} for "
            f"{batch} texts of {length} tokens."
        )
    if mask.dtype != np.bool_:
        wrong = mask[(mask != 0) & (mask != 1)]
        if wrong.size:
            raise InputError(
                f"attention_mask holds {wrong.flat[0]}: it must hold 1 (keep) and 0 (hide) only. "
                f"Turn an additive mask into `mask == 0`."
            )


def _check_positions(config: BaseConfig, positions: npt.NDArray[Any] | None, batch: int, length: int) -> None:
    limit = config.max_position_embeddings
    if positions is not None:
        if positions.shape != (1, length):
            _check_shape("position_ids", positions, (batch, length))
        _check_range("position_ids", positions, config)
    elif length > limit:
        raise InputError(
            f"the text has {length} tokens, but max_position_embeddings={limit} and {_position_reader(config)}. "
            f"Truncate the text, or give position_ids below {limit}."
        )


def _position_reader(config: BaseConfig) -> str:
    return "position_biased_input is on" if config.position_biased_input else "mlm_decoder is enhanced"


def _check_numbers(arrays: Arrays) -> None:
    for name, value in arrays.items():
        # V without fields: the types of ml_dtypes
        if value is not None and (value.dtype.kind not in "biufV" or value.dtype.fields):
            raise InputError(f"{name} has dtype {value.dtype}: it must hold real numbers. Convert it.")


def _check_rank(name: str, value: npt.NDArray[Any], axes: str, rank: int) -> None:
    if value.ndim != rank:
        raise InputError(f"{name} has shape {tuple(value.shape)}: it must be {axes}. Add or remove axes.")


def _check_shape(name: str, value: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise InputError(f"{name} has shape {tuple(value.shape)}: it must be {shape}, as input_ids.")


def _check_range(name: str, value: npt.NDArray[Any], config: BaseConfig) -> None:
    limit = getattr(config, LIMITS[name])
    if value.dtype.kind not in "iu":
        raise InputError(f"{name} has dtype {value.dtype}: it must hold integers. Convert it, for example to int64.")
    if value.size and (value.min() < 0 or value.max() >= limit):
        wrong = value[(value < 0) | (value >= limit)].flat[0]
        raise InputError(
            f"{name} holds {wrong}: it must be in [0, {limit}), the range of {LIMITS[name]}. "
            f"Does the tokenizer belong to this model?"
        )
