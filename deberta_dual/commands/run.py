"""`deberta run`."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

from deberta_core.errors import DebertaError, InputError
from deberta_core.files import open_input
from deberta_core.transaction import replace_file
from deberta_dual.commands.messages import show_warning
from deberta_dual.commands.parser import MAX_LENGTH, Parser, add_framework_options, flag_of
from deberta_dual.data.lines import INPUT_FORMATS, Lines
from deberta_dual.pipelines.entities import STRATEGIES
from deberta_dual.pipelines.factory import PIPELINES, pipeline
from deberta_dual.pipelines.scores import FUNCTIONS
from deberta_dual.pipelines.sentence_modules import POOLINGS

_EXAMPLE = """examples:
  deberta run --task text-classification --model my-classifier < reviews.txt > classes.jsonl
  deberta run --task zero-shot-classification --model my-nli-model --candidate-labels sport,politics --input news.txt
  echo '{"question": "Who won?", "context": "Oslo lost, Bergen won."}' |
    deberta run --task question-answering --model my-reader

Each line of input is one example: a text, or a JSON object if it begins with a brace: {"text", "text_pair"},
{"question", "context"} or {"text", "choices"}. Each example gives one line of JSON, in order.
"""


def _count_or_all(text: str) -> int | None:
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'all'")
    return None if text == "all" else int(text)


# The options of the tasks, which are options of the same name here: what argparse is told of them.
_FLAG: dict[str, Any] = {"action": "store_const", "const": True}
TASK_OPTIONS: dict[str, dict[str, Any]] = {
    "top_k": {"type": _count_or_all, "metavar": "N", "help": "number of results per example, or 'all'"},
    "function_to_apply": {"choices": tuple(FUNCTIONS), "help": "what turns logits into scores"},
    "candidate_labels": {"metavar": "A,B,...", "help": "class names to choose from"},
    "hypothesis_template": {"metavar": "TEXT", "help": "hypothesis, with {} for the class name"},
    "multi_label": {**_FLAG, "help": "score each class by itself: several can be true"},
    "aggregation_strategy": {"choices": STRATEGIES, "help": "how tokens are grouped into entities"},
    "ignore_labels": {"nargs": "*", "metavar": "LABEL", "help": "labels to leave out"},
    "stride": {"type": int, "metavar": "TOKENS", "help": "overlap of the windows of a long text, in tokens"},
    "max_answer_len": {"type": int, "metavar": "TOKENS", "help": "maximum answer length in tokens"},
    "max_seq_len": {"type": int, "metavar": "TOKENS", "help": "maximum length of a window of question and context"},
    "doc_stride": {"type": int, "metavar": "TOKENS", "help": "overlap of the windows of a long context, in tokens"},
    "handle_impossible_answer": {**_FLAG, "help": "allow the empty answer, for questions without one"},
    "targets": {"metavar": "A,B,...", "help": "words to choose from, such as good,bad"},
    "pooling": {"choices": tuple(POOLINGS), "help": "how the token vectors become one vector"},
    "normalize": {**_FLAG, "help": "scale vectors to length 1"},
}
# What the default None of an option means.
_NO_VALUE = {
    "function_to_apply": "what fits the model",
    "candidate_labels": "none, required",
    "stride": "a quarter of a window",
    "max_seq_len": "384",
    "doc_stride": "128",
    "targets": "all",
}


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        0.

    Raises:
        DebertaError: see `pipeline`; or an input cannot be used, and `--on-error stop` is in force.
        OSError: a file cannot be read or written; a BrokenPipeError, where the reader of the output left early.
        SystemExit: bad usage (2), or `--help` (0).
    """
    parser = make_parser()
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
            batch_size=arguments.batch_size,
            max_length=arguments.max_length,
            **options,
        )
        lines = Lines(source, arguments.input_format)
        results = run.stream(lines, on_error=_error_handler(lines, arguments.on_error == "stop"))
        if arguments.task == "feature-extraction":
            results = (result[0] for result in results)  # each is a batch of one
        if arguments.output is not None:
            with replace_file(arguments.output, InputError) as temporary, temporary.open("wb") as target:
                _write(results, target)
            return 0
        _write(results, sys.stdout.buffer)
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
    with open_input(file, InputError, "Give a file of examples.") as stream:
        yield stream


def _task_options(parser: Parser, arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the task that were given; ends with status 2 for one of another task."""
    given = {name: getattr(arguments, name) for name in TASK_OPTIONS if hasattr(arguments, name)}
    known = {field.name for field in fields(PIPELINES[arguments.task].options_class)} & TASK_OPTIONS.keys()
    for name in given:
        if name not in known:
            flags = ", ".join(map(flag_of, sorted(known))) or "none"
            parser.error(f"{flag_of(name)} is not for {arguments.task}, whose own options are: {flags}")
    if "candidate_labels" in known and "candidate_labels" not in given:
        parser.error(f"{arguments.task} needs --candidate-labels")
    if given.get("top_k") == 1 and arguments.task == "text-classification":
        del given["top_k"]  # the best class is an object, as without it
    return given


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        "run", "--task TASK --model DIR", "Answer each line of the input with a line of JSON, in order.", _EXAMPLE
    )
    add = parser.add_argument_group("model").add_argument
    add("--task", choices=tuple(PIPELINES), required=True, metavar="TASK", help=", ".join(PIPELINES))
    add("--model", required=True, metavar="DIR", help="checkpoint folder or hub id, fine-tuned for TASK")
    add("--tokenizer", metavar="DIR", help="tokenizer folder or hub id; default: the model's own")
    add_framework_options(add)
    add("--dtype", metavar="NAME", help="float32, bfloat16, float16, or int8 (PyTorch on a CPU); default: float32")
    add("--batch-size", type=int, default=32, metavar="N", help="sequences per batch; default: 32")
    add("--max-length", type=int, metavar="TOKENS", help=MAX_LENGTH)
    add = parser.add_argument_group("input and output").add_argument
    add("--input", type=Path, metavar="FILE", help="file to read; default: standard input")
    add("--output", type=Path, metavar="FILE", help="file to write, when all is done; default: standard output")
    text = "what a line is; default: auto, JSON if it begins with a brace, else a text"
    add("--input-format", choices=INPUT_FORMATS, default="auto", help=text)
    text = "at a line that cannot be used: report and skip it, or stop; default: stop"
    add("--on-error", choices=("skip", "stop"), default="stop", help=text)
    tasks = parser.add_argument_group("options of single tasks")
    for name, settings in TASK_OPTIONS.items():
        text = f"{settings['help']}; {_defaults(name)}".replace("%", "%%")
        tasks.add_argument(flag_of(name), default=argparse.SUPPRESS, **{**settings, "help": text})
    return parser


def _defaults(name: str) -> str:
    """For which tasks an option is, and its default there."""
    tasks: dict[str, list[str]] = {}
    for task, cls in PIPELINES.items():
        for field in fields(cls.options_class):
            if field.name == name:
                tasks.setdefault(_shown(name, field.default), []).append(task)
    return "default: " + ", ".join(f"{default} ({', '.join(own)})" for default, own in tasks.items())


def _shown(name: str, default: Any) -> str:
    if default is None or isinstance(default, bool):
        return _NO_VALUE.get(name, "off" if default is False else str(default))
    return " ".join(default) if isinstance(default, tuple) else str(default)
