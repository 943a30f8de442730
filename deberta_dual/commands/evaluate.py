"""`deberta evaluate`."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from deberta_core.errors import InputError
from deberta_core.transaction import replace_file
from deberta_dual.commands.messages import show_note, show_warning
from deberta_dual.commands.parser import (
    DATA_FORMATS,
    LONG_TEXTS_HELP,
    MAX_LENGTH,
    SEVERAL_MODELS,
    Parser,
    add_data_options,
    add_framework_options,
    columns_of,
)
from deberta_dual.data.writers import write_lines
from deberta_dual.evaluation.job import evaluate
from deberta_dual.evaluation.judges import JUDGES
from deberta_dual.evaluation.report import as_text, write_report
from deberta_dual.pipelines.windows import LONG_TEXTS

_EXAMPLE = f"""examples:
  deberta evaluate --task text-classification --model my-classifier --data test.csv
  deberta evaluate --task token-classification --model my-ner --data test.conll --errors mistakes.jsonl --report report

{DATA_FORMATS}

One line of JSON with all numbers is printed, and a table for readers on standard error where that is a terminal.
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command; prints a line of JSON.

    Returns:
        0.

    Raises:
        DebertaError: see `evaluate`.
        OSError: a file cannot be read or written.
        SystemExit: bad usage (2), or `--help` (0).
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    columns = columns_of(parser, arguments)
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        found = evaluate(
            arguments.task,
            arguments.model,
            arguments.data,
            columns,
            framework=arguments.framework,
            device=arguments.device,
            dtype=arguments.dtype,
            batch_size=arguments.batch_size,
            max_length=arguments.max_length,
            long_texts=arguments.long_texts,
            candidate_labels=arguments.candidate_labels and arguments.candidate_labels.split(","),
            hypothesis_template=arguments.hypothesis_template,
            input_format=arguments.input_format,
            encoding=arguments.encoding,
            calibrate=arguments.calibrate,
            note=show_note,
        )
    if arguments.errors is not None:
        with replace_file(arguments.errors, InputError) as temporary:
            write_lines(temporary, found.mistakes())
    if arguments.report is not None:
        write_report(found, arguments.report)
    print(json.dumps(found.to_dict(), ensure_ascii=False))
    if sys.stderr.isatty():
        print(as_text(found), file=sys.stderr)
    return 0


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        "evaluate",
        "--task TASK --model DIR --data FILE",
        "Judge a fine-tuned model by labelled examples: metrics, classes, calibration, mistakes.",
        _EXAMPLE,
    )
    add = parser.add_argument_group("model").add_argument
    add("--task", choices=tuple(JUDGES), required=True, metavar="TASK", help=", ".join(JUDGES))
    add("--model", **SEVERAL_MODELS)
    add_framework_options(add)
    add("--dtype", metavar="NAME", help="float32, bfloat16, float16, or int8 (PyTorch on a CPU); default: float32")
    add("--batch-size", type=int, default=32, metavar="N", help="sequences per batch; default: 32")
    add("--max-length", type=int, metavar="TOKENS", help=MAX_LENGTH)
    add("--long-texts", choices=LONG_TEXTS, help=f"{LONG_TEXTS_HELP}; default: truncate")
    add = parser.add_argument_group("data").add_argument
    add("--data", required=True, nargs="+", type=Path, metavar="FILE", help="labelled examples")
    add_data_options(add)
    text = "of zero-shot-classification: class names to choose from; default: the labels of the data"
    add("--candidate-labels", metavar="A,B,...", help=text)
    text = "of zero-shot-classification: hypothesis, with {} for the class name; default: This example is {}."
    add("--hypothesis-template", metavar="TEXT", help=text)
    add = parser.add_argument_group("output").add_argument
    add("--errors", type=Path, metavar="FILE", help="file for the worst mistakes, a JSON object a line; default: none")
    add("--report", type=Path, metavar="DIR", help="folder for a page with plots, index.html; default: none")
    add("--calibrate", action="store_true", help="write the temperature into the model's folder, for pipelines")
    return parser
