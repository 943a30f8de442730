"""Parts of a text, by their first character and the one after the last."""

from __future__ import annotations

Span = tuple[int, int]


def trimmed(text: str, start: int, end: int) -> Span | None:
    """A part of a text without the white space around it, which v1 has tokens for; None if nothing is left."""
    part = text[start:end]
    start += len(part) - len(part.lstrip())
    end = start + len(part.strip())
    return (start, end) if start < end else None
