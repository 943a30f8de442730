"""The command `deberta`: a table of subcommands, each imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

# Nothing that imports much: all else is imported where Ctrl-C is listened to.
from deberta_dual.commands.messages import FAILED, INTERRUPTED, USAGE, Interrupts, fail, flush_output

# Name -> "module:function" taking the remaining arguments and giving the exit status, and a line for --help.
COMMANDS = {
    "convert": (
        "deberta_dual.commands.convert:main",
        "write a checkpoint in another format: PyTorch, Keras, TensorFlow",
    ),
    "export": ("deberta_dual.commands.export:main", "write a checkpoint for another runtime: ONNX, OpenVINO, LiteRT"),
    "compile": (
        "deberta_dual.commands.compile:main",
        "choose how a model runs fastest here: engine, dtype, threads",
    ),
    "finetune": ("deberta_dual.commands.finetune:main", "fine-tune a model on labelled examples"),
    "evaluate": ("deberta_dual.commands.evaluate:main", "judge a fine-tuned model: metrics, calibration, mistakes"),
    "pretrain": ("deberta_dual.commands.pretrain:main", "pretrain a model on plain text: masked LM, replaced tokens"),
    "explain": ("deberta_dual.commands.explain:main", "show the attention of a head, and what each token did"),
    "serve": ("deberta_dual.commands.serve:main", "answer requests over HTTP: classes, vectors, rankings, entities"),
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
    interrupts = Interrupts()
    if argv is None:
        interrupts.catch()
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        flush_output()
    except SystemExit as end:  # argparse: --help, or bad usage
        flush_output()
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        flush_output()
        return 0
    except KeyboardInterrupt:
        return fail("interrupted, nothing half-written was left", INTERRUPTED)
    except Exception as problem:
        if interrupts.came:
            return fail("interrupted, nothing half-written was left", INTERRUPTED)
        return fail(_sentence(problem), FAILED)
    return status


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_help(), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else USAGE
    if arguments[0] == "--version":
        print(_version())
        return 0
    if arguments[0] not in COMMANDS:
        from deberta_core.errors import one_of

        return fail(one_of("command", arguments[0], list(COMMANDS)), USAGE)
    from deberta_dual.backends.table import set_environment

    set_environment()
    module, function = COMMANDS[arguments[0]][0].split(":")
    status: int = getattr(importlib.import_module(module), function)(arguments[1:])
    return status


def _sentence(problem: Exception) -> str:
    """What an error says; ours and the system's, others are raised again."""
    from deberta_core.errors import DebertaError, reason

    if isinstance(problem, DebertaError):
        return str(problem)
    if isinstance(problem, OSError):
        return ": ".join(str(part) for part in (problem.filename, reason(problem)) if part)
    raise problem


def _version() -> str:
    from deberta_dual.backends.table import installed_versions
    from deberta_dual.version import own_version

    found = [f"{package} {version}" for package, version in installed_versions().items()]
    return f"deberta-dual {own_version()} ({', '.join(found) or 'no framework found'})"


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
