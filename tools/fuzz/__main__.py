"""The fuzzer's command line: `python -m tools.fuzz --list`, `python -m tools.fuzz TARGET --seconds 60 --seed 1`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tools.fuzz.campaign import fuzz, replay
from tools.fuzz.table import add_to, markdown, rows
from tools.fuzz.targets import target_names

_MOST = 100  # an exit status ends at 255, and shells use those above 125
_TEXT = """
An input is a folder of small files. A reader may read it, or refuse it with a DebertaError. Anything else is a failure:
  crash      the process died
  hang       no answer in 20 seconds
  memory     more than 300 MiB beyond what the process had
  effect     a file outside the folder read or written, a process, a connection, or foreign code
  exception  another type of exception
Everything follows from the seed, but for how many inputs the time is enough for.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs targets; the status is the number of distinct failures, at most 100."""
    arguments = _parser().parse_args(argv)
    if arguments.list:
        print("\n".join(target_names()))
        return 0
    if arguments.table:
        print(markdown(json.loads(arguments.table.read_text(encoding="utf-8"))))
        return 0
    names = arguments.target or target_names()
    if arguments.replay:
        result = replay(names[0], arguments.replay)
        print(f"{result.kind} {result.place}\n{result.detail}")
        return int(result.is_failure)
    report = partial(print, flush=True)
    summaries = []
    for name in names:
        summaries.append(fuzz(name, arguments.seconds, arguments.seed, arguments.out, report))
        report(str(summaries[-1]))
        if arguments.json:
            add_to(arguments.json, rows(summaries[-1:]))
    if len(names) > 1:
        print(markdown(rows(summaries)))
    return min(_MOST, sum(len(summary.failures) for summary in summaries))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tools.fuzz", description="Feeds damaged files to what reads files.",
                                     epilog=_TEXT, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    add = parser.add_argument
    add("target", nargs="*", help="what to fuzz, see --list; default: all, one after the other")
    add("--list", action="store_true", help="name the targets")
    add("--seconds", type=float, default=60, help="for each target; default: 60")
    add("--seed", type=int, default=0, help="of all inputs; default: 0")
    add("--out", type=Path, default=Path("fuzz-failures"), help="folder for inputs that fail; default: fuzz-failures")
    add("--json", type=Path, metavar="FILE", help="add what was counted to this file")
    add("--table", type=Path, metavar="FILE", help="print such a file as a Markdown table")
    add("--replay", type=Path, metavar="FOLDER", help="read an input of --out again, TARGET's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
