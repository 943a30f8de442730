"""A progress bar on standard error, where somebody watches."""

from __future__ import annotations

from typing import TextIO

from deberta_core.progress import StatusLine, bar


class Progress(StatusLine):
    """Counts bytes up to a total; silent where the stream is no terminal, and gone at the end.

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
