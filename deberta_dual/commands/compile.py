"""`deberta compile`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deberta_dual.commands.parser import DATA_FORMATS, SOURCE, Parser, add_file_options, columns_of
from deberta_dual.compiling.candidates import GOALS
from deberta_dual.compiling.job import compile
from deberta_dual.pipelines.factory import PIPELINES

_EXAMPLE = f"""examples:
  deberta compile my-classifier
  deberta compile my-classifier --goal throughput --calibration dev.csv
  deberta run --task text-classification --model my-classifier --framework auto < reviews.txt

A table of what was measured is printed. int8 is tried only with --calibration, by which every dtype is then judged.
{DATA_FORMATS}
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command; prints what was measured.

    Returns:
        0.

    Raises:
        DebertaError: see `compile`.
        SystemExit: bad usage (2), or `--help` (0).
    """
    parser = make_parser()
    arguments = parser.parse_args(argv)
    columns = columns_of(parser, arguments)
    choice = compile(
        arguments.source,
        arguments.goal,
        task=arguments.task,
        calibration=arguments.calibration,
        columns=columns,
        input_format=arguments.input_format,
        largest_drop=arguments.largest_drop,
        force=arguments.force,
    )
    print(choice.why())
    return 0


def make_parser() -> Parser:
    """The parser of the command."""
    parser = Parser("compile", "SRC", "Measure how a model runs the fastest on this machine, and keep it.", _EXAMPLE)
    parser.add_argument("source", metavar="SRC", help=f"{SOURCE}; or an exported folder")
    add = parser.add_argument_group("goal").add_argument
    text = "one short text at a time, batches, or batches of texts of about 512 tokens; default: latency"
    add("--goal", choices=tuple(GOALS), default="latency", help=text)
    text = f"one of {', '.join(PIPELINES)}; default: that of SRC's head"
    add("--task", choices=tuple(PIPELINES), metavar="TASK", help=text)
    add("--force", action="store_true", help="measure anew, though the answer is known")
    add = parser.add_argument_group("accuracy").add_argument
    text = "labelled examples that judge each dtype; default: none, and int8 is not tried"
    add("--calibration", nargs="+", type=Path, metavar="FILE", help=text)
    text = "how much worse than float32 the metric may be; default: 0.005"
    add("--largest-drop", type=float, default=0.005, metavar="X", help=text)
    add_file_options(add)
    return parser
