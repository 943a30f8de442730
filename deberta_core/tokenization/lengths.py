"""How rows get their lengths: the options of a call, truncation, overlapping windows, padding."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from deberta_core.errors import DebertaWarning, InputError, one_of, shown
from deberta_core.limits import check

_LENGTH_NOTE = "sequence-length-is-longer-than-the-specified-maximum"  # transformers' name of it
NO_LIMIT = int(1e30)  # written as model_max_length by published tokenizers that set no limit
PADDING = {False: "do_not_pad", True: "longest"}
PADDINGS = ("do_not_pad", "longest", "max_length")
TRUNCATION = {None: "do_not_truncate", False: "do_not_truncate", True: "longest_first"}
TRUNCATIONS = ("do_not_truncate", "longest_first", "only_first", "only_second")
SIDES = ("right", "left")

Columns = dict[str, list[Any]]
# What a row keeps of its first and of its second text, in tokens.
Window = tuple[slice, slice | None]


class LongWindows(InputError):
    """The windows of a text have more tokens than the bound `windows` of `deberta_core.limits` allows."""


class Lengths(Protocol):
    """What a tokenizer says of the lengths of rows; see `TokenizerOptions`."""

    model_max_length: int
    padding_side: str
    truncation_side: str


class LengthRule(NamedTuple):
    """How the rows of a batch get their lengths, in tokens; made by `length_rule`, which checks the values."""

    padding: str  # one of PADDINGS
    truncation: str  # one of TRUNCATIONS
    max_length: int | None  # what rows are cut or filled to
    multiple: int | None  # padded lengths are rounded up to a multiple of it
    padding_side: str
    truncation_side: str
    stride: int | None  # what two neighbouring windows share; None: what does not fit is dropped


def length_rule(
    defaults: Lengths,
    padding: bool | str,
    truncation: bool | str | None,
    max_length: int | None,
    multiple: int | None,
    padding_side: str | None,
    stride: int | None = None,
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
    side = defaults.padding_side if padding_side is None else padding_side
    check_choice("padding_side", side, SIDES)
    for name, value in (("max_length", max_length), ("pad_to_multiple_of", multiple)):
        if value is not None and (not _is_int(value) or value < 1):
            raise InputError(f"{name}={shown(value)} is not a positive int. Give a number of tokens, or None.")
    check("padded_length", multiple or 0, "pad_to_multiple_of is", InputError)
    if stride is not None and (not _is_int(stride) or stride < 0):
        raise InputError(f"stride={shown(stride)} is not an int of 0 or more. Give the number of tokens windows share.")
    if max_length is None and (pad == "max_length" or cut != "do_not_truncate"):
        if defaults.model_max_length < NO_LIMIT:
            max_length = defaults.model_max_length
            if pad == "max_length":  # who gives a max_length knows it
                check("padded_length", max_length, "model_max_length, which padding goes up to, is", InputError)
        else:
            warnings.warn(
                f"padding={padding!r}, truncation={truncation!r} without a length: the tokenizer's model_max_length is "
                f"not set, so rows are not brought to a length. Pass max_length.",
                DebertaWarning,
                stacklevel=3,
            )
            pad, cut = ("do_not_pad" if pad == "max_length" else pad), "do_not_truncate"
    if multiple and max_length and pad != "do_not_pad" and cut != "do_not_truncate" and max_length % multiple:
        raise InputError(
            f"max_length={max_length} is not a multiple of pad_to_multiple_of={multiple}, so truncated rows could not "
            f"be padded. Choose max_length={max_length - max_length % multiple or multiple}."
        )
    return LengthRule(pad, cut, max_length, multiple, side, defaults.truncation_side, stride)


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raises InputError, listing the valid values, unless `value` is one of them."""
    if not isinstance(value, str) or value not in allowed:
        raise InputError(one_of(name, value, allowed))


def windows(whole: Window, special: int, rule: LengthRule) -> list[Window]:
    """Chooses what is kept of one or two texts: one row, or several when the rule has a stride.

    Args:
        whole: what would keep all of the texts.
        special: how many special tokens are added to a row later.
        rule: the length and the strategy. "longest_first" shortens the longer text to the length of the other, then
            both alike, the second one first.

    Raises:
        InputError: a row cannot become that short, or windows cannot be made.
    """
    first, second = whole[0].stop, None if whole[1] is None else whole[1].stop
    if rule.truncation == "do_not_truncate" or rule.max_length is None:
        return [whole]
    excess = first + (second or 0) + special - rule.max_length
    if excess <= 0:
        return [whole]
    removed = _removed(first, second or 0, excess, special, rule)
    kept = (first - removed[0], (second or 0) - removed[1])
    if rule.stride is None:
        side = rule.truncation_side
        return [(_keep(first, kept[0], side), None if second is None else _keep(second, kept[1], side))]
    if second is None:
        return [(window, None) for window in _slide(first, kept[0], rule)]
    if rule.truncation == "longest_first":
        raise InputError(
            "return_overflowing_tokens makes windows of one text of a pair, but truncation='longest_first' shortens "
            "both. Use 'only_first' or 'only_second'."
        )
    if rule.truncation == "only_first":
        return [(window, whole[1]) for window in _slide(first, kept[0], rule)]
    return [(whole[0], window) for window in _slide(second, kept[1], rule)]


def pad_columns(columns: Columns, rule: LengthRule, fill: Mapping[str, Any], main: str = "input_ids") -> Columns:
    """Brings all rows of the columns named in `fill` to one length; other columns stay as they are.

    Args:
        columns: equally long lists of rows.
        rule: the length and the side.
        fill: what each column is filled with; None where the tokenizer has no such token.
        main: the column of the ids.

    Raises:
        InputError: rows must be padded and a fill value is None.
    """
    if rule.padding == "do_not_pad":
        return columns
    longest = max(map(len, columns[main]), default=0)
    length = rule.max_length if rule.padding == "max_length" and rule.max_length else longest
    length = -(-length // rule.multiple) * rule.multiple if rule.multiple else length
    check("padded_batch", length * len(columns[main]), "The padded batch has", InputError)
    padded = dict(columns)
    for name in columns.keys() & fill.keys():
        value = fill[name]
        if value is None:
            raise InputError("padding was asked for, but the tokenizer has no pad_token. Load it with pad_token=...")
        gaps = [[value] * (length - len(row)) for row in columns[name]]
        pairs = list(zip(columns[name], gaps, strict=True))
        padded[name] = [row + gap for row, gap in pairs] if rule.padding_side == "right" else [g + r for r, g in pairs]
    return padded


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _choice(name: str, value: Any, shorthand: Mapping[Any, str], allowed: tuple[str, ...]) -> str:
    if isinstance(value, bool) or value is None:
        value = shorthand.get(value, value)
    if not isinstance(value, str) or value not in allowed:
        raise InputError(one_of(name, value, ("False", "True", *allowed)))
    return str(value)


def _removed(first: int, second: int, excess: int, special: int, rule: LengthRule) -> tuple[int, int]:
    if rule.max_length is not None and rule.max_length < special:
        raise InputError(f"max_length={rule.max_length} has no room for the {special} special tokens. Raise it.")
    if rule.truncation == "longest_first":
        return _longest_first(first, second, excess)
    removed = (excess, 0) if rule.truncation == "only_first" else (0, excess)
    if removed[0] > first or removed[1] > second:
        raise InputError(
            f"truncation={rule.truncation!r} cannot reach max_length={rule.max_length}: {excess} tokens must go, and "
            f"the texts have {first} and {second}. Use 'longest_first', or raise max_length."
        )
    return removed


def _longest_first(first: int, second: int, excess: int) -> tuple[int, int]:
    leveling = min(abs(first - second), excess)
    half = (excess - leveling) // 2
    rest = excess - leveling - half
    return (leveling + half, rest) if first > second else (half, leveling + rest)


def _keep(length: int, kept: int, side: str) -> slice:
    return slice(0, kept) if side == "right" else slice(length - kept, length)


def _slide(length: int, kept: int, rule: LengthRule) -> list[slice]:
    """Windows of `kept` tokens from the side that truncation keeps, the last one shorter."""
    stride = rule.stride or 0
    if stride >= kept:
        raise InputError(
            f"stride={stride} leaves no progress: a window holds {kept} tokens of the text. Lower it, or raise "
            f"max_length={rule.max_length}."
        )
    count = -(-(length - kept) // (kept - stride)) + 1
    check("windows", count * kept, f"With stride={stride}, the windows of a text have", LongWindows)
    starts = [place * (kept - stride) for place in range(count)]
    if rule.truncation_side == "right":
        return [slice(start, min(start + kept, length)) for start in starts]
    return [slice(max(length - start - kept, 0), length - start) for start in starts]


def warn_of_length(told: dict[str, bool], longest: int, limit: int) -> None:
    """Says once that a row is longer than the model reads.

    Args:
        told: what was said already, as transformers' `deprecation_warnings`.
        longest: tokens of the longest row.
        limit: `model_max_length`.
    """
    if not told.get(_LENGTH_NOTE):
        told[_LENGTH_NOTE] = True
        warnings.warn(
            f"A row has {longest} tokens, more than model_max_length={limit}. Pass truncation=True, or verbose=False "
            f"if that is meant. This is said once.",
            DebertaWarning,
            stacklevel=3,
        )
