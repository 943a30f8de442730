"""Asks pip whether our wheel installs beside the packages that people have: `python -m tools.clients.resolve WHEEL`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

# What our users have, the extra of ours that goes with it.
CLIENTS: dict[str, str] = {
    "transformers==4.57.1": "torch",
    "transformers>=5": "torch",
    "sentence-transformers": "torch",
    "setfit": "torch",
    "gliner": "torch",
    "peft": "torch",
    "keras-hub": "tf",
}
_SHOWN = ("transformers", "huggingface-hub", "tokenizers", "safetensors", "numpy", "torch", "tensorflow", "keras")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What pip would install.

    Attributes:
        client: the requirement.
        versions: names to versions; none where there is no solution.
        problem: what pip says then, in one line.
    """

    client: str
    versions: dict[str, str]
    problem: str = ""


def resolve(wheel: Path, client: str, extra: str) -> Resolved:
    """Resolves our wheel with a client from nothing; nothing is installed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        command = [sys.executable, "-m", "pip", "install", *options, f"{wheel}[{extra}]", client]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return Resolved(client, {}, " ".join(done.stderr.split("ERROR:", 1)[-1].split())[:400])
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = [(one["metadata"]["name"].lower().replace("_", "-"), one["metadata"]["version"]) for one in installs]
    return Resolved(client, dict(sorted(found)))


def table(rows: list[Resolved]) -> str:
    """A line for each client."""
    width = max(len(row.client) for row in rows)
    return "\n".join(f"{row.client:<{width}}  {_outcome(row)}" for row in rows)


def _outcome(row: Resolved) -> str:
    shown = ", ".join(f"{name} {row.versions[name]}" for name in _SHOWN if name in row.versions)
    return f"DOES NOT RESOLVE: {row.problem}" if row.problem else shown


def main() -> int:
    """Prints the table; 1 if a client does not resolve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path, help="our wheel")
    parser.add_argument("clients", nargs="*", default=list(CLIENTS), help="default: all that are known")
    arguments = parser.parse_args()
    rows = [resolve(arguments.wheel.resolve(), client, CLIENTS[client]) for client in arguments.clients]
    print(table(rows))
    return any(row.problem for row in rows)


if __name__ == "__main__":
    sys.exit(main())
