"""A line on standard error that is drawn again and again, where somebody watches, and is gone at the end."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

INTERVAL = 0.1  # seconds between two pictures
_WIDTH = 30


class StatusLine:
    """The line; what it says is its owner's.

    Args:
        shown: whether it is drawn; None: if the stream is a terminal.
        delay: seconds before the first picture.
        stream: where it is drawn; None is standard error.
    """

    def __init__(self, shown: bool | None = None, delay: float = 0.0, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty() if shown is None else shown
        self._next = time.monotonic() + delay
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def is_due(self) -> bool:
        """Whether the next picture should be drawn now."""
        return self._shown and time.monotonic() >= self._next

    def draw(self, text: str) -> None:
        """Draws over the last picture."""
        self._next, self._drawn = time.monotonic() + INTERVAL, True
        self._stream.write(f"\r{text}")
        self._stream.flush()


def bar(share: float) -> str:
    """A bar and a percentage of a share in [0, 1]."""
    return f"[{'#' * round(share * _WIDTH):<{_WIDTH}}] {share:4.0%}"
