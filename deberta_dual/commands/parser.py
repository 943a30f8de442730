"""What the subcommands of `deberta` share: exit statuses, errors and warnings of one line."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

FAILED, USAGE, INTERRUPTED = 1, 2, 130  # exit statuses; the last is what shells give for Ctrl-C; SIGTERM too


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all errors of the command are."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        self.exit(USAGE, f"deberta: error: {message}. Try: {self.prog} --help\n")


def fail(message: str, status: int) -> int:
    """Prints an error on one line, and gives the status back."""
    print("deberta: error:", " ".join(message.split()), file=sys.stderr)
    return status


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """In the place of `warnings.showwarning`: one line, as errors are."""
    print("deberta: warning:", " ".join(str(message).split()), file=sys.stderr)
