"""`deberta run`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from deberta_core.errors import DebertaError, InputError
from deberta_core.files import atomic_file
from deberta_dual.backends import FRAMEWORKS
from deberta_dual.commands.parser import Parser, show_warning
from deberta_dual.data.lines import INPUT_FORMATS, Lines
from deberta_dual.pipelines.factory import PIPELINES, pipeline
from deberta_dual.pipelines.features import POOLINGS
from deberta_dual.pipelines.scores import FUNCTIONS
from deberta_dual.pipelines.token_classification import STRATEGIES

_EXAMPLE = """example:
  echo '{"text": "A soccer game with multiple people playing.", "text_pair": "Some people are playing a sport."}' |
    deberta run --task text-classification --model DIR --device cpu

A line of input is a text, or JSON where it begins with a brace: {"text", "text_pair"}, {"question", "context"} or
{"text", "choices"}. Every line gives a line of JSON; a line that cannot be used gives none.
"""


def _count_or_all(text: str) -> int | None:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'all'")
    return None if text == "all" else int(text)


# The options of the tasks, which are flags of the same name: what argparse is told of them.
_FLAG: dict[str, Any] = {"action": "store_const", "const": True}
TASK_OPTIONS: dict[str, dict[str, Any]] = {
    "top_k": {"type": _count_or_all, "metavar": "N", "help": "results for an input, or 'all'"},
    "function_to_apply": {"choices": tuple(FUNCTIONS), "help": "to the logits; default: what fits the model"},
    "candidate_labels": {"metavar": "A,B,...", "help": "the classes of zero-shot-classification"},
    "hypothesis_template": {"metavar": "TEXT", "help": "with {} where the class goes"},
    "multi_label": {**_FLAG, "help": "several classes can be true"},
    "aggregation_strategy": {"choices": STRATEGIES, "help": "how tokens are put together to entities"},
    "ignore_labels": {"nargs": "*", "metavar": "LABEL", "help": "classes that are not shown; default: O"},
    "stride": {"type": int, "metavar": "TOKENS", "help": "shared by two windows of a long text"},
    "max_answer_len": {"type": int, "metavar": "TOKENS", "help": "the longest answer"},
    "max_seq_len": {"type": int, "metavar": "TOKENS", "help": "of a window of question and context"},
    "doc_stride": {"type": int, "metavar": "TOKENS", "help": "shared by two windows of a context"},
    "handle_impossible_answer": {**_FLAG, "help": "'no answer', an empty one, is among the answers"},
    "targets": {"metavar": "A,B,...", "help": "the only words to choose from"},
    "pooling": {"choices": tuple(POOLINGS), "help": "how tokens' vectors become one"},
    "normalize": {**_FLAG, "help": "vectors of length 1"},
}


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        0, also where the reader of the output left early.

    Raises:
        DebertaError: see `pipeline`; or an input cannot be used, and `--on-error stop` is in force.
        OSError: a file cannot be read or written.
        SystemExit: bad usage (2), or `--help` (0).
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    options = _task_options(parser, arguments)
    with warnings.catch_warnings(), _opened(arguments.input) as source:
        warnings.showwarning = show_warning
        run = pipeline(
            arguments.task,
            arguments.model,
            arguments.tokenizer,
            arguments.framework,
            arguments.device,
            arguments.dtype,
            arguments.batch_size,
            max_length=arguments.max_length,
            **options,
        )
        lines = Lines(source, arguments.input_format)
        results = run.stream(lines, on_error=_error_handler(lines, arguments.on_error == "stop"))
        if arguments.output is not None:
            with atomic_file(arguments.output) as temporary, temporary.open("wb") as target:
                _write(results, target)
            return 0
        try:
            _write(results, sys.stdout.buffer)
        except BrokenPipeError:
            # Python flushes once more at its end, which would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _write(results: Iterator[Any], target: BinaryIO) -> None:
    for result in results:
        plain = result.tolist() if hasattr(result, "tolist") else result
        target.write(json.dumps(plain, ensure_ascii=False).encode() + b"\n")
        target.flush()


def _error_handler(lines: Lines, stops: bool) -> Any:
    def handle(number: int, error: DebertaError) -> None:
        message = f"line {lines.number}: {error}"
        if stops:
            raise InputError(message) from error
        print("deberta: error:", " ".join(message.split()), file=sys.stderr)

    return handle


@contextmanager
def _opened(file: Path | None) -> Iterator[BinaryIO]:
    if file is None:
        yield sys.stdin.buffer
        return
    with file.open("rb") as stream:
        yield stream


def _task_options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the task that were given; ends with status 2 for one of another task."""
    given = {name: getattr(arguments, name) for name in TASK_OPTIONS if hasattr(arguments, name)}
    known = {field.name for field in fields(PIPELINES[arguments.task].options_class)}
    for name in given:
        if name not in known:
            flags = ", ".join(f"--{one.replace('_', '-')}" for one in sorted(known)) or "none"
            parser.error(f"--{name.replace('_', '-')} is not for {arguments.task}, whose own options are: {flags}")
    if "candidate_labels" in known and "candidate_labels" not in given:
        parser.error(f"{arguments.task} needs --candidate-labels")
    return given


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="deberta run",
        description="Answers every line of standard input with a line of JSON on standard output.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--task", choices=tuple(PIPELINES), required=True, help="what is asked of the model")
    parser.add_argument("--model", required=True, metavar="DIR", help="a checkpoint folder or a hub id")
    parser.add_argument("--tokenizer", metavar="DIR", help="a folder or hub id, if it is not in that of the model")
    parser.add_argument("--framework", choices=tuple(FRAMEWORKS), help="default: what is installed, PyTorch first")
    parser.add_argument("--device", help="such as cpu or cuda:0; default: the best there is")
    parser.add_argument("--dtype", help="what the model computes in, such as bfloat16; default: float32")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="rows in a batch; default: 32")
    parser.add_argument("--max-length", type=int, metavar="TOKENS", help="of a row; default: the model's own limit")
    parser.add_argument("--input", type=Path, metavar="FILE", help="instead of standard input")
    parser.add_argument("--output", type=Path, metavar="FILE", help="instead of standard output; written at the end")
    parser.add_argument("--input-format", choices=INPUT_FORMATS, default="auto", help="of all lines")
    parser.add_argument(
        "--on-error", choices=("skip", "stop"), default="stop", help="at a line that cannot be used; default: stop"
    )
    group = parser.add_argument_group("options of tasks")
    for name, settings in TASK_OPTIONS.items():
        group.add_argument(f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, **settings)
    return parser
