"""`deberta finetune`."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from deberta_core.json_shape import flat_json
from deberta_dual.commands.messages import flush_output, show_note, show_warning
from deberta_dual.commands.parser import (
    DATA_FORMATS,
    LONG_TEXTS_HELP,
    MAX_LENGTH,
    Parser,
    add_data_options,
    add_framework_options,
    columns_of,
    flag_of,
)
from deberta_dual.evaluation.entities import SCHEMES
from deberta_dual.finetuning.job import finetune
from deberta_dual.finetuning.options import DTYPES, TrainingOptions
from deberta_dual.finetuning.run import is_main
from deberta_dual.finetuning.start import Start
from deberta_dual.finetuning.tasks import FINETUNE_TASKS
from deberta_dual.finetuning.tasks.text_classification import METRICS
from deberta_dual.pipelines.windows import LONG_TEXTS

_EXAMPLE = f"""examples:
  deberta finetune --task text-classification --model microsoft/deberta-v3-small --output my-classifier \\
    --data train.csv --eval-data dev.csv --columns text=sentence
  torchrun --nproc-per-node 2 -m deberta_dual.cli finetune ...      (several GPUs, or processes)

{DATA_FORMATS}
Fields of an example:
  text-classification   text, label; optional: text_pair
  token-classification  words, labels
  question-answering    question, context, answers
  multiple-choice       text, choices, label (the number from 0, the letter or the text of the right choice)
  ranking               query, document, relevance (0 to 1, or larger numbers)
  masked-lm             text (a plain file has one a line)

Metrics are printed as lines of JSON and written to OUTPUT/metrics.jsonl. OUTPUT holds the best model so far.
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


# The fields of `TrainingOptions`, which are options of the same name here: what argparse is told of them.
TRAINING_OPTIONS: dict[str, dict[str, Any]] = {
    "epochs": {"type": int, "metavar": "N", "help": "number of epochs"},
    "batch_size": {"type": int, "metavar": "N", "help": "batch size: examples per step, over all processes"},
    "accumulation": {"type": int, "metavar": "N", "help": "gradient accumulation: parts a batch is computed in"},
    "learning_rate": {"type": float, "metavar": "RATE", "help": "peak learning rate"},
    "warmup": {"type": float, "metavar": "RATIO", "help": "warm-up ratio: share of the steps, 0 to 1"},
    "weight_decay": {"type": float, "metavar": "RATE", "help": "weight decay, of weight matrices only"},
    "layer_decay": {"type": float, "metavar": "FACTOR", "help": "layer-wise learning-rate decay, such as 0.9; 1: none"},
    "clip": {"type": _number_or_none, "metavar": "NORM", "help": "maximum gradient norm, or 'none'"},
    "dtype": {"choices": DTYPES, "help": "bfloat16 trains in mixed precision"},
    "seed": {"type": int, "metavar": "N", "help": "seed of fresh weights, the order of examples, and dropout"},
    "evaluate_every": {"type": int, "metavar": "STEPS", "help": "steps between evaluations"},
    "patience": {"type": int, "metavar": "N", "help": "early stopping: evaluations without improvement"},
}
# What the default None of an option means.
_NO_VALUE = {"evaluate_every": "one epoch", "patience": "no early stopping"}


def main(argv: Sequence[str]) -> int:
    """Runs the command; prints a line of JSON for every evaluation.

    Returns:
        0.

    Raises:
        DebertaError: see `finetune`.
        OSError: a file cannot be read or written.
        SystemExit: bad usage (2), or `--help` (0).
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    columns = columns_of(parser, arguments)
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
            eval_share=arguments.eval_share,
            columns=columns,
            input_format=arguments.input_format,
            encoding=arguments.encoding,
            problem_type=arguments.problem_type,
            label_scheme=arguments.label_scheme,
            max_length=arguments.max_length,
            long_texts=arguments.long_texts,
            framework=arguments.framework,
            device=arguments.device,
            resume=arguments.resume,
            force=arguments.force,
            report=_print if is_main() else None,
            note=show_note if is_main() else None,
        )
    return 0


def _print(row: Mapping[str, Any]) -> None:
    print(json.dumps(row))
    flush_output()  # nobody may read it any more, but the training goes on


def _value(text: str) -> Any:
    """The value of a field of the configuration: JSON, or else the text itself."""
    try:
        return flat_json(text)
    except ValueError:
        return text


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        "finetune",
        "--task TASK --model DIR --data FILE --output DIR",
        "Fine-tune a model on labelled examples, and save it where `deberta run` finds it.",
        _EXAMPLE,
    )
    files: dict[str, Any] = {"nargs": "+", "type": Path, "metavar": "FILE"}
    add = parser.add_argument_group("task and data").add_argument
    add("--task", choices=tuple(FINETUNE_TASKS), required=True, metavar="TASK", help=", ".join(FINETUNE_TASKS))
    add("--data", required=True, help="training data", **files)
    add("--eval-data", default=[], help="evaluation data, to choose the best model by; default: none", **files)
    text = "share of the training data to hold out as evaluation data, such as 0.1; default: 0"
    add("--eval-share", type=float, default=0.0, metavar="SHARE", help=text)
    add("--test-data", default=[], help="test data, to score the best model on at the end; default: none", **files)
    add_data_options(add)
    add("--problem-type", choices=tuple(METRICS), help="of text-classification; default: what the labels look like")
    text = "of token-classification: turn labels into this scheme first; default: learn them as they are"
    add("--label-scheme", choices=tuple(SCHEMES), help=text)
    add("--max-length", type=int, metavar="TOKENS", help=MAX_LENGTH)
    add("--long-texts", choices=LONG_TEXTS, help=f"{LONG_TEXTS_HELP}; default: truncate")
    add = parser.add_argument_group("output").add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="folder to save the model in")
    add("--resume", action="store_true", help="continue an unfinished run in the output folder")
    add("--force", action="store_true", help="replace the checkpoint in the output folder")
    add = parser.add_argument_group("model").add_argument
    add("--model", metavar="DIR", help="checkpoint folder or hub id; default: see --preset")
    add("--preset", metavar="NAME", help="instead of --model: a published size, fresh weights; default: none")
    text = "fields of config.json to change, such as hidden_dropout_prob=0; default: none"
    add("--config", nargs="+", type=_pair, default=[], metavar="FIELD=VALUE", help=text)
    add("--tokenizer", metavar="DIR", help="tokenizer folder or hub id; default: the model's own")
    text = "with --preset: train a vocabulary of N tokens on the data; default: none is trained"
    add("--vocab-size", type=int, metavar="N", help=text)
    add_framework_options(add)
    add = parser.add_argument_group("training").add_argument
    defaults = {field.name: field.default for field in fields(TrainingOptions)}
    for name, settings in TRAINING_OPTIONS.items():
        text = f"{settings['help']}; default: {_NO_VALUE.get(name, defaults[name])}".replace("e-0", "e-")
        add(flag_of(name), default=argparse.SUPPRESS, **{**settings, "help": text})
    return parser
