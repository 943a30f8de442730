"""What the parsers of the subcommands of `deberta` share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from deberta_core.errors import InputError
from deberta_core.json_shape import flat_json
from deberta_dual.backends import FRAMEWORKS
from deberta_dual.commands.messages import USAGE
from deberta_dual.compiling.candidates import AUTOMATIC
from deberta_dual.data.columns import parse_columns
from deberta_dual.data.formats import AUTO, INPUT_FORMATS
from deberta_dual.data.streams import UTF8

# Help that several commands give.
SOURCE = "checkpoint folder (config.json and weights), a weight file, or a hub id"
SEVERAL_MODELS: dict[str, Any] = {
    "nargs": "+",
    "action": "extend",
    "required": True,
    "metavar": "DIR",
    "help": "checkpoint folder or hub id, fine-tuned for TASK; several are an ensemble: probabilities are averaged",
}
MAX_LENGTH = "maximum sequence length in tokens; longer texts are truncated; default: the model's"
LONG_TEXTS_HELP = "of text-classification, a text longer than --max-length: cut it, read windows, or refuse it"

DATA_FORMATS = """The file name tells the format: .csv and .tsv with a header line, .jsonl (a JSON object a line), .json
(a list of objects, or SQuAD's format), .conll (words and labels), .parquet, .arrow; also compressed: .gz, .xz, .zst.
Another file is read as CoNLL if it looks so, else as lines of text or JSON objects. A folder stands for its files."""


class Parser(argparse.ArgumentParser):
    """The parser of a subcommand, whose errors are one line, as all errors of the command are.

    Args:
        name: of the subcommand.
        usage: what must be given, in short.
        description: what the command does.
        epilog: examples, and what they leave open.
    """

    def __init__(self, name: str, usage: str, description: str, epilog: str) -> None:
        super().__init__(
            prog=f"deberta {name}",
            usage=f"deberta {name} {usage} [options]",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Ends the process with status 2."""
        self.exit(USAGE, f"deberta: error: {message}. Try: {self.prog} --help\n")


def add_framework_options(add: Callable[..., object], frameworks: Sequence[str] = (*FRAMEWORKS, *AUTOMATIC)) -> None:
    """Adds what every command that runs a model takes; `add` is a parser's or a group's `add_argument`."""
    text = "PyTorch, Keras on TensorFlow, a runtime of ONNX graphs, or the fastest here; default: the first installed"
    if "onnx" not in frameworks:
        text = "PyTorch or Keras on TensorFlow; default: the first installed"
    add("--framework", choices=tuple(frameworks), help=text)
    add("--device", metavar="NAME", help="such as cpu, cuda or cuda:1; default: a GPU if there is one")


def add_data_options(add: Callable[..., object]) -> None:
    """Adds what every command that reads examples takes."""
    add_file_options(add)
    add("--encoding", default=UTF8, metavar="NAME", help="of files of text, such as latin-1 or utf-16; default: utf-8")


def add_file_options(add: Callable[..., object]) -> None:
    """Adds what every command that reads files of records takes."""
    text = "column names, such as text=review,label=stars; several make a list; default: guessed from the names"
    add("--columns", nargs="+", default=[], metavar="FIELD=COLUMN", help=text)
    text = "of the files; default: auto, by the ending of each name"
    add("--input-format", choices=INPUT_FORMATS, default=AUTO, help=text)


def columns_of(parser: Parser, arguments: argparse.Namespace) -> dict[str, list[str]]:
    """What `--columns` says; ends with status 2 where it says nothing that can be read."""
    try:
        return parse_columns(arguments.columns)
    except InputError as problem:
        parser.error(f"--{str(problem).rstrip('.')}")


def flag_of(name: str) -> str:
    """The option on the command line of an argument in Python: `top_k` is `--top-k`."""
    return f"--{name.replace('_', '-')}"


def add_start_options(add: Callable[..., object]) -> None:
    """Adds what every command that trains a model takes, to say what it starts from."""
    add("--model", metavar="DIR", help="checkpoint folder or hub id; default: see --preset")
    add("--preset", metavar="NAME", help="instead of --model: a published size, fresh weights; default: none")
    text = "fields of config.json to change, such as hidden_dropout_prob=0; default: none"
    add("--config", nargs="+", type=_pair, default=[], metavar="FIELD=VALUE", help=text)


def number_or_none(text: str) -> float | None:
    """A number of the command line, or None for "none"."""
    try:
        return None if text == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'none'") from None


def config_values(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What `--config` says, by field: each value is JSON, or else the text itself."""
    return {name: _value(text) for name, text in pairs}


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _value(text: str) -> Any:
    try:
        return flat_json(text)
    except ValueError:
        return text
