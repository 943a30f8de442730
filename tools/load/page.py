"""The numbers of `docs/serving.md`: kept in `docs/serving.json`, written as tables between two marks.

`python -m tools.load.page` writes the page anew, without measuring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.load.texts import ROOT

JSON = ROOT / "docs/serving.json"
PAGE = ROOT / "docs/serving.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
NAMES = {
    "auto": "`deberta serve --framework auto`",
    "workers": "`deberta serve --framework auto --workers 2`",
    "float32": "`deberta serve --workers 2`, PyTorch in float32",
    "queue": "plain, a text at a time",
    "batches": "plain, batches of what came within 1 ms",
    "threads": "plain, a thread for each request",
}
OWN = ("auto", "workers", "float32")


def taken(file: Path, name: str) -> dict[str, Any]:
    """What earlier runs found."""
    found = json.loads(file.read_text(encoding="utf-8")).get(name, {}) if file.is_file() else {}
    return dict(found)


def put(file: Path, name: str, found: Any) -> None:
    """Keeps what a run found under its name, beside what others did."""
    content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    content[name] = found
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write_page(file: Path = JSON, page: Path = PAGE) -> None:
    """Writes the page's part of numbers; nothing where the numbers are not those beside the page."""
    if file == JSON:
        page.write_text(filled(page.read_text(encoding="utf-8"), file), encoding="utf-8")


def filled(text: str, file: Path = JSON) -> str:
    """A page with the numbers of a file."""
    before, rest = text.split(BEGIN)
    content = json.loads(file.read_text(encoding="utf-8"))
    parts = [make(content) for name, make in (("load", load), ("soak", soak)) if name in content]
    return f"{before}{BEGIN}\n\n" + "\n\n".join(parts or ["Not measured yet."]) + f"\n\n{END}{rest.split(END)[1]}"


def load(content: Mapping[str, Any]) -> str:
    """Servers side by side, and what ours does within the times of the others."""
    about, servers = content["load_of"], content["load"]
    least, median, most, longest = about["tokens"]
    rows = [
        [NAMES[name], run["clients"], run["per_second"], run["p50_ms"], run["p99_ms"], run["errors"]]
        for name, found in servers.items()
        for run in found["runs"]
    ]
    lines = [
        f"A classifier of v3-base's width with {about['layers']} layers and random weights, on {about['machine']} with "
        f"{about['cores']} cores, which the clients share.",
        f"{about['texts']} texts of {least} to {longest} tokens (median {median}, a tenth above {most}), one in each "
        "request.",
        "",
        *_table(["server", "clients", "answers a second", "p50, ms", "p99, ms", "errors"], rows),
        "",
        "The most that `deberta serve` answered with a p99 no longer than the other's:",
        "",
        *_table(["beside", "clients of it", "p99, ms", "answers a second", "ours", "times as many"], _equal(servers)),
    ]
    return "\n".join(lines)


def _equal(servers: Mapping[str, Any]) -> list[list[Any]]:
    rows = []
    for own in [name for name in OWN if name in servers]:
        for name in [name for name in servers if name not in OWN]:
            for run in servers[name]["runs"]:
                within = [one for one in servers[own]["runs"] if one["p99_ms"] <= run["p99_ms"]]
                best = max(within, key=lambda one: one["per_second"], default=None)
                ours = "–" if best is None else f"{best['per_second']} ({own}, {best['clients']} clients)"
                times = "–" if best is None else f"{best['per_second'] / run['per_second']:.1f}"
                rows.append([NAMES[name], run["clients"], run["p99_ms"], run["per_second"], ours, times])
    return rows


def soak(content: Mapping[str, Any]) -> str:
    """Half an hour in a sentence, and each kind of bad client."""
    found = content["soak"]
    bad = [(name.rpartition(": ")[0], name.rpartition(": ")[2], count) for name, count in found["answers"].items()]
    lines = [
        f"{found['minutes']:g} minutes at {found['rate']:g} requests a second to three small models (`/predict`, "
        "`/embed`, `/v1/embeddings`, `/tokens`, `/fill`, `/explain`), beside other work on the machine, with "
        f"{found['bad']} bad clients among {found['good']} good requests: {found['surprises']} answers that should not "
        f"be. Resident memory was {found['warm_mb']:g} MB after a sixth of the time and {found['end_mb']:g} MB at the "
        f"end ({found['growth_percent']:+g} %), in the last two thirds by {found['mb_an_hour']:+g} MB an hour (least "
        f"squares); p50 {found['p50_ms']:g} ms, p99 {found['p99_ms']:g} ms.",
        "",
        *_table(["client", "status", "times"], [list(row) for row in bad if row[0]]),
    ]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [f"| {' | '.join(map(str, row))} |" for row in (head, ["---"] * len(head), *rows)]


if __name__ == "__main__":
    write_page()
