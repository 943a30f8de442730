"""What the parsers of the subcommands of `deberta` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from deberta_dual.backends import FRAMEWORKS
from deberta_dual.commands.messages import USAGE

# Help that several commands give.
SOURCE = "checkpoint folder (config.json and weights), a weight file, or a hub id"
MAX_LENGTH = "maximum sequence length in tokens; longer texts are truncated; default: the model's"


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


def add_framework_options(add: Callable[..., object]) -> None:
    """Adds what every command that runs a model takes; `add` is a parser's or a group's `add_argument`."""
    add("--framework", choices=tuple(FRAMEWORKS), help="PyTorch or Keras on TensorFlow; default: the first installed")
    add("--device", metavar="NAME", help="such as cpu, cuda or cuda:1; default: a GPU if there is one")


def flag_of(name: str) -> str:
    """The option on the command line of an argument in Python: `top_k` is `--top-k`."""
    return f"--{name.replace('_', '-')}"
