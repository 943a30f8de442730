"""`deberta run`."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from deberta_dual.commands.messages import FAILED, show_note, show_warning
from deberta_dual.commands.parser import (
    DATA_FORMATS,
    MAX_LENGTH,
    SEVERAL_MODELS,
    Parser,
    add_data_options,
    add_framework_options,
    columns_of,
    flag_of,
)
from deberta_dual.data.load import read_examples
from deberta_dual.data.records import BLANK
from deberta_dual.data.results import ERROR, Row, answer_records, column_names, where
from deberta_dual.data.streams import STANDARD_INPUT
from deberta_dual.data.writers import json_line, write_rows, written_rows
from deberta_dual.evaluation.entities import SCHEMES
from deberta_dual.pipelines.entities import STRATEGIES
from deberta_dual.pipelines.factory import PIPELINES, pipeline
from deberta_dual.pipelines.scores import FUNCTIONS
from deberta_dual.pipelines.sentence_modules import POOLINGS
from deberta_dual.pipelines.windows import LONG_TEXTS, WINDOW_SCORES

_EXAMPLE = f"""examples:
  deberta run --task text-classification --model my-classifier < reviews.txt > classes.jsonl
  deberta run --task zero-shot-classification --model my-nli-model --candidate-labels sport,politics --input news.txt
  echo '{{"question": "Who won?", "context": "Oslo lost, Bergen won."}}' |
    deberta run --task question-answering --model my-reader

{DATA_FORMATS}
On standard input a line is a text, or a JSON object if it begins with a brace. Fields: text (and text_pair), words,
question and context, text and choices. Each record (a line, a row, a sentence of CoNLL, a question of SQuAD) gives one
JSON object, in order: its line, fields that the task does not read, and the result.
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
    "calibrated": {**_FLAG, "help": "scores with the temperature of deberta evaluate --calibrate"},
    "long_texts": {
        "choices": LONG_TEXTS,
        "help": "texts longer than --max-length: cut, read in windows, or refused",
    },
    "window_scores": {"choices": tuple(WINDOW_SCORES), "help": "how scores of windows become those of the text"},
    "candidate_labels": {"metavar": "A,B,...", "help": "class names to choose from"},
    "hypothesis_template": {"metavar": "TEXT", "help": "hypothesis, with {} for the class name"},
    "multi_label": {**_FLAG, "help": "score each class by itself: several can be true"},
    "aggregation_strategy": {"choices": STRATEGIES, "help": "how tokens are grouped into entities"},
    "ignore_labels": {"nargs": "*", "metavar": "LABEL", "help": "labels to leave out"},
    "label_scheme": {"choices": tuple(SCHEMES), "help": "also give words, and tags of this scheme"},
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
    "label_scheme": "none, of --output FILE.conll iob2",
    "stride": "a quarter of a window",
    "max_seq_len": "384",
    "doc_stride": "128",
    "targets": "all",
}


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        0; 1 if a record could not be used.

    Raises:
        DebertaError: see `pipeline`; or an input cannot be used, and `--on-error stop` is in force.
        OSError: a file cannot be read or written; a BrokenPipeError, where the reader of the output left early.
        SystemExit: bad usage (2), or `--help` (0).
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    options, columns = _task_options(parser, arguments), columns_of(parser, arguments)
    if arguments.resume and arguments.output is None:
        parser.error("--resume goes with --output FILE, whose FILE.part is continued")
    with warnings.catch_warnings():
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
        records = read_examples(
            arguments.task,
            arguments.input,
            columns,
            labelled=False,
            input_format=arguments.input_format,
            encoding=arguments.encoding,
            note=show_note,
        )
        target: Path | None = arguments.output
        if arguments.resume and target is not None:
            records = islice(records, written_rows(target), None)
        failures = _Failures(answer_records(arguments.task, run, records, stop=arguments.on_error == "stop"))
        if target is not None:
            names = partial(column_names, arguments.task)
            write_rows(failures, target, names, resume=arguments.resume)
        else:
            for row in failures:
                sys.stdout.buffer.write(json_line(row))
                sys.stdout.buffer.flush()
        if not failures.rows and not arguments.resume:
            show_note(f"{', '.join(map(str, arguments.input))}: there is nothing to answer.")
    return FAILED if failures.count else 0


class _Failures(Iterator[Row]):
    """Rows, of which those with an error are counted and told.

    Attributes:
        count: how many there were; blank lines are none.
        rows: how many rows there were at all.
    """

    def __init__(self, rows: Iterator[Row]) -> None:
        self._source, self.count, self.rows = rows, 0, 0

    def __next__(self) -> Row:
        row = next(self._source)
        self.rows += 1
        if ERROR in row and row[ERROR] != BLANK:
            self.count += 1
            print(f"deberta: error: {where(row)}: {row[ERROR]}", file=sys.stderr)
        return row


def _task_options(parser: Parser, arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of the task that were given; ends with status 2 for one of another task."""
    given = {name: getattr(arguments, name) for name in TASK_OPTIONS if hasattr(arguments, name)}
    known = {field.name for field in fields(PIPELINES[arguments.task].options_class)} & TASK_OPTIONS.keys()
    if arguments.task == "multiple-choice":  # every choice has its score
        known -= {"top_k"}
    for name in given:
        if name not in known:
            flags = ", ".join(map(flag_of, sorted(known))) or "none"
            parser.error(f"{flag_of(name)} is not for {arguments.task}, whose own options are: {flags}")
    if arguments.output is not None and arguments.output.suffix.lower() == ".conll":
        if "label_scheme" not in known:
            parser.error(f"--output FILE.conll is for token-classification, not for {arguments.task}")
        given.setdefault("label_scheme", "iob2")
    if "candidate_labels" in known and "candidate_labels" not in given:
        parser.error(f"{arguments.task} needs --candidate-labels")
    return {"top_k": None} | given if arguments.task == "multiple-choice" else given


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        "run", "--task TASK --model DIR", "Answer each line of the input with a line of JSON, in order.", _EXAMPLE
    )
    add = parser.add_argument_group("model").add_argument
    add("--task", choices=tuple(PIPELINES), required=True, metavar="TASK", help=", ".join(PIPELINES))
    add("--model", **SEVERAL_MODELS)
    add("--tokenizer", metavar="DIR", help="tokenizer folder or hub id; default: the model's own")
    add_framework_options(add)
    add("--dtype", metavar="NAME", help="float32, bfloat16, float16, or int8 (PyTorch on a CPU); default: float32")
    add("--batch-size", type=int, default=32, metavar="N", help="sequences per batch; default: 32")
    add("--max-length", type=int, metavar="TOKENS", help=MAX_LENGTH)
    add = parser.add_argument_group("input and output").add_argument
    text = "files or folders to read, - for standard input; default: standard input"
    add("--input", nargs="+", default=[STANDARD_INPUT], metavar="FILE", help=text)
    add_data_options(add)
    text = "file to write: .jsonl, .csv, .parquet, .conll; FILE.part until it is done; default: standard output"
    add("--output", type=Path, metavar="FILE", help=text)
    add("--resume", action="store_true", help="continue FILE.part of --output, for the same input")
    text = "at a record that cannot be used: answer with its error, or stop; default: stop"
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
