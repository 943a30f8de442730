"""A line on standard error that counts inputs, where somebody watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

PATIENCE = 3.0  # seconds before a run counts as long
_INTERVAL = 0.2  # seconds between two pictures
_WIDTH = 30


class Progress:
    """Counts inputs that are done, with their rate; gone at the end.

    Args:
        total: how many there are; None where nobody knows.
        shown: whether it is drawn; None: after `PATIENCE`, and if the stream is a terminal.
        stream: where it is drawn.
    """

    def __init__(self, total: int | None, shown: bool | None = None, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._total, self._done = total, 0
        self._start = time.monotonic()
        self._next: float | None = self._start + (0.0 if shown else PATIENCE)
        if shown is False or (shown is None and not self._stream.isatty()):
            self._next = None
        self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def advance(self) -> None:
        """Counts one more."""
        self._done += 1
        now = time.monotonic()
        if self._next is None or now < self._next:
            return
        self._next, self._drawn = now + _INTERVAL, True
        rate = self._done / max(now - self._start, 1e-9)
        count = f"{self._done:,} inputs"
        if self._total:
            share = min(self._done / self._total, 1.0)
            count = f"[{'#' * round(share * _WIDTH):<{_WIDTH}}] {share:4.0%} of {self._total:,} inputs"
        self._stream.write(f"\r{count}, {rate:,.1f}/s ")
        self._stream.flush()
