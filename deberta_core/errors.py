"""Every error and warning this project raises on purpose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class DebertaError(Exception):
    """Base of all errors raised for a caller's mistake or a bad file.

    Attributes:
        errno: the system's number, where it refused; None for other errors.
    """

    errno: int | None = None


class ConfigError(DebertaError, ValueError):
    """A configuration value, or a config.json, that no model can have."""


class InputError(DebertaError, ValueError):
    """An argument of a call (ids, masks, labels, options) that breaks its rule."""


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


def one_of(what: str, value: object, allowed: Sequence[str]) -> str:
    """Formats the message for an unknown name: what it is, the value, and the valid ones."""
    return f"{what}={value!r} is unknown. Use one of: {', '.join(allowed)}."
