"""A line on standard error that counts inputs, where somebody watches."""

from __future__ import annotations

import time
from typing import TextIO

from deberta_core.progress import StatusLine, bar

PATIENCE = 3.0  # seconds before a run counts as long


class Progress(StatusLine):
    """Counts inputs that are done, with their rate; gone at the end.

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
