"""`deberta pretrain`."""

from __future__ import annotations

import argparse
import re
import warnings
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from deberta_core.collation.packing import PACKINGS
from deberta_dual.backends import TRAINERS
from deberta_dual.commands.messages import print_row, show_note, show_warning
from deberta_dual.commands.parser import (
    Parser,
    add_file_options,
    add_framework_options,
    add_start_options,
    columns_of,
    config_values,
    flag_of,
    number_or_none,
)
from deberta_dual.finetuning.options import DTYPES
from deberta_dual.pretraining.corpus import ON_ERROR
from deberta_dual.pretraining.documents import SPLITTINGS
from deberta_dual.pretraining.job import pretrain
from deberta_dual.pretraining.training import OBJECTIVES, SHARINGS, UPDATES, PretrainingOptions
from deberta_dual.processes import is_main

_EXAMPLE = """examples:
  deberta pretrain --objective rtd --preset deberta-v3-xsmall --vocabulary train:32000 --corpus texts/ \\
    --output my-deberta
  deberta pretrain --objective rtd --model microsoft/deberta-v3-base --corpus domain/*.jsonl.gz --output my-domain \\
    --learning-rate 5e-5 --steps 100000
  torchrun --nproc-per-node 8 -m deberta_dual.cli pretrain ...      (several GPUs, or processes)

A corpus is larger than memory: files of text, JSON lines, Parquet, CSV, compressed or not, folders and patterns.
OUTPUT is a model to fine-tune; with rtd, OUTPUT/generator fills masks. Rows of scores are printed as lines of JSON and
written to OUTPUT/metrics.jsonl. A run that was interrupted goes on with --resume to the very same end.
"""

_COUNT: dict[str, Any] = {"type": int, "metavar": "N"}
_RATE: dict[str, Any] = {"type": float, "metavar": "RATE"}
# The fields of `PretrainingOptions`, which are options of the same name here: what argparse is told of them.
OPTIONS: dict[str, dict[str, Any]] = {
    "objective": {"choices": OBJECTIVES, "help": "rtd: replaced-token detection, as v3; mlm: masked language modeling"},
    "steps": {**_COUNT, "help": "optimizer steps"},
    "batch_size": {**_COUNT, "help": "batch size: sequences per step, over all processes"},
    "accumulation": {**_COUNT, "help": "gradient accumulation: parts a batch is computed in"},
    "max_length": {"type": int, "metavar": "TOKENS", "help": "tokens of a sequence"},
    "learning_rate": {**_RATE, "help": "peak learning rate; of the generator, with rtd"},
    "discriminator_learning_rate": {**_RATE, "help": "peak learning rate of the discriminator"},
    "warmup_steps": {"type": int, "metavar": "STEPS", "help": "warm-up steps"},
    "weight_decay": {**_RATE, "help": "weight decay, of weight matrices and embeddings only"},
    "clip": {"type": number_or_none, "metavar": "NORM", "help": "maximum gradient norm, or 'none'"},
    "dtype": {"choices": DTYPES, "help": "bfloat16 trains in mixed precision"},
    "gradient_checkpointing": {"action": "store_true", "help": "compute layers twice, to save memory"},
    "fully_shard": {"action": "store_true", "help": "spread parameters and optimizers over torchrun's processes"},
    "masked_share": {"type": float, "metavar": "SHARE", "help": "share of the tokens that are masked"},
    "max_gram": {**_COUNT, "help": "longest n-gram of whole words that is masked at once"},
    "order": {"choices": ("random", "left"), "help": "in which n-grams are masked; left: as Microsoft's code"},
    "packing": {
        "choices": tuple(PACKINGS),
        "help": "documents: those of a sequence do not see each other; text: they do",
    },
    "shuffle": {
        "type": int,
        "metavar": "MILLIONS",
        "help": "characters of text whose sequences are shuffled, in millions",
    },
    "embedding_sharing": {"choices": SHARINGS, "help": "of generator and discriminator, with rtd"},
    "updates": {"choices": UPDATES, "help": "decoupled: the generator's step comes before the discriminator's"},
    "rtd_weight": {"type": float, "metavar": "WEIGHT", "help": "weight of the discriminator's loss"},
    "temperature": {"type": float, "metavar": "T", "help": "temperature that replacements are drawn with"},
    "evaluate_every": {"type": int, "metavar": "STEPS", "help": "steps between evaluations, and between states"},
    "seed": {**_COUNT, "help": "seed of fresh weights, the order of text, masks, replacements and dropout"},
}
# What the default None of an option means.
_NO_VALUE = {
    "discriminator_learning_rate": "the same",
    "warmup_steps": "10000, or a tenth of the steps",
    "max_gram": "1 token with rtd, 3 words with mlm",
}
_TRAINED = re.compile(r"train:(\d+)")


def main(argv: Sequence[str]) -> int:
    """Runs the command; prints a line of JSON for every evaluation.

    Returns:
        0.

    Raises:
        DebertaError: see `pretrain`.
        OSError: a file cannot be read or written.
        SystemExit: bad usage (2), or `--help` (0).
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    options = {
        name: value for name, value in vars(arguments).items() if name not in ("columns", "config", "vocabulary")
    }
    if arguments.vocabulary is not None:
        found = _TRAINED.fullmatch(arguments.vocabulary)
        options |= {"vocab_size": int(found[1])} if found else {"tokenizer": arguments.vocabulary}
    options["config"] = config_values(arguments.config)
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        pretrain(
            **options,
            columns=columns_of(parser, arguments),
            report=print_row if is_main() else None,
            note=show_note if is_main() else None,
        )
    return 0


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        "pretrain",
        "--objective mlm|rtd --corpus FILE --output DIR",
        "Pretrain a model on plain text, from fresh weights or from a checkpoint.",
        _EXAMPLE,
    )
    add = parser.add_argument_group("corpus").add_argument
    add(
        "--corpus", nargs="+", required=True, metavar="FILE", help="files, folders or patterns such as 'texts/*.txt.gz'"
    )
    add_file_options(add)
    text = "of plain text: paragraph, between blank lines; or line; default: paragraph"
    add("--documents", choices=tuple(SPLITTINGS), default="paragraph", help=text)
    text = "share of the documents to judge the model by; 0: it is not judged; default: 0.01"
    add("--held-out", type=float, default=0.01, metavar="SHARE", help=text)
    text = "what cannot be read: raise ends the run, skip passes it over and says so; default: raise"
    add("--on-error", choices=ON_ERROR, default="raise", help=text)
    add("--workers", type=int, default=1, metavar="N", help="processes that tokenize ahead; default: 1")
    add = parser.add_argument_group("output").add_argument
    add("--output", type=Path, required=True, metavar="DIR", help="folder to save the model in")
    add("--resume", action="store_true", help="continue an unfinished run in the output folder")
    add("--force", action="store_true", help="replace the checkpoint in the output folder")
    add("--tensorboard", action="store_true", help="also write loss, learning rate and scores for TensorBoard")
    add = parser.add_argument_group("model").add_argument
    add_start_options(add)
    text = "of --preset: train:N trains N tokens on the corpus; or a tokenizer folder or hub id; default: the model's"
    add("--vocabulary", metavar="VOCABULARY", help=text)
    text = "folder or weight file of the generator; default: beside --model, or made of it"
    add("--generator", type=Path, metavar="DIR", help=text)
    add_framework_options(add, TRAINERS)
    add = parser.add_argument_group("training").add_argument
    defaults = {field.name: field.default for field in fields(PretrainingOptions)}
    for name, settings in OPTIONS.items():
        told = settings["help"]
        if settings.get("action") != "store_true":
            told = f"{told}; default: {_NO_VALUE.get(name, defaults[name])}".replace("e-0", "e-")
        add(flag_of(name), default=argparse.SUPPRESS, **{**settings, "help": told})
    return parser
