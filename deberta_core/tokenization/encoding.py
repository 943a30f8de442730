"""From ids to model inputs, whatever the vocabulary: truncating, padding, and arrays of a framework."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.errors import DebertaWarning, InputError, one_of

NO_LIMIT = int(1e30)  # written as model_max_length by published tokenizers that set no limit
PADDING = {False: "do_not_pad", True: "longest"}
PADDINGS = ("do_not_pad", "longest", "max_length")
TRUNCATION = {None: "do_not_truncate", False: "do_not_truncate", True: "longest_first"}
TRUNCATIONS = ("do_not_truncate", "longest_first", "only_first", "only_second")
SIDES = ("right", "left")

Columns = dict[str, list[list[int]]]


class BatchEncoding(dict[str, Any]):
    """Model inputs by name: a dict whose entries are also attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"The encoding has no {name!r}. It holds: {', '.join(self)}.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthRule:
    """How the rows of a batch get their lengths; made by `length_rule`, which checks the values.

    Args:
        padding: one of PADDINGS.
        truncation: one of TRUNCATIONS.
        max_length: the length, in tokens, that rows are cut or filled to.
        multiple: padded lengths are rounded up to a multiple of it.
        padding_side: where padding goes, one of SIDES.
        truncation_side: where tokens are taken away, one of SIDES.
    """

    padding: str
    truncation: str
    max_length: int | None
    multiple: int | None
    padding_side: str
    truncation_side: str


def length_rule(
    *,
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    pad_to_multiple_of: int | None,
    padding_side: str,
    truncation_side: str,
    model_max_length: int,
) -> LengthRule:
    """Checks the options of a call and settles what they leave open.

    A `max_length` alone truncates. Without one, `model_max_length` counts; where that is not set either, there is
    nothing to truncate or pad to, and a warning says so.

    Raises:
        InputError: an option has an unknown value, or two contradict each other.
    """
    if max_length is not None and truncation is None and padding is False:
        truncation = True
    pad = _choice("padding", padding, PADDING, PADDINGS)
    cut = _choice("truncation", truncation, TRUNCATION, TRUNCATIONS)
    check_choice("padding_side", padding_side, SIDES)
    for name, value in (("max_length", max_length), ("pad_to_multiple_of", pad_to_multiple_of)):
        if value is not None and (not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1):
            raise InputError(f"{name}={value!r} is not a positive int. Give a number of tokens, or None.")
    if max_length is None and (pad == "max_length" or cut != "do_not_truncate"):
        if model_max_length < NO_LIMIT:
            max_length = model_max_length
        else:
            warnings.warn(
                f"padding={padding!r}, truncation={truncation!r} without a length: the tokenizer's model_max_length is "
                f"not set, so rows are not brought to a length. Pass max_length.",
                DebertaWarning,
                stacklevel=3,
            )
            pad, cut = ("do_not_pad" if pad == "max_length" else pad), "do_not_truncate"
    multiple = pad_to_multiple_of
    if multiple and max_length and pad != "do_not_pad" and cut != "do_not_truncate" and max_length % multiple:
        raise InputError(
            f"max_length={max_length} is not a multiple of pad_to_multiple_of={multiple}, so truncated rows could not "
            f"be padded. Choose max_length={max_length - max_length % multiple or multiple}."
        )
    return LengthRule(
        padding=pad,
        truncation=cut,
        max_length=max_length,
        multiple=multiple,
        padding_side=padding_side,
        truncation_side=truncation_side,
    )


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises InputError, listing the valid values, unless `value` is one of them."""
    if value not in allowed:
        raise InputError(one_of(name, value, allowed))


def truncate(
    first: list[int], second: list[int] | None, special: int, rule: LengthRule
) -> tuple[list[int], list[int] | None]:
    """Takes tokens away from a row until it fits.

    Args:
        first: ids of the first text.
        second: ids of the second text, if any.
        special: how many special tokens are added to the row later.
        rule: the length and the strategy. "longest_first" shortens the longer text to the length of the other, then
            both alike, the second one first.

    Raises:
        InputError: the row cannot become that short.
    """
    if rule.truncation == "do_not_truncate" or rule.max_length is None:
        return first, second
    lengths = (len(first), len(second or ()))
    excess = sum(lengths) + special - rule.max_length
    if excess <= 0:
        return first, second
    if rule.max_length < special:
        raise InputError(f"max_length={rule.max_length} has no room for the {special} special tokens. Raise it.")
    if rule.truncation == "longest_first":
        removed = _longest_first(*lengths, excess)
    else:
        removed = (excess, 0) if rule.truncation == "only_first" else (0, excess)
    if any(count > length for count, length in zip(removed, lengths, strict=True)):
        raise InputError(
            f"truncation={rule.truncation!r} cannot reach max_length={rule.max_length}: {excess} tokens must go, and "
            f"the texts have {lengths[0]} and {lengths[1]}. Use 'longest_first', or raise max_length."
        )
    side = rule.truncation_side
    return _cut(first, removed[0], side), None if second is None else _cut(second, removed[1], side)


def pad_columns(columns: Columns, rule: LengthRule, fill: Mapping[str, int | None]) -> Columns:
    """Brings all rows of the columns named in `fill` to one length; other columns stay as they are.

    Args:
        columns: equally long lists of rows, "input_ids" among them.
        rule: the length and the side.
        fill: what each column is filled with; None where the tokenizer has no such token.

    Raises:
        InputError: rows must be padded and a fill value is None.
    """
    if rule.padding == "do_not_pad":
        return columns
    longest = max(map(len, columns["input_ids"]), default=0)
    length = rule.max_length if rule.padding == "max_length" and rule.max_length else longest
    length = -(-length // rule.multiple) * rule.multiple if rule.multiple else length
    padded = dict(columns)
    for name in columns.keys() & fill.keys():
        value = fill[name]
        if value is None:
            raise InputError("padding was asked for, but the tokenizer has no pad_token. Load it with pad_token=...")
        gaps = [[value] * (length - len(row)) for row in columns[name]]
        pairs = list(zip(columns[name], gaps, strict=True))
        padded[name] = [row + gap for row, gap in pairs] if rule.padding_side == "right" else [g + r for r, g in pairs]
    return padded


def to_tensors(columns: Mapping[str, Any], kind: str | None) -> BatchEncoding:
    """Makes an array of every column.

    Args:
        columns: lists of equally long rows, or of numbers.
        kind: "np" (int64), "pt" (int64) or "tf" (int32); None leaves lists. Floats become float32.

    Raises:
        InputError: the kind is unknown, its framework is not installed, or rows differ in length.
    """
    if kind is None:
        return BatchEncoding(columns)
    if kind not in _TENSORS:
        raise InputError(one_of("return_tensors", kind, tuple(_TENSORS)))
    return BatchEncoding({name: _TENSORS[kind](_array(name, rows)) for name, rows in columns.items()})


def to_list(value: Any) -> Any:
    """Turns an array of NumPy, PyTorch or TensorFlow into nested lists; anything else stays."""
    if hasattr(value, "numpy") and not hasattr(value, "tolist"):
        value = value.numpy()
    return value.tolist() if hasattr(value, "tolist") else value


def _choice(name: str, value: Any, shorthand: Mapping[Any, str], allowed: tuple[str, ...]) -> str:
    if isinstance(value, bool) or value is None:
        value = shorthand.get(value, value)
    if value not in allowed:
        raise InputError(one_of(name, value, ("False", "True", *allowed)))
    return str(value)


def _longest_first(first: int, second: int, excess: int) -> tuple[int, int]:
    leveling = min(abs(first - second), excess)
    half = (excess - leveling) // 2
    rest = excess - leveling - half
    return (leveling + half, rest) if first > second else (half, leveling + rest)


def _cut(ids: list[int], count: int, side: str) -> list[int]:
    return ids[: len(ids) - count] if side == "right" else ids[count:]


def _array(name: str, rows: Any) -> NDArray[Any]:
    try:
        array = np.asarray(rows)
    except ValueError:
        lengths = [len(row) for row in rows]
        raise InputError(
            f"{name} has rows of {min(lengths)} to {max(lengths)} tokens, which make no array. Pass padding=True."
        ) from None
    return array.astype(np.float32 if array.size and array.dtype.kind == "f" else np.int64)


def _torch_tensor(array: NDArray[Any]) -> Any:
    try:
        import torch
    except ImportError:
        raise InputError(
            "return_tensors='pt' needs PyTorch. Install it with: pip install 'deberta-dual[torch]'"
        ) from None
    return torch.from_numpy(array)


def _tf_tensor(array: NDArray[Any]) -> Any:
    try:
        import tensorflow as tf
    except ImportError:
        raise InputError(
            "return_tensors='tf' needs TensorFlow. Install it with: pip install 'deberta-dual[tf]'"
        ) from None
    return tf.constant(array, dtype=tf.int32 if array.dtype == np.int64 else tf.float32)


_TENSORS: dict[str, Callable[[NDArray[Any]], Any]] = {"np": lambda array: array, "pt": _torch_tensor, "tf": _tf_tensor}
