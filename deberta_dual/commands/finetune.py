"""`deberta finetune`."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from deberta_dual.backends import FRAMEWORKS
from deberta_dual.commands.parser import Parser, show_warning
from deberta_dual.finetuning.job import finetune
from deberta_dual.finetuning.options import DTYPES, TrainingOptions
from deberta_dual.finetuning.run import is_main
from deberta_dual.finetuning.start import Start
from deberta_dual.finetuning.tasks import FINETUNE_TASKS
from deberta_dual.finetuning.tasks.text_classification import METRICS

_EXAMPLE = """examples:
  deberta finetune --task text-classification --model microsoft/deberta-v3-small --output my-classifier \\
    --data train.csv --eval-data dev.csv --columns text=sentence
  torchrun --nproc-per-node 2 -m deberta_dual.cli finetune ...      (several GPUs, or processes)

Files by the end of their name: .csv and .tsv with a line of titles, .jsonl (a JSON object a line), .json (a list of
objects, or SQuAD's form); any other is CoNLL's form, a word and its label a line. The entries of an example:
  text-classification   text, label; text_pair if there is one
  token-classification  words, labels
  question-answering    question, context, answers
  multiple-choice       text, choices, label (the number of the right choice, from 0)

Scores are lines of JSON on standard output and in OUTPUT/metrics.jsonl. OUTPUT holds the best model so far.
"""


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _number_or_none(text: str) -> float | None:
    try:
        return None if text == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'none'") from None


# The fields of `TrainingOptions`, which are flags of the same name: what argparse is told of them.
TRAINING_OPTIONS: dict[str, dict[str, Any]] = {
    "epochs": {"type": int, "metavar": "N", "help": "times all examples are seen"},
    "batch_size": {"type": int, "metavar": "N", "help": "examples of a step, over all processes"},
    "accumulation": {"type": int, "metavar": "N", "help": "pieces of a step, to save memory"},
    "learning_rate": {"type": float, "metavar": "RATE", "help": "the highest"},
    "warmup": {"type": float, "metavar": "SHARE", "help": "of the steps in which the rate rises"},
    "weight_decay": {"type": float, "metavar": "RATE", "help": "of matrices"},
    "layer_decay": {"type": float, "metavar": "FACTOR", "help": "a layer's rate in that of the one above"},
    "clip": {"type": _number_or_none, "metavar": "NORM", "help": "the longest gradient, or 'none'"},
    "dtype": {"choices": DTYPES, "help": "of products"},
    "seed": {"type": int, "metavar": "N", "help": "of fresh weights, the order of examples and dropout"},
    "evaluate_every": {"type": int, "metavar": "STEPS", "help": "between evaluations; default: an epoch"},
    "patience": {"type": int, "metavar": "N", "help": "evaluations without a better one until training stops"},
}


def main(argv: Sequence[str]) -> int:
    """Runs the command; prints a line of JSON for every evaluation.

    Returns:
        0.

    Raises:
        DebertaError: see `finetune`.
        OSError: a file cannot be read or written.
        SystemExit: bad usage (2), or `--help` (0).
    """
    arguments = _parser().parse_args(argv)
    given = {name: getattr(arguments, name) for name in TRAINING_OPTIONS if hasattr(arguments, name)}
    start = Start(
        model=arguments.model,
        preset=arguments.preset,
        changes={name: _value(text) for name, text in arguments.config},
        tokenizer=arguments.tokenizer,
        vocab_size=arguments.vocab_size,
    )
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        finetune(
            arguments.task,
            arguments.data,
            arguments.output,
            start,
            TrainingOptions(**given),
            evaluation=arguments.eval_data,
            test=arguments.test_data,
            columns=dict(arguments.columns),
            problem_type=arguments.problem_type,
            max_length=arguments.max_length,
            framework=arguments.framework,
            device=arguments.device,
            resume=arguments.resume,
            force=arguments.force,
            report=_print if is_main() else None,
        )
    return 0


def _print(row: Mapping[str, Any]) -> None:
    print(json.dumps(row), flush=True)


def _value(text: str) -> Any:
    """The value of a field of the configuration: JSON, or else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="deberta finetune",
        description="Trains a model on files of examples, and saves it where `deberta run` finds it.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--task", choices=tuple(FINETUNE_TASKS), required=True, help="what is learnt")
    parser.add_argument("--data", nargs="+", type=Path, required=True, metavar="FILE", help="examples to learn from")
    parser.add_argument("--eval-data", nargs="+", type=Path, default=[], metavar="FILE", help="to choose the best by")
    parser.add_argument("--test-data", nargs="+", type=Path, default=[], metavar="FILE", help="to judge the best by")
    parser.add_argument(
        "--columns", nargs="+", type=_pair, default=[], metavar="NAME=COLUMN", help="what files call an entry"
    )
    parser.add_argument("--problem-type", choices=tuple(METRICS), help="of text-classification; default: by the labels")
    parser.add_argument("--max-length", type=int, metavar="TOKENS", help="of a row; default: the model's own limit")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the model goes")
    parser.add_argument("--resume", action="store_true", help="go on with the unfinished run in DIR, if there is one")
    parser.add_argument("--force", action="store_true", help="replace what is in DIR")
    parser.add_argument("--framework", choices=tuple(FRAMEWORKS), help="default: what is installed, PyTorch first")
    parser.add_argument("--device", help="such as cpu or cuda:0; default: the best there is")
    start = parser.add_argument_group("what training starts from")
    start.add_argument("--model", metavar="DIR", help="a checkpoint folder or a hub id")
    start.add_argument("--preset", metavar="NAME", help="instead: a published size with fresh weights")
    start.add_argument(
        "--config", nargs="+", type=_pair, default=[], metavar="FIELD=VALUE", help="fields of config.json to change"
    )
    start.add_argument("--tokenizer", metavar="DIR", help="a folder or hub id; default: that of the model")
    start.add_argument("--vocab-size", type=int, metavar="N", help="train a vocabulary on the data, for a preset")
    group = parser.add_argument_group("how it is trained")
    defaults = {field.name: field.default for field in fields(TrainingOptions)}
    for name, settings in TRAINING_OPTIONS.items():
        default = "" if defaults[name] is None else f"; default: {defaults[name]}"
        settings = {**settings, "help": settings["help"] + default, "default": argparse.SUPPRESS}
        group.add_argument(f"--{name.replace('_', '-')}", **settings)
    return parser
