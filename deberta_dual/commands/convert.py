"""`deberta convert`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from conformance.convert.convert import KEEP, Conversion, Options, convert, dry_run
from conformance.convert.plan import table
from conformance.convert.stream import DTYPES
from conformance.convert.verify import verify
from deberta_core.checkpoint import FORMATS
from deberta_core.errors import name_list
from deberta_core.tasks import TASKS
from deberta_dual.commands.parser import FAILED, Parser
from deberta_dual.progress import ByteProgress

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
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.verify and (arguments.dtype or arguments.add_head or arguments.drop_head):
        parser.error("--verify compares with the source, so it does not go with --dtype, --add-head or --drop-head")
    options = Options(
        config=arguments.config,
        dtype=arguments.dtype,
        max_shard_size=arguments.max_shard_size,
        task=None if arguments.drop_head else arguments.add_head or KEEP,
        initialize=arguments.initialize,
    )
    planned = dry_run(arguments.source, arguments.to, options)
    if arguments.dry_run:
        print(table(planned.moves))
        _describe_rest(planned)
        return 0
    with ByteProgress(planned.size) as progress:
        done = convert(
            arguments.source, arguments.target, arguments.to, arguments.force, options, count=progress.advance
        )
    row = FORMATS[arguments.to]
    files = row.file_name if done.files == 1 else f"{row.index_name} and {done.files} files"
    print(f"{done.source} -> {arguments.target}/{files}: {len(done.moves)} arrays")
    _describe_rest(done)
    if not arguments.verify:
        return 0
    passed = verify(arguments.source, arguments.target)
    print("verified" if passed else f"NOT the same: do not use {arguments.target}")
    return 0 if passed else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="deberta convert",
        description="Writes the checkpoint SRC in another format, with its config and tokenizer files.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", help="a folder with config.json and weights, or a weight file")
    parser.add_argument("target", metavar="DST", help="the folder to make")
    parser.add_argument("--to", choices=tuple(FORMATS), required=True, help="the format of DST")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the config.json, if it is not beside SRC's weights"
    )
    parser.add_argument("--dtype", choices=DTYPES, help="round the numbers; h5 holds float32 only")
    parser.add_argument(
        "--max-shard-size", metavar="SIZE", help="above it write several files and an index, such as 5GB"
    )
    heads = parser.add_mutually_exclusive_group()
    heads.add_argument("--add-head", choices=tuple(TASKS), metavar="TASK", help=f"write a model for {', '.join(TASKS)}")
    heads.add_argument("--drop-head", action="store_true", help="write the backbone alone")
    parser.add_argument("--initialize", type=int, metavar="SEED", help="draw parameters SRC lacks at random")
    parser.add_argument("--verify", action="store_true", help="compare both frameworks with the float64 reference")
    parser.add_argument("--force", action="store_true", help="replace DST if it is a checkpoint folder")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and write nothing")
    return parser


def _describe_rest(conversion: Conversion) -> None:
    lines = {
        "left out, not used by this model": conversion.dropped,
        "left out, second copies of tied parameters": conversion.tied,
        "new, train them before use": conversion.added,
        "hold NaN, kept as they are": conversion.not_numbers,
    }
    for what, names in lines.items():
        if names:
            print(f"{what}: {name_list(names)}")
    print(f"copied: {', '.join(conversion.carried)}")
