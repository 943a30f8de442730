"""Which plots there are, and drawing them; only drawing needs matplotlib."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.benchmark.tables import distinct, is_baseline

Row = dict[str, Any]
MARKERS = "osD^v<>PX*hdp8H+"
RESOLUTION = 110  # dots per inch


def figures(data: dict[str, Any]) -> Iterator[tuple[str, str, str, list[Row]]]:
    """Section, table, file name and rows of every plot: of tables with several cells, or alone in their section."""
    for section, found in data["sections"].items():
        rows = [row for row in found["rows"] if row.get("ratio")]
        groups = distinct(rows, "group")
        for group in groups:
            chosen = [row for row in rows if row["group"] == group]
            if len(distinct(chosen, "cell")) > 1 or len(groups) == 1:
                name = f"performance-{section}-{group}".replace("_", "-").replace(" ", "-")
                yield section, group, f"{name}.png", chosen


def draw(data: dict[str, Any], folder: Path) -> list[Path]:
    """Writes all plots into `folder`.

    Returns:
        The files.
    """
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for section, group, name, rows in figures(data):
        shown = _lines if len(distinct(rows, "cell")) > 1 else _bars
        figure = shown(rows)
        figure.axes[0].set_title(f"{section.replace('_', ' ')}, {group}")
        figure.savefig(folder / name, dpi=RESOLUTION, bbox_inches="tight", metadata={"Software": None})
        files.append(folder / name)
    return files


def _error(rows: Sequence[Row]) -> list[list[float]]:
    """Distances from the median to the quartiles."""
    return [
        [row["ratio"] - row["ratio_low"] for row in rows],
        [row["ratio_high"] - row["ratio"] for row in rows],
    ]


def _label(rows: Sequence[Row]) -> str:
    names = [row["subject"] for row in rows if is_baseline(row)]
    return f"times as fast as {names[0]}" if names else "times as fast"


def _lines(rows: Sequence[Row]) -> Any:
    """A column per cell, a colour per subject, quartiles as bars."""
    from matplotlib.figure import Figure

    cells, subjects = distinct(rows, "cell"), distinct(rows, "subject")
    figure = Figure(figsize=(1.5 + 1.2 * len(cells), 5.5))
    axes = figure.subplots()
    for number, subject in enumerate(subjects):
        chosen = [row for row in rows if row["subject"] == subject]
        shift = (number - len(subjects) / 2) * 0.6 / len(subjects)
        places = [cells.index(row["cell"]) + shift for row in chosen]
        style = "black" if is_baseline(chosen[0]) else f"C{number % 10}"
        axes.errorbar(
            places,
            [row["ratio"] for row in chosen],
            _error(chosen),
            fmt=MARKERS[number % len(MARKERS)],
            color=style,
            markersize=7 if subject.startswith("ours") else 4,
            label=subject,
        )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(cells)), cells)
    axes.set_xlabel("batch × length")
    axes.set_ylabel(_label(rows))
    axes.grid(axis="y", which="both", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return figure


def _bars(rows: Sequence[Row]) -> Any:
    """A bar per subject."""
    from matplotlib.figure import Figure

    names = [row["subject"] for row in rows]
    figure = Figure(figsize=(7, 0.8 + 0.35 * len(names)))
    axes = figure.subplots()
    colours = ["C0" if name.startswith("ours") else "0.6" for name in names]
    axes.barh(names, [row["ratio"] for row in rows], xerr=_error(rows), color=colours)
    axes.invert_yaxis()
    axes.set_xlabel(_label(rows))
    return figure
