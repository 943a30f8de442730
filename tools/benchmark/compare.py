"""Two runs of the benchmark side by side: what became faster, by more than the rounds of a run lie apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tools.benchmark.tables import MS, markdown

Row = dict[str, Any]
MISSING = "–"


def compare(before: dict[str, Any], after: dict[str, Any]) -> str:
    """A table for every section of both, and what differs between the machines."""
    parts = []
    for name, later in after["sections"].items():
        earlier = before["sections"].get(name)
        if earlier is None:
            parts.append(f"## {name}\n\nOnly in the second.")
            continue
        lines = list(_lines(earlier["rows"], later["rows"]))
        parts.append(f"## {name}\n")
        parts += _places(earlier, later)
        parts.append(markdown(["", "before, ms", "after, ms", "times as fast", ""], lines))
    parts += [f"## {name}\n\nOnly in the first." for name in before["sections"] if name not in after["sections"]]
    return "\n".join(parts)


def _places(earlier: dict[str, Any], later: dict[str, Any]) -> Iterator[str]:
    """Machines, versions and routes that are not the same: what the numbers may be due to."""
    for what in ("machine", "features", "routes", "threads", "versions"):
        one, other = earlier.get(what), later.get(what)
        if one != other:
            yield f"* {what}: {_shown(one)}; then {_shown(other)}\n"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _lines(earlier: list[Row], later: list[Row]) -> Iterator[list[str]]:
    known = {_key(row): row for row in earlier}
    for row in later:
        old = known.get(_key(row))
        name = ", ".join(_key(row))
        if "seconds" not in row or old is None:
            if old is None:
                yield [name, MISSING, f"{row['seconds'] * MS:,.1f}" if "seconds" in row else MISSING, MISSING, "new"]
            continue
        quotient = old["seconds"] / row["seconds"]
        yield [name, f"{old['seconds'] * MS:,.1f}", f"{row['seconds'] * MS:,.1f}", f"{quotient:.2f}", _said(old, row)]


def _said(old: Row, new: Row) -> str:
    """Whether the halves of the rounds that lie in the middle do not overlap."""
    (low, high), (old_low, old_high) = _half(new), _half(old)
    if high < old_low:
        return "faster"
    if low > old_high:
        return "slower"
    return "the same within the spread"


def _half(row: Row) -> tuple[float, float]:
    """Between what times half of the rounds lie."""
    middle: Any = row["seconds"]
    low, high = row.get("seconds_low"), row.get("seconds_high")
    return float(middle if low is None else low), float(middle if high is None else high)


def _key(row: Row) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("group", "cell", "subject", "what") if name in row)
