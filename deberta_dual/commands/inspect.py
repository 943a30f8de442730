"""`deberta inspect`: what a checkpoint holds, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from conformance.convert.inspection import Inspection, inspect
from deberta_core.checkpoint import checkpoint_folder
from deberta_core.errors import name_list
from deberta_dual.commands.messages import FAILED
from deberta_dual.commands.parser import SOURCE, Parser

_EXAMPLE = """examples:
  deberta inspect my-model --check-values
"""
_SHOWN = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        0, or 1 if there are problems.

    Raises:
        DebertaError: see `inspect`.
        SystemExit: bad usage (2), or `--help` (0).
    """
    arguments = make_parser().parse_args(argv)
    source = checkpoint_folder(arguments.source, with_config=arguments.config is None)
    found = inspect(source, arguments.config, arguments.check_values)
    print(json.dumps(asdict(found), indent=2, ensure_ascii=False) if arguments.json else _text(found))
    return FAILED if found.problems else 0


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser(
        "inspect", "SRC", "Show what a checkpoint holds: configuration, parameters, sizes, problems.", _EXAMPLE
    )
    add = parser.add_argument
    add("source", metavar="SRC", help=SOURCE)
    add("--config", type=Path, metavar="FILE", help="config.json; default: the one beside the weights")
    add("--check-values", action="store_true", help="read all numbers too, and look for NaN")
    add("--json", action="store_true", help="print one JSON object instead of a table")
    return parser


def _text(found: Inspection) -> str:
    width = max((len(tensor.name) for tensor in found.tensors), default=0)
    shards = f", {len(found.shards)} files" if found.shards else ""
    lines = [
        f"{found.file}: {found.format}{shards}",
        f"{found.model}: {', '.join(f'{name}={found.config[name]}' for name in _SHOWN)}",
        "",
        *(f"{t.name:<{width}}  {t.dtype:<9}{t.size:>12,}  {t.shape}" for t in found.tensors),
        "",
        f"{found.parameters:,} parameters, {found.size:,} bytes in {len(found.tensors)} arrays: "
        + ", ".join(f"{count} of {dtype}" for dtype, count in found.dtypes.items()),
    ]
    if found.dropped:
        lines.append(f"not used by this model: {name_list(found.dropped)}")
    if found.tied:
        lines.append(f"second copies of tied parameters: {name_list(found.tied)}")
    lines += [f"PROBLEM, {kind} ({len(names)}): {name_list(names)}" for kind, names in found.problems.items()]
    return "\n".join([*lines, *([] if found.problems else ["no problems"])])
