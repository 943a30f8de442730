"""What was chosen, why, and where it is kept: in the user's cache, by what the answer depends on."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deberta_core.checkpoint import load_config
from deberta_core.errors import InputError
from deberta_core.files import write_text
from deberta_core.transaction import replace_file
from deberta_dual.backends import installed_versions
from deberta_dual.compiling.candidates import EXACT, GOALS, Candidate, cores
from deberta_dual.exporting.cache import cache_folder, content_digest
from deberta_dual.version import own_version

_CPUINFO = Path("/proc/cpuinfo")
# A more exact dtype, or an earlier framework, is preferred to one that is faster by less than this.
EVEN = 0.03


@dataclass(slots=True)
class Measured:
    """A way to run the model, and what became of it.

    Attributes:
        candidate: the way.
        seconds: of a call; None: it could not be run.
        note: why it was not taken, or what its dtype changes; empty where there is nothing to say.
    """

    candidate: Candidate
    seconds: float | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The way to run a model on this machine.

    Attributes:
        framework: its name.
        dtype: what it computes in.
        threads: of the model; None: those of the process.
        goal: what was measured, a name of `GOALS`.
        seconds: of a call.
        measured: all ways, the fastest first.
    """

    framework: str
    dtype: str
    threads: int | None
    goal: str
    seconds: float
    measured: tuple[Measured, ...]

    def why(self) -> str:
        """A table of what was measured, and the one that was chosen."""
        texts, tokens = GOALS[self.goal]
        lines = [f"{self.goal}, {texts} x {tokens} tokens; {processor()}, {cores()} cores"]
        for row in self.measured:
            mark = "->" if row.candidate == Candidate(self.framework, self.dtype, self.threads) else "  "
            time = "        -" if row.seconds is None else f"{row.seconds * 1000:6.2f} ms"
            lines.append(f"{mark} {row.candidate!s:<28}{time}  {row.note}".rstrip())
        return "\n".join(lines)


def choose(goal: str, rows: Sequence[Measured], judge: Callable[[Measured], bool]) -> Choice:
    """The fastest way whose answers are good enough.

    Args:
        goal: what was measured.
        rows: what was measured, in the order of preference; notes are added.
        judge: says of a dtype other than float32 whether it may be taken, and writes into its note why.

    Raises:
        InputError: nothing could be run in float32, so that there is nothing to judge others by.
    """
    exact = [row for row in rows if row.seconds is not None and row.candidate.dtype == EXACT]
    if not exact:
        problems = "; ".join(f"{row.candidate}: {row.note}" for row in rows if row.note)
        raise InputError(f"nothing here runs this model in float32. {problems}")
    taken = _first(exact)
    others = [row for row in rows if row.seconds is not None and row.candidate.dtype != EXACT]
    for row in sorted(others, key=_seconds):
        if _seconds(row) >= (1 - EVEN) * _seconds(taken):
            break
        if judge(row):
            taken = row
            break
    order = sorted(rows, key=lambda row: (row.seconds is None, row.seconds or 0.0))
    kind = taken.candidate
    return Choice(kind.framework, kind.dtype, kind.threads, goal, _seconds(taken), tuple(order))


def _first(rows: Sequence[Measured]) -> Measured:
    """The first of those that are about as fast as the fastest."""
    best = min(map(_seconds, rows))
    return next(row for row in rows if _seconds(row) <= (1 + EVEN) * best)


def _seconds(row: Measured) -> float:
    assert row.seconds is not None
    return row.seconds


def choice_file(folder: Path, task: str | None, goal: str) -> Path:
    """Where a choice is kept: by what weights and config.json hold, the versions installed, and the machine.

    Raises:
        ConfigError: config.json is missing or wrong.
        WeightError: the weights are missing.
    """
    about = {
        "config": load_config(None, folder, task).to_dict(),
        "content": content_digest(folder, task),
        "task": task,
        "goal": goal,
        "versions": {**installed_versions(), "deberta-dual": own_version()},
        "machine": [processor(), cores(), os.environ.get("OMP_NUM_THREADS")],
    }
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    return cache_folder() / "choices" / f"{name}.json"


def read_choice(file: Path) -> Choice | None:
    """What was kept; None where there is nothing, or nothing that can be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        rows = [Measured(**{**row, "candidate": Candidate(**row["candidate"])}) for row in found.pop("measured")]
        return Choice(**found, measured=tuple(rows))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_choice(file: Path, choice: Choice) -> None:
    """Keeps a choice.

    Raises:
        InputError: the cache cannot be written.
    """
    values: dict[str, Any] = asdict(choice)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(f"{file.parent} cannot be made: {problem.strerror}. Set XDG_CACHE_HOME to a folder.") from None
    with replace_file(file, InputError) as new:
        write_text(new, json.dumps(values, indent=1) + "\n")


def processor() -> str:
    """The processor's name."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
