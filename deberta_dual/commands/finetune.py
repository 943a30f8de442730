"""`deberta finetune`."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from deberta_core.comparisons import POOLINGS
from deberta_core.errors import InputError
from deberta_core.files import read_json
from deberta_core.json_shape import NUMBER, map_of
from deberta_dual.backends import TRAINERS
from deberta_dual.commands.messages import print_row, show_note, show_warning
from deberta_dual.commands.parser import (
    DATA_FORMATS,
    LONG_TEXTS_HELP,
    MAX_LENGTH,
    Parser,
    add_data_options,
    add_framework_options,
    add_start_options,
    columns_of,
    config_values,
    flag_of,
    number_or_none,
)
from deberta_dual.evaluation.entities import SCHEMES
from deberta_dual.finetuning.job import finetune
from deberta_dual.finetuning.options import DTYPES, TrainingOptions
from deberta_dual.finetuning.recipes import BALANCED, RECIPES
from deberta_dual.finetuning.tasks import FINETUNE_TASKS
from deberta_dual.finetuning.tasks.text_classification import METRICS
from deberta_dual.pipelines.windows import LONG_TEXTS
from deberta_dual.processes import is_main

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
  sentence-embeddings   text, positive (or sentence1, sentence2; anchor, positive); optional: negative or score
  reward                text and rejected (or chosen, rejected); optional: prompt

Losses: of ranking pointwise (default), pairwise, listwise; with the latter two a query with all its documents is one
example of a batch. Of sentence-embeddings cosine, where there is a score; else multiple-negatives, for which the texts
of other examples are negatives, within what is computed at once: --accumulation and several processes leave fewer;
or triplet, where there is a negative.

Metrics are printed as lines of JSON and written to OUTPUT/metrics.jsonl. OUTPUT holds the best model so far.
"""


# The fields of `TrainingOptions`, which are options of the same name here: what argparse is told of them.
TRAINING_OPTIONS: dict[str, dict[str, Any]] = {
    "epochs": {"type": int, "metavar": "N", "help": "number of epochs"},
    "batch_size": {"type": int, "metavar": "N", "help": "batch size: examples per step, over all processes"},
    "accumulation": {"type": int, "metavar": "N", "help": "gradient accumulation: parts a batch is computed in"},
    "learning_rate": {"type": float, "metavar": "RATE", "help": "peak learning rate"},
    "warmup": {"type": float, "metavar": "RATIO", "help": "warm-up ratio: share of the steps, 0 to 1"},
    "weight_decay": {"type": float, "metavar": "RATE", "help": "weight decay, of weight matrices only"},
    "layer_decay": {"type": float, "metavar": "FACTOR", "help": "layer-wise learning-rate decay, such as 0.9; 1: none"},
    "clip": {"type": number_or_none, "metavar": "NORM", "help": "maximum gradient norm, or 'none'"},
    "dtype": {"choices": DTYPES, "help": "bfloat16 trains in mixed precision"},
    "gradient_checkpointing": {"action": "store_true", "help": "compute layers twice, to save memory"},
    "seed": {"type": int, "metavar": "N", "help": "seed of fresh weights, the order of examples, and dropout"},
    "evaluate_every": {"type": int, "metavar": "STEPS", "help": "steps between evaluations"},
    "patience": {"type": int, "metavar": "N", "help": "early stopping: evaluations without improvement"},
}
RECIPE_OPTIONS: dict[str, dict[str, Any]] = {
    name: {"type": int if recipe.whole else float, "metavar": recipe.metavar, "help": recipe.help}
    for name, recipe in RECIPES.items()
}
RECIPE_OPTIONS["class_weights"] |= {"type": str, "nargs": "+"}
RECIPE_OPTIONS["teacher"] |= {"type": str}
RECIPE_OPTIONS["keep_adapter"] = {"action": "store_true", "help": RECIPES["keep_adapter"].help}
# What the default None of an option means.
_NO_VALUE = {
    "evaluate_every": "one epoch",
    "patience": "no early stopping",
    "class_weights": "1 each",
    "teacher": "none",
    "lora_alpha": "the rank",
}

_WEIGHTS = "give 'balanced', CLASS=NUMBER of every class, or a JSON file, an object of classes and numbers"


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
    options = {name: value for name, value in vars(arguments).items() if name not in ("columns", "config")}
    options["config"] = config_values(arguments.config)
    if "class_weights" in options:
        options["class_weights"] = _class_weights(parser, options["class_weights"])
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        finetune(
            **options,
            columns=columns,
            report=print_row if is_main() else None,
            note=show_note if is_main() else None,
        )
    return 0


def _class_weights(parser: Parser, given: list[str]) -> str | dict[str, float]:
    """Class weights as `TrainingOptions` takes them: "balanced", or by the classes' names."""
    if given == [BALANCED]:
        return BALANCED
    if len(given) == 1 and "=" not in given[0]:
        return read_json(Path(given[0]), InputError, f"--class-weights: {_WEIGHTS}.", map_of(NUMBER))
    weights = {}
    for part in given:
        name, equals, weight = part.rpartition("=")
        try:
            weights[name] = float(weight if equals else "")
        except ValueError:
            parser.error(f"--class-weights {part}: {_WEIGHTS}")
    return weights


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
    text = "cross-validation: number of folds, each a model in OUTPUT/fold-N; default: none"
    add("--folds", type=int, metavar="K", help=text)
    add("--test-data", default=[], help="test data, to score the best model on at the end; default: none", **files)
    add_data_options(add)
    add("--problem-type", choices=tuple(METRICS), help="of text-classification; default: what the labels look like")
    text = "of token-classification: turn labels into this scheme first; default: learn them as they are"
    add("--label-scheme", choices=tuple(SCHEMES), help=text)
    add("--max-length", type=int, metavar="TOKENS", help=MAX_LENGTH)
    add("--long-texts", choices=LONG_TEXTS, help=f"{LONG_TEXTS_HELP}; default: truncate")
    losses = dict.fromkeys(loss for cls in FINETUNE_TASKS.values() for loss in cls.losses)
    add("--loss", choices=tuple(losses), help="of ranking and sentence-embeddings; default: see below")
    text = "of sentence-embeddings, how the token vectors become one; default: the model folder's, or mean"
    add("--pooling", choices=POOLINGS, help=text)
    add = parser.add_argument_group("output").add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="folder to save the model in")
    add("--resume", action="store_true", help="continue an unfinished run in the output folder")
    add("--force", action="store_true", help="replace the checkpoint in the output folder")
    add("--tensorboard", action="store_true", help="write event files for TensorBoard into OUTPUT/tensorboard")
    add = parser.add_argument_group("model").add_argument
    add_start_options(add)
    add("--tokenizer", metavar="DIR", help="tokenizer folder or hub id; default: the model's own")
    text = "with --preset: train a vocabulary of N tokens on the data; default: none is trained"
    add("--vocab-size", type=int, metavar="N", help=text)
    add_framework_options(add, TRAINERS)
    add = parser.add_argument_group("training").add_argument
    text = "train with N seeds, from --seed on, each a model in OUTPUT/seed-N; default: one model in OUTPUT"
    add("--seeds", type=int, metavar="N", help=text)
    text = "learning-rate range test: choose the learning rate by a short run in which it rises"
    add("--learning-rate-search", action="store_true", help=text)
    defaults = {field.name: field.default for field in fields(TrainingOptions)}
    recipes = parser.add_argument_group("recipes, all off by default").add_argument
    for name, settings in {**TRAINING_OPTIONS, **RECIPE_OPTIONS}.items():
        add = recipes if name in RECIPES else add
        text = f"{settings['help']}; default: {_NO_VALUE.get(name, defaults[name])}".replace("e-0", "e-")
        add(flag_of(name), default=argparse.SUPPRESS, **{**settings, "help": text})
    return parser
