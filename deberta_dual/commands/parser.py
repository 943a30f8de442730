"""What the subcommands of `deberta` share: exit statuses, errors and warnings of one line, common options."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NoReturn

from deberta_dual.backends import FRAMEWORKS

FAILED, USAGE, INTERRUPTED = 1, 2, 130  # exit statuses; the last is what shells give for Ctrl-C; SIGTERM too


class Parser(argparse.ArgumentParser):
    """The parser of a subcommand, whose errors are one line, as all errors of the command are.

    Args:
        name: of the subcommand.
        usage: what must be given, in short.
        description: what the command does.
        epilog: examples, and what they leave open.
    """

    def __init__(self, name: str, usage: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=f"deberta {name}",
            usage=f"deberta {name} {usage} [options]",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        self.exit(USAGE, f"deberta: error: {message}. Try: {self.prog} --help\n")


def add_framework_options(group: Any) -> None:
    """Adds what every command that runs a model takes, to a parser or a group of it."""
    group.add_argument(
        "--framework", choices=tuple(FRAMEWORKS), help="PyTorch or Keras on TensorFlow; default: the first installed"
    )
    group.add_argument("--device", metavar="NAME", help="such as cpu, cuda or cuda:1; default: a GPU if there is one")


def flag_of(name: str) -> str:
    """The option on the command line of an argument in Python: `top_k` is `--top-k`."""
    return f"--{name.replace('_', '-')}"


def fail(message: str, status: int) -> int:
    """Prints an error on one line, and gives the status back."""
    print("deberta: error:", " ".join(message.split()), file=sys.stderr)
    return status


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """In the place of `warnings.showwarning`: one line, as errors are."""
    print("deberta: warning:", " ".join(str(message).split()), file=sys.stderr)
