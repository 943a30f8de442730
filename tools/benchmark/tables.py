"""Tables in Markdown, made of the rows of a section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

Row = dict[str, Any]
MISSING = "–"
MS = 1000


def distinct(rows: Iterable[Row], field: str) -> list[Any]:
    """The values of a field in the order in which they come first."""
    return list(dict.fromkeys(row[field] for row in rows))


def markdown(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; all columns but the first are numbers."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))


def across(rows: Sequence[Row], show: Callable[[Row], str | None], columns: str = "cell") -> str:
    """A line per subject and a column per cell; lines that would be empty are left out."""
    found = {(row["subject"], row[columns]): show(row) for row in rows}
    names = distinct(rows, columns)
    lines = []
    for subject in distinct(rows, "subject"):
        values = [found.get((subject, name)) for name in names]
        if any(values):
            lines.append([subject, *(value or MISSING for value in values)])
    return markdown(["", *names], lines)


def speed(row: Row) -> str:
    """How many times as fast as the baseline; its own time, and all times where there is no baseline."""
    return f"{row['seconds'] * MS:,.1f} ms" if is_baseline(row) else f"{row['ratio']:.2f}"


def is_baseline(row: Row) -> bool:
    """Whether a row is what others are compared with, or cannot be compared."""
    return row.get("baseline") in (None, row["subject"])


def memory(row: Row) -> str | None:
    """Peak memory in MB."""
    return None if row.get("memory") is None else f"{row['memory']:,.0f}"


def difference(row: Row) -> str | None:
    """The largest difference, to two digits; that of a float32 subject to itself is not shown."""
    return f"{row['difference']:.1e}" if row.get("difference") else None


def largest_differences(rows: Sequence[Row]) -> list[Row]:
    """A row per subject and table, with the largest difference of its cells."""
    worst: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["subject"], row["group"]
        if row.get("difference", 0) > worst.get(key, {"difference": 0})["difference"]:
            worst[key] = row
    return list(worst.values())


def down(rows: Sequence[Row]) -> str:
    """Of a single cell: a line per subject with everything that was measured."""
    columns: dict[str, Callable[[Row], str | None]] = {
        "ms": lambda row: f"{row['seconds'] * MS:,.1f}",
        "tokens a second": lambda row: f"{row['tokens'] / row['seconds']:,.0f}" if row.get("tokens") else None,
        "times as fast": lambda row: MISSING if is_baseline(row) else f"{row['ratio']:.2f}",
        "half of the rounds": lambda row: (
            MISSING if _has_one_round(row) else f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}"
        ),
        "times as fast by processor time": _by_processor,
        "processor, ms": lambda row: f"{row['processor'] * MS:,.1f}" if "processor" in row else None,
        "files, MB": lambda row: f"{row['size']:,.0f}" if "size" in row else None,
        "memory, MB": memory,
        "difference": difference,
    }
    used = {name: show for name, show in columns.items() if any(show(row) not in (None, MISSING) for row in rows)}
    lines = [[row["subject"], *(show(row) or MISSING for show in used.values())] for row in rows]
    return markdown(["", *used], lines)


def _by_processor(row: Row) -> str | None:
    """Where tokens are counted; on a machine that does other things, too, it tells more than the time that passed."""
    if not row.get("tokens"):
        return None
    return MISSING if is_baseline(row) else f"{row['processor_ratio']:.2f}"


def _has_one_round(row: Row) -> bool:
    return is_baseline(row) or row["ratio_low"] == row["ratio_high"]


def conversions(rows: Sequence[Row]) -> str:
    """Seconds of each conversion, compared with copying the file, and its memory."""
    lines = [[row["what"], f"{row['seconds']:.2f}", f"{row['copies']:.1f}", f"{row['memory']:,.0f}"] for row in rows]
    return markdown(["", "seconds", "times `cp`", "peak MB"], lines)
