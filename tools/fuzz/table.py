"""The table of a session: as JSON, and as Markdown for `docs/reliability.md`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.fuzz.campaign import Summary

_COLUMNS = ("target", "inputs", "distinct refusals", "failures", "slowest (s)", "largest (MiB)")


def rows(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """A row for each target, in the words of the table."""
    return [
        dict(zip(_COLUMNS, (summary.target, summary.inputs, len(summary.refusals), len(summary.failures),
                            round(summary.slowest, 2), round(summary.largest, 1)), strict=True))
        for summary in summaries
    ]  # fmt: skip


def add_to(file: Path, new: Sequence[dict[str, Any]]) -> None:
    """Writes rows into a file of JSON; those of targets that are there already are added up."""
    found: dict[str, dict[str, Any]] = {}
    old = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    for row in (*old, *new):
        other = found.setdefault(row["target"], row)
        if other is not row:
            most = {name: max(row[name], other[name]) for name in _COLUMNS[2:]}
            found[row["target"]] = {**row, "inputs": row["inputs"] + other["inputs"], **most}
    file.write_text(json.dumps(list(found.values()), indent=1) + "\n", encoding="utf-8")


def markdown(table: Sequence[dict[str, Any]]) -> str:
    """The rows as Markdown, with the number of all inputs below."""
    lines = [_line(_COLUMNS), _line(["---", *["---:"] * (len(_COLUMNS) - 1)])]
    lines += [_line([row[name] for name in _COLUMNS]) for row in table]
    total = ["all", sum(row["inputs"] for row in table), sum(row["distinct refusals"] for row in table),
             sum(row["failures"] for row in table), max((row["slowest (s)"] for row in table), default=0),
             max((row["largest (MiB)"] for row in table), default=0)]  # fmt: skip
    return "\n".join([*lines, _line(total)])


def _line(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else str(cell) for cell in cells)} |"
