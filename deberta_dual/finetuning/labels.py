"""Names of classes: those of the data, and those of the model that the training starts from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from deberta_core.config import BaseConfig
from deberta_core.errors import DebertaWarning, InputError, name_list, shown
from deberta_core.inputs import IGNORED_LABEL

OUTSIDE = "O"  # the class of words that are in no entity; it comes first
DEFAULT_NAME = "LABEL_{}"  # what transformers calls a class without a name


def class_numbers(labels: Iterable[Any]) -> bool:
    """Whether all labels are numbers of classes, as ints or in digits."""
    return all(
        (isinstance(label, int) and label >= 0) or (isinstance(label, str) and label.strip().isdecimal())
        for label in labels
    )


def check_label(label: Any) -> None:
    """Raises InputError unless a label is a finite number, or a text with other characters than white space."""
    is_number = isinstance(label, int | float) and -math.inf < label < math.inf
    if not is_number and not (isinstance(label, str) and label.strip()):
        raise InputError(f"the label is {shown(label, 40)}. Give the name or the number of a class.")


def has_fractions(labels: Iterable[Any]) -> bool:
    """Whether there are numbers with a fraction; texts count if all of them are numbers."""
    texts = [label if isinstance(label, float) else str(label) for label in labels]
    if any(isinstance(text, float) for text in texts):
        return True
    try:
        return bool([float(text) for text in texts]) and any("." in str(text) for text in texts)
    except ValueError:
        return False


def lost_numbers(labels: Sequence[Any]) -> list[int]:
    """Where NaN or an infinity stands, as a text, among labels that are all numbers otherwise."""
    try:
        finite = [math.isfinite(float(label)) for label in labels]
    except (ValueError, OverflowError):
        return []
    return [place for place, is_finite in enumerate(finite) if not is_finite] if any(finite) else []


def find_classes(labels: Sequence[Any], config: BaseConfig) -> tuple[dict[int, str], bool]:
    """The classes that labels name.

    Numbers from 0 on are the classes' own, and mean those of the configuration if it has as many; other numbers, such
    as stars from 1 to 5, are names, in the order of their size. Names get numbers in alphabetical order; but where the
    configuration has the same names, in any case of letters, its own order and head are kept. White space around names
    is none of theirs.

    Args:
        labels: of the training data; ints, or texts.
        config: of the model that the training starts from.

    Returns:
        number -> name, and whether the model's own classes are other ones.

    Raises:
        InputError: there is only one class, or two texts stand for one number.
    """
    known = dict(config.id2label or {})
    names = sorted({_name(label) for label in labels}, key=lambda name: (name != OUTSIDE, name))
    if len(names) < 2:
        there = f"All labels are {names[0]!r}" if names else "No example has a label"
        raise InputError(f"{there}. There must be at least two classes.")
    if {name.lower() for name in known.values()} >= {name.lower() for name in names}:
        return known, False
    if class_numbers(labels):
        numbers = sorted({int(label) for label in labels})
        if numbers == list(known):
            return known, False
        if len(numbers) < len(names):
            raise InputError(
                f"The labels {names!r:.60} stand for {len(numbers)} numbers. Write each number in one way."
            )
        if numbers == list(range(len(numbers))):
            return {number: DEFAULT_NAME.format(number) for number in numbers}, True
        names = sorted(names, key=int)
    return dict(enumerate(names)), True


class ClassIds(Mapping[Any, int]):
    """The number of a class by its name, in any case of letters, or by the number itself.

    Args:
        id2label: number -> name.
    """

    def __init__(self, id2label: Mapping[int, str]) -> None:
        self._names = id2label
        # A name as it is goes before one in other letters.
        self._ids = {name.lower(): number for number, name in id2label.items()}
        self._exact = {name: number for number, name in id2label.items()}

    def __getitem__(self, label: Any) -> int:
        """The number.

        Raises:
            InputError: no such class.
        """
        found = self._find(label)
        if found is None:
            raise InputError(f"the label {label!r} is none of the classes: {name_list(self._names.values(), 20)}.")
        return found

    def get(self, label: Any, default: Any = None) -> Any:
        """The number, or `default`."""
        found = self._find(label)
        return default if found is None else found

    def __contains__(self, label: object) -> bool:
        return self._find(label) is not None

    def _find(self, label: Any) -> int | None:
        name = _name(label)
        found = self._exact.get(name, self._ids.get(name.lower()))
        if found is None and class_numbers([label]) and int(label) in self._names:
            return int(label)
        return found

    def name(self, label: Any) -> str:
        """The model's name of a class; one that the model does not have is called as it is."""
        return self._names[self[label]] if label in self else _name(label)

    def or_unknown(self, label: Any) -> int:
        """The number; or, with a warning, `IGNORED_LABEL` for a class that the model does not have."""
        found = self._find(label)
        if found is None:
            warnings.warn(
                f"The class {_name(label)!r} is none of the model's ({name_list(self._names.values(), 20)}); examples "
                f"of it count as wrong.",
                DebertaWarning,
                stacklevel=2,
            )
        return IGNORED_LABEL if found is None else found

    def __iter__(self) -> Any:
        return iter(self._names.values())

    def __len__(self) -> int:
        return len(self._names)


def _name(label: Any) -> str:
    return str(label).strip()
