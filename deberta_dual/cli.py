"""The command `deberta`: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

import importlib
import importlib.metadata
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from deberta_core.errors import DebertaError, one_of, reason
from deberta_dual.backends.table import installed_versions, set_environment
from deberta_dual.commands.parser import FAILED, INTERRUPTED, USAGE, fail

# Name -> "module:function" taking the remaining arguments and giving the exit status, and a line for --help.
COMMANDS = {
    "convert": (
        "deberta_dual.commands.convert:main",
        "write a checkpoint in another format: PyTorch, Keras, TensorFlow",
    ),
    "finetune": ("deberta_dual.commands.finetune:main", "fine-tune a model on labelled examples"),
    "run": ("deberta_dual.commands.run:main", "run a model on lines of text: classes, entities, answers, vectors"),
    "inspect": ("deberta_dual.commands.inspect:main", "show what a checkpoint holds, and problems of its weights"),
}


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
        if arguments[0] == "--version":
            print(_version())
            return 0
        if arguments[0] not in COMMANDS:
            return fail(one_of("command", arguments[0], list(COMMANDS)), USAGE)
        set_environment()
        module, function = COMMANDS[arguments[0]][0].split(":")
        status: int = getattr(importlib.import_module(module), function)(arguments[1:])
        return status
    except SystemExit as end:  # argparse: --help, or bad usage
        return end.code if isinstance(end.code, int) else 0
    except DebertaError as problem:
        return fail(str(problem), FAILED)
    except OSError as problem:
        return fail(": ".join(str(part) for part in (problem.filename, reason(problem)) if part), FAILED)
    except KeyboardInterrupt:
        return fail("interrupted, nothing half-written was left", INTERRUPTED)


def end_as_interrupted() -> None:
    """Makes SIGTERM and SIGHUP clean up as Ctrl-C does; for a process of our own."""

    def interrupt(number: int, frame: object) -> NoReturn:
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):  # the second is not everywhere
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), interrupt)


def _version() -> str:
    found = [f"{package} {version}" for package, version in installed_versions().items()]
    return f"deberta-dual {importlib.metadata.version('deberta-dual')} ({', '.join(found) or 'no framework found'})"


def _help() -> str:
    lines = [f"  {name:<12}{line}" for name, (_, line) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: deberta COMMAND [options]",
            "",
            "DeBERTa v1, v2 and v3 in PyTorch and Keras.",
            "",
            "commands:",
            *lines,
            "",
            "options:",
            "  --help      show this text; `deberta COMMAND --help` explains a command",
            "  --version   show the versions of the package and of the frameworks found",
            "",
            "examples:",
            "  deberta finetune --task text-classification --model DIR --data train.csv --output my-classifier",
            "  deberta run --task text-classification --model my-classifier < reviews.txt",
            "  deberta convert my-keras-model my-torch-model --to safetensors --verify",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
