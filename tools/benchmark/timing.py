"""What the benchmarks share: runs that take turns, medians, ratios, and the line that says on which machine."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version


def interleaved(
    subjects: Sequence[str], measure: Callable[[str], float], rounds: int, warmups: int = 1
) -> dict[str, float]:
    """Measures subjects in turn, in every round in another order, and takes the median of each.

    What slows the machine down for a while then slows down all of them.

    Args:
        subjects: their names.
        measure: gives the seconds of one run of a subject.
        rounds: how many runs of each count.
        warmups: how many runs of each come before, and do not count.
    """
    seconds: dict[str, list[float]] = {subject: [] for subject in subjects}
    for turn in range(warmups + rounds):
        shift = turn % len(subjects)
        for subject in (*subjects[shift:], *subjects[:shift]):
            elapsed = measure(subject)
            if turn >= warmups:
                seconds[subject].append(elapsed)
    return {subject: statistics.median(measured) for subject, measured in seconds.items()}


def ratio(theirs: float, ours: float) -> str:
    """How many times as fast ours is, from seconds."""
    return f"{theirs / ours:.2f}x"


def machine(packages: Sequence[str] | Mapping[str, str]) -> str:
    """Names the processor, its cores and the versions that were measured.

    Args:
        packages: names of installed packages, or versions by name.
    """
    versions = packages if isinstance(packages, Mapping) else {name: version(name) for name in packages}
    listed = ", ".join(f"{name} {number}" for name, number in versions.items())
    return f"{_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {listed}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - not a file of ours
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
