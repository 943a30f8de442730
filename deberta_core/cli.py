"""The command `deberta`: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from deberta_core.errors import DebertaError, one_of

# Name -> "module:function" taking the remaining arguments and giving the exit status, and a line for --help.
COMMANDS = {
    "convert": ("conformance.convert.command:main", "convert a checkpoint folder between PyTorch and TensorFlow files"),
    "finetune": ("deberta_core.finetuning.command:main", "train a model on files of examples"),
    "run": ("deberta_core.pipelines.command:main", "answer lines of text with a model: classes, entities, answers"),
    "inspect": ("conformance.convert.inspection:main", "show what a checkpoint holds, and what is wrong with it"),
}

FAILED, USAGE, INTERRUPTED = 1, 2, 130  # exit statuses; the last is what shells give for Ctrl-C; SIGTERM too


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as all errors of the command are."""

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        self.exit(USAGE, f"deberta: error: {message}. Try: {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a subcommand.

    Args:
        argv: the arguments; None takes them from the process.

    Returns:
        the exit status: 0 success, 1 a failed check or an error, 2 bad usage, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        end_as_interrupted()
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(_help(), file=sys.stdout if arguments else sys.stderr)
            return 0 if arguments else USAGE
        if arguments[0] not in COMMANDS:
            return _fail(one_of("command", arguments[0], list(COMMANDS)), USAGE)
        module, function = COMMANDS[arguments[0]][0].split(":")
        status: int = getattr(importlib.import_module(module), function)(arguments[1:])
        return status
    except SystemExit as end:  # argparse: --help, or bad usage
        return end.code if isinstance(end.code, int) else 0
    except (DebertaError, OSError) as problem:
        return _fail(str(problem), FAILED)
    except KeyboardInterrupt:
        return _fail("interrupted, nothing half-written was left", INTERRUPTED)


def end_as_interrupted() -> None:
    """Makes SIGTERM and SIGHUP clean up as Ctrl-C does; for a process of our own."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):  # the second is not everywhere
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupt)


def show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """In the place of `warnings.showwarning`: one line, as errors are."""
    print("deberta: warning:", " ".join(str(message).split()), file=sys.stderr)


def _fail(message: str, status: int) -> int:
    print("deberta: error:", " ".join(message.split()), file=sys.stderr)
    return status


def _help() -> str:
    lines = [f"  {name:<12}{line}" for name, (_, line) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: deberta COMMAND ...",
            "",
            *lines,
            "",
            "`deberta COMMAND --help` explains a command. Example:",
            "  deberta convert my-keras-model my-torch-model --to safetensors --verify",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
