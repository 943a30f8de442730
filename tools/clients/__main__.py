"""Runs every client in its environments, and writes what was checked into docs/clients.md.

A client is a script beside this file with a constant `ENVIRONMENTS`, names of `requirements/*.txt`. It prints lines of
JSON, see `report`; other lines are for people.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- clients -->", "<!-- end of clients -->"
_OWN = ("__init__", "__main__", "report", "resolve", "tiny")


def scripts(folder: Path = FOLDER) -> dict[Path, tuple[str, ...]]:
    """The clients and their environments, read without running them: they import what is not here.

    Raises:
        SystemExit: a script does not name its environments.
    """
    found = {}
    for file in sorted(folder.glob("*.py")):
        if file.stem not in _OWN:
            found[file] = _environments(file)
    return found


def _environments(file: Path) -> tuple[str, ...]:
    for part in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(part, ast.Assign) and [ast.unparse(target) for target in part.targets] == ["ENVIRONMENTS"]:
            return tuple(ast.literal_eval(part.value))
    raise SystemExit(f'{file} does not say where it runs. Add: ENVIRONMENTS = ("hf4", "hf5")')


def run(file: Path, python: Path) -> list[dict[str, Any]]:
    """The lines of JSON that a client prints.

    Raises:
        SystemExit: it failed, or printed none.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}
    # -P: a name in the folder of clients must not hide a package.
    done = subprocess.run([python, "-P", file], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"client"')]
    if done.returncode or not rows:
        raise SystemExit(f"{file.stem} failed with {python}: status {done.returncode}, {len(rows)} results.")
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line for each client and version."""
    lines = ["| client | version | takes | checked |", "|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: (row["client"], row["version"])):
        checks = "; ".join(row["checks"])
        lines.append(f"| {row['client']} | {row['version']} | {row.get('takes', 'the model')} | {checks} |")
    return "\n".join(lines)


def filled(page: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The page with the table between its marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table(rows)}\n{END}{rest.split(END)[1]}"


def main() -> int:
    """Runs them all; the page is written if all pass."""
    parser = argparse.ArgumentParser(prog="python -m tools.clients", description=__doc__.splitlines()[0])
    parser.add_argument("--environments", type=Path, default=ROOT / ".venv-clients", help="folder of environments")
    parser.add_argument("clients", nargs="*", help="names of clients; default: all, and the page is written")
    arguments = parser.parse_args()
    rows = []
    for file, names in scripts().items():
        if arguments.clients and file.stem not in arguments.clients:
            continue
        for name in names:
            print(f"{file.stem} in {name}", file=sys.stderr, flush=True)
            rows += run(file, arguments.environments / name / "bin" / "python")
    if not arguments.clients:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
