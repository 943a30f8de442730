"""`deberta convert`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from conformance.convert.convert import Conversion, convert, dry_run
from conformance.convert.plan import table
from deberta_core.checkpoint import FORMATS
from deberta_core.cli import FAILED, Parser
from deberta_core.errors import name_list

_EXAMPLE = """example:
  deberta convert my-keras-model my-torch-model --to safetensors --verify
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        0, or 1 if `--verify` found a difference beyond its bound.

    Raises:
        DebertaError: see `convert` and `verify`.
        SystemExit: bad usage (2), or `--help` (0).
    """
    arguments = _parser().parse_args(argv)
    if arguments.dry_run:
        _describe(dry_run(arguments.source, arguments.to))
        return 0
    done = convert(arguments.source, arguments.target, arguments.to, force=arguments.force)
    print(f"{done.source} -> {arguments.target}/{FORMATS[arguments.to].file_name}: {len(done.moves)} arrays")
    _describe_rest(done)
    if not arguments.verify:
        return 0
    # Before a framework is imported: our Keras models are promised on TensorFlow, and its C++ notices are not ours.
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from conformance.convert.verify import verify

    passed = verify(arguments.source, arguments.target)
    print("verified" if passed else f"NOT the same: do not use {arguments.target}")
    return 0 if passed else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="deberta convert",
        description="Writes the checkpoint folder SRC in another format, with its config and tokenizer files.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", help="a folder with config.json and a weight file")
    parser.add_argument("target", metavar="DST", help="the folder to make")
    parser.add_argument("--to", choices=tuple(FORMATS), required=True, help="the format of DST")
    parser.add_argument("--verify", action="store_true", help="compare both frameworks with the float64 reference")
    parser.add_argument("--force", action="store_true", help="replace DST if it is a checkpoint folder")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and write nothing")
    return parser


def _describe(planned: Conversion) -> None:
    print(table(planned.moves))
    _describe_rest(planned)


def _describe_rest(conversion: Conversion) -> None:
    if conversion.dropped:
        print(f"left out, not used by this model: {name_list(conversion.dropped)}")
    if conversion.tied:
        print(f"left out, second copies of tied parameters: {name_list(conversion.tied)}")
    print(f"copied: {', '.join(conversion.carried)}")
