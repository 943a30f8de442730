"""An evaluation to be read: a table of text, and a page with plots that stands by itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from deberta_core.errors import InputError
from deberta_core.files import write_text
from deberta_core.transaction import replace_files
from deberta_dual.evaluation.job import Evaluation

PAGE = "index.html"
_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#222;background:#fff}
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #ccc}
th:first-child,td:first-child{text-align:left}svg{max-width:100%;height:auto}
@media (prefers-color-scheme:dark)
{body{color:#ddd;background:#181818}th,td{border-color:#444}svg{filter:invert(.87)}}"""
_SIDE, _EDGE = 320, 40  # of a plot, in pixels
MOST_CLASSES = 30  # of a confusion matrix that is drawn


def as_text(found: Evaluation) -> str:
    """Metrics and classes as aligned lines."""
    lines = [f"{len(found.records):,} examples, {found.truncated:,} of them cut"]
    lines += [f"  {name:<24}{value:>10.4f}" for name, value in found.metrics.items()]
    for name, row in found.judgement.classes.items():
        lines.append(f"  {name:<24}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    return "\n".join(lines)


def write_report(found: Evaluation, folder: str | Path) -> Path:
    """Writes a page, `index.html`, without anything to load from elsewhere.

    Raises:
        InputError: the folder cannot be written.
    """
    parts = [
        f"<h1>{escape(found.task)}</h1><p>{len(found.records):,} examples, {found.truncated:,} of them cut.</p>",
        _table(["metric", ""], [[name, f"{value:.4f}"] for name, value in found.metrics.items()]),
        _classes(found),
        _confusion(found),
        _reliability(found),
        _lengths(found),
        _mistakes(found),
    ]
    title = f"{escape(found.task)}: evaluation"
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    with replace_files(folder, InputError) as staging:
        page = f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head><body>{"".join(parts)}</body>'
        write_text(staging / PAGE, page + "</html>\n")
    return Path(folder) / PAGE


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _classes(found: Evaluation) -> str:
    if not (rows := found.judgement.classes):
        return ""
    titles = [*next(iter(rows.values()))]
    cells = [[name, *(f"{row.get(title, float('nan')):.4g}" for title in titles)] for name, row in rows.items()]
    return "<h2>Classes</h2>" + _table(["class", *titles], cells)


def _confusion(found: Evaluation) -> str:
    if found.judgement.confusion is None or len(found.judgement.confusion[0]) > MOST_CLASSES:
        return ""
    names, counts = found.judgement.confusion
    totals = [max(sum(row), 1) for row in counts]
    rows = []
    for name, row, total in zip(names, counts, totals, strict=True):
        shares = "".join(
            f'<td style="background:rgba(30,100,200,{count / total * 0.7:.2f})">{count:,}</td>' for count in row
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{shares}</tr>')
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names[: len(counts[0])])
    table = f"<table><thead><tr><th>true \\ found</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<h2>Confusion matrix</h2>{table}"


def _reliability(found: Evaluation) -> str:
    if not (bins := found.judgement.reliability):
        return ""
    points = " ".join(f"{_x(confidence):.1f},{_y(share):.1f}" for confidence, share, _ in bins)
    most = max(count for _, _, count in bins)
    dots = "".join(
        f'<circle cx="{_x(c):.1f}" cy="{_y(s):.1f}" r="{3 + 6 * np.sqrt(n / most):.1f}" fill="#1e64c8"/>'
        for c, s, n in bins
    )
    diagonal = f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" stroke="#999" stroke-dasharray="4"/>'
    line = f'<polyline points="{points}" fill="none" stroke="#1e64c8"/>'
    texts = _plot("confidence", "share of right answers", f"{diagonal}{line}{dots}")
    temperature = found.judgement.temperature
    told = "" if temperature is None else f"<p>Temperature: {temperature:.3f}.</p>"
    return f"<h2>Reliability</h2>{texts}{told}"


def _lengths(found: Evaluation) -> str:
    lengths = [sum(len(str(value)) for value in record.values.values()) for record in found.records]
    counts, edges = np.histogram(lengths, bins=20)
    top = max(int(counts.max()), 1)
    width = (_SIDE - _EDGE) / len(counts)
    bars = "".join(
        f'<rect x="{_x(0) + n * width:.1f}" y="{_y(c / top):.1f}" width="{width - 1:.1f}" '
        f'height="{_y(0) - _y(c / top):.1f}" fill="#1e64c8"/>'
        for n, c in enumerate(counts)
    )
    ends = f"characters of an example, {edges[0]:.0f} to {edges[-1]:.0f}"
    return "<h2>Lengths</h2>" + _plot(ends, f"examples, up to {top:,}", bars)


def _mistakes(found: Evaluation) -> str:
    rows = [
        [str(row["place"]), " | ".join(f"{name}: {value!s:.200}" for name, value in row.items() if name in entries)]
        for row in found.mistakes(20)
        for entries in [[name for name in row if name not in ("line", "place", "severity")]]
    ]
    return "<h2>Worst mistakes</h2>" + _table(["place", "example"], rows) if rows else ""


def _plot(below: str, beside: str, inside: str) -> str:
    axes = f'<path d="M{_x(0)},{_y(1)}V{_y(0)}H{_x(1)}" fill="none" stroke="#222"/>'
    texts = (
        f'<text x="{_x(0.5)}" y="{_SIDE + 25}" text-anchor="middle">{escape(below)}</text>'
        f'<text transform="translate(16,{_y(0.5)}) rotate(-90)" text-anchor="middle">{escape(beside)}</text>'
    )
    label = escape(f"{beside} by {below}")
    size = f'viewBox="0 0 {_SIDE + 20} {_SIDE + 40}" width="{_SIDE + 20}" font-size="14"'
    return f'<svg role="img" aria-label="{label}" {size}>{axes}{inside}{texts}</svg>'


def _x(share: float) -> float:
    return _EDGE + share * (_SIDE - _EDGE)


def _y(share: float) -> float:
    return _SIDE - share * (_SIDE - _EDGE)
