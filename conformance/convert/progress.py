"""A progress bar on standard error, where somebody watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

_WIDTH = 30
_INTERVAL = 0.1  # seconds between two pictures


class Progress:
    """Counts bytes up to a total; silent where the stream is no terminal, and gone at the end.

    Args:
        total: bytes.
        stream: where it is drawn.
    """

    def __init__(self, total: int, stream: TextIO | None = None) -> None:
        self._total, self._done, self._drawn = total, 0, 0.0
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def advance(self, count: int) -> None:
        """Adds `count` bytes."""
        self._done = min(self._done + count, self._total)
        now = time.monotonic()
        if self._shown and now - self._drawn >= _INTERVAL:
            self._drawn = now
            share = self._done / self._total if self._total else 1.0
            bar = "#" * round(share * _WIDTH)
            self._stream.write(f"\r[{bar:<{_WIDTH}}] {share:4.0%} of {self._total / 1e9:.2f} GB")
            self._stream.flush()
