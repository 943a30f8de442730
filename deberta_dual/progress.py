"""A line on standard error that is drawn again and again, where somebody watches, and is gone at the end."""

from __future__ import annotations

import importlib
import sys
import time
from types import TracebackType
from typing import Self, TextIO

INTERVAL = 0.1  # seconds between two pictures
PATIENCE = 3.0  # seconds before a run counts as long
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


class InputProgress(StatusLine):
    """Counts inputs that are done, with their rate.

    Args:
        total: how many there are; None where nobody knows.
        shown: whether it is drawn; None: after `PATIENCE`, and if the stream is a terminal.
        stream: where it is drawn.
    """

    def __init__(self, total: int | None, shown: bool | None = None, stream: TextIO | None = None) -> None:
        super().__init__(shown, 0.0 if shown else PATIENCE, stream)
        self._total, self._done = total, 0
        self._start = time.monotonic()

    def advance(self) -> None:
        """Counts one more."""
        self._done += 1
        if not self.is_due():
            return
        rate = self._done / max(time.monotonic() - self._start, 1e-9)
        count = f"{self._done:,} inputs"
        if self._total:
            count = f"{bar(min(self._done / self._total, 1.0))} of {self._total:,} inputs"
        self.draw(f"{count}, {rate:,.1f}/s ")


class ByteProgress(StatusLine):
    """Counts bytes up to a total; silent where the stream is no terminal.

    Args:
        total: bytes.
        stream: where it is drawn.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        super().__init__(stream=stream)
        self._total, self._done = total, 0

    def advance(self, count: int) -> None:
        """Adds `count` bytes."""
        self._done = min(self._done + count, self._total)
        if self.is_due():
            self.draw(f"{bar(self._done / self._total if self._total else 1.0)} of {self._total / 1e9:.2f} GB")


class Speed:
    """How fast steps are done, and how long the others will take; what is between them does not count.

    Args:
        steps: how many there are to do.
    """

    def __init__(self, steps: int) -> None:
        self._left, self._done, self._examples, self._seconds = steps, 0, 0, 0.0

    def add(self, examples: int, seconds: float) -> None:
        """Counts a step."""
        self._left, self._done = self._left - 1, self._done + 1
        self._examples, self._seconds = self._examples + examples, self._seconds + seconds

    def words(self) -> list[str]:
        """Examples a second, and the time that is left."""
        left = round(self._left * self._seconds / max(self._done, 1))
        clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"
        return [f"{self._examples / max(self._seconds, 1e-9):,.1f} examples/s", f"{clock} left"]


def memory_words(count: int | None) -> list[str]:
    """What is said of memory, of which there may be no count."""
    return [] if count is None else [f"{count / 1e9:.1f} GB"]


def peak_memory() -> int | None:
    """The most bytes of memory that this process had so far; None where the system does not tell."""
    try:
        usage = importlib.import_module("resource")
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return int(usage.getrusage(usage.RUSAGE_SELF).ru_maxrss) * unit


def bar(share: float) -> str:
    """A bar and a percentage of a share in [0, 1]."""
    return f"[{'#' * round(share * _WIDTH):<{_WIDTH}}] {share:4.0%}"
