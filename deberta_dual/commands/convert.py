"""`deberta convert`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from conformance.convert.convert import CARRIED, KEEP, Conversion, Options, convert, dry_run
from conformance.convert.plan import table
from conformance.convert.stream import DTYPES
from conformance.convert.verify import installed_frameworks, verify
from deberta_core.checkpoint import FORMATS, checkpoint_folder
from deberta_core.errors import name_list
from deberta_core.tasks import TASKS
from deberta_dual.commands.messages import FAILED
from deberta_dual.commands.parser import SOURCE, Parser
from deberta_dual.progress import ByteProgress

_EXAMPLE = """examples:
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
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.verify and (arguments.config or arguments.dtype or arguments.add_head or arguments.drop_head):
        flags = "--config, --dtype, --add-head or --drop-head"
        parser.error(f"--verify compares with the source as it is, so it does not go with {flags}")
    if arguments.verify:
        installed_frameworks()  # before anything is written
    options = Options(
        config=arguments.config,
        dtype=arguments.dtype,
        max_shard_size=arguments.max_shard_size,
        task=None if arguments.drop_head else arguments.add_head or KEEP,
        initialize=arguments.initialize,
    )
    source = checkpoint_folder(arguments.source, with_config=arguments.config is None, also=CARRIED)
    planned = dry_run(source, arguments.to, options)
    if arguments.dry_run:
        print(table(planned.moves))
        _describe_rest(planned)
        return 0
    with ByteProgress(planned.size) as progress:
        done = convert(source, arguments.target, arguments.to, arguments.force, options, count=progress.advance)
    row = FORMATS[arguments.to]
    files = row.file_name if done.files == 1 else f"{row.index_name} and {done.files} files"
    print(f"{done.source} -> {arguments.target}/{files}: {len(done.moves)} arrays")
    _describe_rest(done)
    if not arguments.verify:
        return 0
    passed = verify(source, arguments.target)
    print("verified" if passed else f"NOT the same: do not use {arguments.target}")
    return 0 if passed else FAILED


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        "convert",
        "SRC DST --to FORMAT",
        "Write a checkpoint in another format, with its config.json and tokenizer files.",
        _EXAMPLE,
    )
    parser.add_argument("source", metavar="SRC", help=SOURCE)
    parser.add_argument("target", metavar="DST", help="folder to write")
    add = parser.add_argument_group("format").add_argument
    add("--to", choices=tuple(FORMATS), required=True, help="format of the weights in DST")
    add("--config", type=Path, metavar="FILE", help="config.json of SRC; default: the one beside its weights")
    add("--dtype", choices=DTYPES, help="float type to round to; default: as stored; h5 holds float32 only")
    add("--max-shard-size", metavar="SIZE", help="largest weight file, such as 5GB; default: one file for all")
    group = parser.add_argument_group("head")
    add = group.add_mutually_exclusive_group().add_argument
    add("--add-head", choices=tuple(TASKS), metavar="TASK", help=f"one of {', '.join(TASKS)}; default: SRC's")
    add("--drop-head", action="store_true", help="write the backbone alone")
    text = "draw parameters that SRC lacks at random; default: refuse"
    group.add_argument("--initialize", type=int, metavar="SEED", help=text)
    add = parser.add_argument_group("checks").add_argument
    add(
        "--verify",
        action="store_true",
        help="compare the outputs of what is installed with the float64 reference",
    )
    add("--dry-run", action="store_true", help="print what would be done, and write nothing")
    add("--force", action="store_true", help="replace DST if all it holds is of a checkpoint")
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
