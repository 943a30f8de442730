"""Writes the tables of `docs/gpu.md` from `docs/gpu.json`, the runs of `tools/gpu/check.py`.

`python tools/gpu/page.py` writes the page anew; `--check` says whether it is as it would be written.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tools.benchmark.tables import MISSING, distinct, markdown  # noqa: E402 - the path comes first

Rows = list[dict[str, Any]]
_BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_NOT_MEASURED = "not measured"


def main() -> None:
    """Writes or checks the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    page = ROOT / "docs" / "gpu.md"
    old = page.read_text(encoding="utf-8")
    new = written(old, json.loads((ROOT / "docs" / "gpu.json").read_text(encoding="utf-8"))["runs"])
    if options.check and old != new:
        raise SystemExit("docs/gpu.md is not what tools/gpu/page.py writes. Run it.")
    page.write_text(new, encoding="utf-8")


def written(page: str, runs: list[dict[str, Rows]]) -> str:
    """The page with every table anew."""
    return _BLOCK.sub(lambda found: f"{found[1]}{_TABLES[found[2]]([run['rows'] for run in runs])}\n{found[3]}", page)


def _machines(runs: list[Rows]) -> str:
    machines = [next(row for row in rows if row["section"] == "machine") for rows in runs]
    names = [name for name in machines[0] if name not in ("section", "subject")]
    return markdown(["card", *names], [[one["subject"], *(str(one[name]) for name in names)] for one in machines])


def _of_card(runs: list[Rows], section: str, show: Any, column: Any = lambda row: tuple(row["cell"])) -> str:
    """A table per card: a line per subject and a column per cell."""
    parts = []
    for rows in runs:
        chosen = [row for row in rows if row["section"] == section]
        cells = list(dict.fromkeys(column(row) for row in chosen if "cell" in row or section == "mixed lengths"))
        if not chosen or not cells:
            continue
        found = {
            (row["subject"], column(row)): show(row) for row in chosen if "cell" in row or section == "mixed lengths"
        }
        lines = [
            [subject, *(found.get((subject, cell), _NOT_MEASURED) for cell in cells)]
            for subject in distinct(chosen, "subject")
        ]
        header = [_card(rows), *(cell if isinstance(cell, str) else "({}, {})".format(*cell) for cell in cells)]
        parts.append(markdown(header, lines))
    return "\n\n".join(parts)


def _card(rows: Rows) -> str:
    return next(str(row["subject"]) for row in rows if row["section"] == "machine")


def _milliseconds(row: dict[str, Any]) -> str:
    if "ms" not in row:
        return _NOT_MEASURED
    graph = f" / {row['graph_ms']:.2f}" if row.get("graph_ms") else ""
    return f"{row['ms']:.2f}{graph}"


def _megabytes(row: dict[str, Any]) -> str:
    return f"{row['mb']:,}" if "mb" in row else _NOT_MEASURED


def _step(row: dict[str, Any]) -> str:
    if "ms" not in row or "mb" not in row:
        return _NOT_MEASURED
    graph = f" / {row['graph_ms']:.1f}" if row.get("graph_ms") else ""
    return f"{row['ms']:.1f}{graph} ({row['mb']:,})"


def _numbers(runs: list[Rows]) -> str:
    header = ["card", "section", "implementation", "type", "goldens", "worst relative errors"]
    lines = []
    for rows in runs:
        for row in rows:
            if row["section"] in ("goldens", "golden gradients"):
                worst = ", ".join(f"{error} {name}" for name, error in row.get("worst", {}).items())
                count = str(row.get("goldens", row.get("gradients", MISSING)))
                lines.append(
                    [
                        _card(rows),
                        row["section"],
                        row["subject"],
                        row["dtype"],
                        count,
                        worst or row.get("error", MISSING),
                    ]
                )
    return markdown(header, lines)


def _profile(runs: list[Rows]) -> str:
    header = ["card", "what", "subject", "(B, L)", "ms", "host", "device", "busy", "kernels", "most time, ms and calls"]
    lines = []
    for rows in runs:
        for row in rows:
            if row["section"] == "profile" and "ms" in row:
                top = "; ".join(f"{name} {taken} x{count}" for name, (taken, count) in [*row["top"].items()][:3])
                numbers = [str(row[name]) for name in ("ms", "host_ms", "device_ms", "busy", "kernels")]
                cell = "({}, {})".format(*row["cell"])
                lines.append([_card(rows), row["what"], row["subject"], cell, *numbers, top])
    return markdown(header, lines or [[_NOT_MEASURED, *[MISSING] * (len(header) - 1)]])


_TABLES: dict[str, Any] = {
    "machines": _machines,
    "inference": lambda runs: _of_card(runs, "inference", _milliseconds),
    "memory": lambda runs: _of_card(runs, "inference", _megabytes),
    "mixed": lambda runs: _of_card(runs, "mixed lengths", _milliseconds, lambda row: "ms"),
    "training": lambda runs: _of_card(
        runs, "training", _step, lambda row: "({}, {}), {}".format(*row["cell"], row["batch"])
    ),
    "profile": _profile,
    "numbers": _numbers,
}

if __name__ == "__main__":
    main()
