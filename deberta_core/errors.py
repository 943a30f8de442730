"""Every error and warning this project raises on purpose."""

from __future__ import annotations

import errno
import reprlib
from collections.abc import Iterable, Sequence
from typing import Self


class DebertaError(Exception):
    """Base of all errors raised for a caller's mistake or a bad file.

    Attributes:
        errno: the number of the operating system's error that caused it; None for others.
    """

    errno: int | None = None

    def caused_by(self, problem: Exception) -> Self:
        """The same error with the number of the operating system's, or that of an invalid argument for others."""
        self.errno = getattr(problem, "errno", errno.EINVAL)
        return self


class ConfigError(DebertaError, ValueError):
    """A configuration value, or a config.json, that no model can have."""


class InputError(DebertaError, ValueError):
    """An argument of a call (ids, masks, labels, options) that breaks its rule."""


class MissingName(InputError, KeyError, AttributeError):
    """A name that a mapping or an object does not have."""

    __str__ = Exception.__str__  # KeyError's shows the message as Python writes texts


class NotOffered(MissingName, NotImplementedError):
    """A name that is known elsewhere and is none here, on purpose."""


class WrongType(InputError, TypeError, AttributeError, AssertionError):
    """A value of a type that cannot be used, None among them; other libraries raise a TypeError, or assert types."""


class WeightError(DebertaError, ValueError):
    """A weight file, or its content, that does not fit the model."""


class TokenizationError(DebertaError, ValueError):
    """A vocabulary or a text that cannot be tokenized as asked."""


class DebertaWarning(UserWarning):
    """Something a caller should know, and may have meant."""


def name_list(names: Iterable[str], limit: int = 8) -> str:
    """Formats names for an error message: sorted, the first `limit` of them, then how many more there are."""
    ordered = sorted(names)
    shown = ", ".join(ordered[:limit])
    return shown if len(ordered) <= limit else f"{shown} and {len(ordered) - limit} more"


def reason(problem: Exception) -> str:
    """What an error says; one of the operating system without number and path."""
    return getattr(problem, "strerror", None) or str(problem)


_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = 10
_SHORT.maxstring = _SHORT.maxother = 1000


def shown(value: object, width: int = 80) -> str:
    """Formats any value for an error message: one that is deep, large or a number of thousands of digits, too."""
    try:
        text = _SHORT.repr(value)
    except Exception:
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def one_of(what: str, value: object, allowed: Sequence[str]) -> str:
    """Formats the message for an unknown name: what it is, the value, and the valid ones."""
    return f"{what}={shown(value)} is unknown. Use one of: {', '.join(allowed)}."
