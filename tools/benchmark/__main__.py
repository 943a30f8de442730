"""Measures everything and writes the page about it.

    make benchmark
    python -m tools.benchmark --transformers4 PYTHON --sections inference --rounds 7
    python -m tools.benchmark --quick
    python -m tools.benchmark --from-json
    python -m tools.benchmark --compare before.json after.json

`make peers` builds the environments of the other libraries; one that is not given is left out, and the page says so. A
section that is measured takes the place of what `performance.json` had of it, but what a processor with other
instructions measured is kept beside it; the others stay. With `--cells`, so do the other cells of the section, if they
were measured on the same machine with the same versions.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.benchmark.compare import compare
from tools.benchmark.libraries import ENVIRONMENTS
from tools.benchmark.page import SECTIONS, page
from tools.benchmark.process import ROOT
from tools.benchmark.routes import routes
from tools.benchmark.session import Session
from tools.benchmark.timing import features, machine, threads

JSON, PAGE, IMAGES = "performance.json", "performance.md", "images"
ROUNDS, QUICK_ROUNDS = 7, 3
QUICK_SECTIONS = ("inference", "conversion")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (what, _) in ENVIRONMENTS.items():
        if name != "ours":
            variable = f"BENCHMARK_{name.upper().replace('-', '_')}"
            usage = f"a Python with {what}; default: ${variable}"
            parser.add_argument(f"--{name}", metavar="PYTHON", default=os.environ.get(variable), help=usage)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, help="what to measure; default: everything")
    parser.add_argument("--cells", nargs="+", default=(), help="as 8x128, or v3-base:8x128; default: all")
    parser.add_argument("--rounds", type=int, help=f"runs of each subject that count; default: {ROUNDS}")
    parser.add_argument("--layers", type=int, help="layers of every model, for trying out")
    parser.add_argument("--quick", action="store_true", help="one layer, few rounds, a cell per section: to try out")
    parser.add_argument("--from-json", action="store_true", help="measure nothing; write page and plots anew")
    usage = "measure nothing; print what differs between two runs, and by more than their rounds"
    parser.add_argument("--compare", nargs=2, type=Path, metavar="FILE", help=usage)
    parser.add_argument("--output", type=Path, help="where to; default: docs, and build/benchmark with --quick")
    parser.add_argument("--text", type=Path, help="for the tokenizers: a file, every line a text")
    for version in ("v1", "v3"):
        parser.add_argument(
            f"--{version}", type=Path, help=f"for the tokenizers: a folder with the {version} vocabulary"
        )
    found = parser.parse_args(arguments)
    found.output = found.output or ROOT / ("build/benchmark" if found.quick else "docs")
    found.rounds = found.rounds or (QUICK_ROUNDS if found.quick else ROUNDS)
    found.layers = found.layers or (1 if found.quick else None)
    found.sections = found.sections or (QUICK_SECTIONS if found.quick else list(SECTIONS))
    return found


def main() -> None:
    """Measures section by section, and writes the results after each."""
    arguments = parse()
    if arguments.compare:
        print(compare(*(json.loads(file.read_text(encoding="utf-8")) for file in arguments.compare)))
        return
    given = {name: getattr(arguments, name.replace("-", "_"), None) for name in ENVIRONMENTS}
    # Not `resolve`: the interpreter of an environment is a link, and behind it the environment is lost.
    pythons = {"ours": sys.executable} | {name: str(Path(path).absolute()) for name, path in given.items() if path}
    file = arguments.output / JSON
    data: dict[str, Any] = {"sections": {}}
    if file.exists():
        data = json.loads(file.read_text(encoding="utf-8"))
    if not arguments.from_json:
        arguments.output.mkdir(parents=True, exist_ok=True)
        options = {name: getattr(arguments, name) for name in ("text", "v1", "v3")}
        for name in arguments.sections:
            with tempfile.TemporaryDirectory() as folder:
                session = Session(
                    pythons,
                    arguments.rounds,
                    Path(folder),
                    arguments.layers,
                    arguments.quick,
                    options,
                    chosen=arguments.cells,
                )
                measured = section(session, name)
            if measured["rows"]:
                keep(data, name, measured, arguments.cells)
                file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    write(data, arguments.output)


def section(session: Session, name: str) -> dict[str, Any]:
    """Measures a section; a row per subject and cell, and all that is needed to understand them."""
    facts, rows = importlib.import_module(f"tools.benchmark.sections.{name}").measure(session)
    return {
        "machine": machine({}),
        "features": features(),
        "routes": routes(),
        "threads": threads(),
        "versions": session.versions(),
        "rounds": session.rounds,
        "facts": facts,
        "rows": rows,
        "left_out": session.left_out,
    }


def keep(data: dict[str, Any], name: str, measured: dict[str, Any], cells: Sequence[str] = ()) -> None:
    """Puts a section that was measured into `data`; one of another processor goes to `data["elsewhere"]`."""
    sections, elsewhere = data["sections"], data.setdefault("elsewhere", {})
    others = {
        tuple(found["features"]): found for found in [*elsewhere.get(name, []), *filter(None, [sections.get(name)])]
    }
    known = others.pop(tuple(measured["features"]), None)
    found = sections | {name: merged(known, measured) if cells else measured}
    data["sections"] = {one: found[one] for one in SECTIONS if one in found}
    elsewhere[name] = list(others.values())


def merged(known: dict[str, Any] | None, measured: dict[str, Any]) -> dict[str, Any]:
    """A section of which some cells are measured anew; what another machine or version measured goes."""
    same = ("machine", "features", "routes", "threads", "versions", "rounds", "facts")
    if known is None or any(known.get(name) != measured[name] for name in same):
        return measured
    cells = {(row["group"], row["cell"]) for row in measured["rows"]}
    places = {f"{group}, {cell}" for group, cell in cells}
    rows = [row for row in known["rows"] if (row["group"], row["cell"]) not in cells]
    left_out = [entry for entry in known["left_out"] if entry["cell"] not in places]
    return measured | {"rows": rows + measured["rows"], "left_out": left_out + measured["left_out"]}


def write(data: dict[str, Any], folder: Path) -> None:
    """Writes the page and its plots."""
    from tools.benchmark.figures import draw

    (folder / PAGE).write_text(page(data), encoding="utf-8")
    draw(data, folder / IMAGES)
    print(folder / PAGE)


if __name__ == "__main__":
    main()
