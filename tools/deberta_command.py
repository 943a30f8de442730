"""The command `deberta`, called for its rows of scores, on one core."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


def words(command: str, options: Mapping[str, Any]) -> list[str]:
    """The words of a command; options by the names of Python, those with several values as lists."""
    found = [command]
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        found += [f"--{name.replace('_', '-')}", *map(str, values)]
    return found


def rows_of(command: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """Runs a command: the rows that it prints, and how many seconds it took.

    Raises:
        SystemExit: the command failed.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "deberta_dual.cli", *command],
        env=os.environ | ONE_THREAD,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()], round(time.perf_counter() - start)
