"""The rows of a report as one HTML page without anything from outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from conformance.suite.report import Row, frameworks, versions

_DECADES = 4  # an error of a ten-thousandth of its bound, or less, has the coldest colour

_STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 2em; color: #222; background: #fff }
table { border-collapse: collapse }
th, td { padding: 2px 8px; text-align: left; white-space: nowrap; border: 1px solid #fff }
thead th { position: sticky; top: 0; background: #fff; vertical-align: bottom }
tbody th { font-weight: normal }
td { text-align: right; font-variant-numeric: tabular-nums; min-width: 3.5em; color: #111 }
td.failed { outline: 2px solid #a00; font-weight: bold }
.legend span { display: inline-block; padding: 2px 10px; color: #111 }
.verdict { font-size: 1.2em }
"""


def page(rows: Sequence[Row]) -> str:
    """The page: a line per case, a column per quantity and framework, coloured by error / bound on a log scale."""
    names = frameworks(rows)
    quantities = list(dict.fromkeys(row.quantity for row in rows))
    cases: dict[str, dict[str, Row]] = {}
    for row in rows:
        cases.setdefault(row.case, {})[row.quantity] = row
    columns = [(q, n) for q in quantities for n in names if any(row.quantity == q and n in row.errors for row in rows)]
    failed = sum(not row.passed for row in rows)
    verdict = f"{failed} of {len(rows)} rows FAILED" if failed else f"all {len(rows)} rows are within their bounds"
    head = "".join(f"<th>{escape(q)}<br>{escape(n)}</th>" for q, n in columns)
    body = "\n".join(
        f"<tr><th>{escape(case)}</th>{''.join(_cell(found.get(q), n) for q, n in columns)}</tr>"
        for case, found in cases.items()
    )
    about = ", ".join(f"{name} {version}" for name, version in versions().items())
    steps = [10.0**-power for power in range(_DECADES, -1, -1)]
    legend = "".join(f'<span style="background:{colour(step)}">{step:g}</span>' for step in steps)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Conformance</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>Conformance</h1>\n"
        f'<p class="verdict">{verdict}</p>\n<p>{escape(about)}</p>\n'
        f'<p class="legend">error / bound: {legend} more fails</p>\n'
        f"<table><thead><tr><th>case</th>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>\n</body></html>\n"
    )


def colour(share: float) -> str:
    """From blue over green and yellow to orange at the bound; red beyond it.

    Args:
        share: error / bound.
    """
    if share > 1:
        return "#e5484d"
    heat = 0.0 if share <= 0 else max(0.0, 1 + math.log10(share) / _DECADES)  # 0 cold, 1 at the bound
    return f"hsl({210 - 175 * heat:.0f} 75% 78%)"


def _cell(row: Row | None, framework: str) -> str:
    if row is None or framework not in row.errors:
        return "<td></td>"
    share = row.share(framework)
    mark = ' class="failed"' if share > 1 else ""
    told = f"{row.case}: {row.quantity}, {framework}: error {row.errors[framework]:.2e}, bound {row.bound:.0e}"
    return f'<td{mark} style="background:{colour(share)}" title="{escape(told)}">{share:.2g}</td>'
