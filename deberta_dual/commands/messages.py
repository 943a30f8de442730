"""How a command ends: its statuses, errors and warnings of one line, its closed output. It imports nothing big."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NoReturn

FAILED, USAGE, INTERRUPTED = 1, 2, 130  # exit statuses; the last is what shells give for Ctrl-C; SIGTERM too
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not everywhere


def fail(message: str, status: int) -> int:
    """Prints an error on one line, and gives the status back."""
    with suppress(BrokenPipeError):  # nobody reads it
        print("deberta: error:", " ".join(message.split()), file=sys.stderr)
    return status


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """In the place of `warnings.showwarning`: one line, as errors are."""
    print("deberta: warning:", " ".join(str(message).split()), file=sys.stderr)


def show_note(text: str) -> None:
    """Prints what was found out about the input, on one line of standard error."""
    with suppress(BrokenPipeError):
        print("deberta: note:", " ".join(text.split()), file=sys.stderr)


def print_row(row: Mapping[str, Any]) -> None:
    """Prints a row of scores as a line of JSON, at once; nobody may read it any more, but the training goes on."""
    print(json.dumps(row))
    flush_output()


def flush_output() -> None:
    """Writes what is printed and not written yet; nothing more once its reader, such as `head`, has left."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Interrupts:
    """SIGINT, SIGTERM and SIGHUP of a process of our own, each of which cleans up as Ctrl-C does.

    One that is ignored, as `nohup` does, stays so; all are, once the first has come.

    Attributes:
        came: whether one has come: a library may have made another error of it.
    """

    def __init__(self) -> None:
        self.came = False

    def catch(self) -> None:
        """Begins."""
        self._set(self._interrupt)

    def _interrupt(self, number: int, frame: object) -> NoReturn:
        self.came = True
        self._set(signal.SIG_IGN)
        raise KeyboardInterrupt

    def _set(self, handler: object) -> None:
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, handler)  # type: ignore[arg-type]  # a function or SIG_IGN
