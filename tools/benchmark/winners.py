"""Who is first in every cell where all ways are side by side, and how far the choice of `compile` is off.

By the ratios of the table, which are taken round by round, and not by times of different minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tools.benchmark import tables
from tools.benchmark.tables import distinct

Row = dict[str, Any]
LARGEST_ERROR = 0.1  # of the largest output: beyond, a way is too coarse to be first
OURS, CHOSEN = "ours", "ours, compile()"
FIXED = "fixed shape"
AHEAD = 1.2  # what one text should have
CLOSE = 0.05  # how far the choice of `compile` may be from the best
# What `compile` chooses among, and the line of each: of any shape, and without 8 bits, which nobody judged.
CANDIDATES = {
    f"{framework} {dtype}": name if dtype == "float32" else f"{name}, {dtype}"
    for framework, name in {
        "torch": "ours, optimized",
        "onnx": "ours, graph in ONNX Runtime",
        "openvino": "ours, graph in OpenVINO",
    }.items()
    for dtype in ("float32", "bfloat16")
}


def body(rows: Sequence[Row]) -> Iterator[str]:
    """Sentences, the table with the first of each cell in bold, what `compile` chose, and the errors."""
    yield "\n".join(f"* {sentence}" for sentence in sentences(rows))
    firsts = {id(best(rows, cell, group)) for cell in distinct(rows, "cell") for group in (EXACT, ANY)}

    def show(row: Row) -> str:
        shown = tables.speed(row)
        return f"**{shown}**" if id(row) in firsts else shown

    yield tables.across(rows, show)
    yield "Bold: the first in float32, and the first of all whose error is below 0.1. `compile()` chose:"
    yield tables.across(rows, lambda row: row.get("note"))
    yield "Largest error against the float64 reference, by its largest number:"
    yield tables.across(rows, tables.difference)


def sentences(rows: Sequence[Row]) -> Iterator[str]:
    """What can be claimed."""
    for name in GROUPS:
        ahead = _ahead(rows, name)
        if ahead:
            yield f"{name}, the best of ours is {_places(ahead, 1.0)} the best of the others."
    one = _ahead([row for row in rows if row["texts"] == 1], ANY)
    if one:
        reached = all(value >= AHEAD for _, value in one)
        lowest = min(value for _, value in one)
        yield (
            f"At one text the best of ours is at least {lowest:.2f} times as fast as the best of the others in any "
            f"precision; {AHEAD} is {'reached' if reached else 'not reached'}."
        )
    choice = _off(rows, lambda row: CANDIDATES[row["note"]])
    again = _off(rows, lambda row: str(row["subject"]))
    if choice:
        yield f"What `compile()` chose is, by its own line, {_distance(choice)}."
    if again:
        yield f"The line of `compile()`, which measures the same once more, is {_distance(again)}."


EXACT, ANY = "In float32", "In any precision"
FREE = "In float32 without a fixed shape"
GROUPS: dict[str, Callable[[Row], bool]] = {
    EXACT: lambda row: bool(row["exact"]),
    FREE: lambda row: bool(row["exact"]) and FIXED not in row["subject"],
    ANY: lambda row: row.get("difference", 0.0) < LARGEST_ERROR,
}


def best(rows: Sequence[Row], cell: str, group: str, ours: bool | None = None) -> Row | None:
    """The fastest of a group in a cell; of ours alone, of others alone, or of all."""
    chosen = [
        row
        for row in rows
        if row["cell"] == cell
        and row["subject"] != CHOSEN
        and GROUPS[group](row)
        and ours in (None, row["subject"].startswith(OURS))
    ]
    return max(chosen, key=lambda row: float(row["ratio"]), default=None)


def _ahead(rows: Sequence[Row], group: str) -> list[tuple[str, float]]:
    found = []
    for cell in distinct(rows, "cell"):
        own, other = best(rows, cell, group, True), best(rows, cell, group, False)
        if own and other:
            found.append((cell, own["ratio"] / other["ratio"]))
    return found


def _places(ahead: Sequence[tuple[str, float]], bar: float) -> str:
    """In how many cells it is first, where not, and by how much."""
    first = [value for _, value in ahead if value >= bar]
    values = [value for _, value in ahead]
    behind = ", ".join(f"{cell} ({value:.2f})" for cell, value in ahead if value < bar)
    said = f"first in {len(first)} of {len(ahead)} cells"
    said += f" (not at {behind})" if behind else ""
    return f"{said}, {min(values):.2f} to {max(values):.2f} times as fast as"


def _distance(off: dict[str, float]) -> str:
    """In how many cells it is close to the best, and where it is farthest."""
    worst = max(off, key=lambda cell: off[cell])
    close = sum(value <= CLOSE for value in off.values())
    said = f"within {CLOSE:.0%} of the best of the candidates in {close} of {len(off)} cells"
    return f"{said}; the farthest is {max(0.0, off[worst]):.0%} at {worst}"


def _off(rows: Sequence[Row], line: Callable[[Row], str]) -> dict[str, float]:
    """By what share in each cell the line of a choice takes longer than the best of the candidates."""
    found = {}
    for chosen in rows:
        if chosen["subject"] == CHOSEN:
            own = {row["subject"]: float(row["ratio"]) for row in rows if row["cell"] == chosen["cell"]}
            others = [own[name] for name in CANDIDATES.values() if name in own]
            if others and line(chosen) in own:
                found[chosen["cell"]] = max(others) / own[line(chosen)] - 1
    return found
