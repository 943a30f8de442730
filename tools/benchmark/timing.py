"""What the benchmarks share: runs that take turns, medians, ratios, and the line that says on which machine."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

# What decides how fast matrices are multiplied: our name, and how Linux calls it.
FEATURES = {
    "AVX2": "avx2",
    "AVX-512": "avx512f",
    "AVX-512 VNNI": "avx512_vnni",
    "AVX VNNI": "avx_vnni",
    "AVX-512 bfloat16": "avx512_bf16",
    "AMX int8": "amx_int8",
    "AMX bfloat16": "amx_bf16",
}
CPUINFO = Path("/proc/cpuinfo")


def samples(
    subjects: Sequence[str], measure: Callable[[str], float], rounds: int, warmups: int = 1
) -> dict[str, list[float]]:
    """Measures subjects in turn, in every round in another order.

    What slows the machine down for a while then slows down all of them.

    Args:
        subjects: their names.
        measure: gives the seconds of one run of a subject.
        rounds: how many runs of each count.
        warmups: how many runs of each come before, and do not count.

    Returns:
        The seconds of each subject, round by round.
    """
    seconds: dict[str, list[float]] = {subject: [] for subject in subjects}
    for turn in range(warmups + rounds):
        shift = turn % len(subjects)
        for subject in (*subjects[shift:], *subjects[:shift]):
            elapsed = measure(subject)
            if turn >= warmups:
                seconds[subject].append(elapsed)
    return seconds


def interleaved(
    subjects: Sequence[str], measure: Callable[[str], float], rounds: int, warmups: int = 1
) -> dict[str, float]:
    """The medians of `samples`."""
    measured = samples(subjects, measure, rounds, warmups)
    return {subject: statistics.median(seconds) for subject, seconds in measured.items()}


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of a quantity, as `name`, `name_low` and `name_high`."""
    low, middle, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return {name: middle, f"{name}_low": low, f"{name}_high": high}


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
    parts = [f"Python {platform.python_version()}", *([listed] if listed else [])]
    return f"{processor()}, {os.cpu_count()} cores; {', '.join(parts)}"


def processor() -> str:
    """The processor's name."""
    names = _cpuinfo("model name")
    return names[0] if names else platform.processor() or platform.machine()


def features() -> list[str]:
    """Which of `FEATURES` the processor has; empty where the system does not tell."""
    flags = set(" ".join(_cpuinfo("flags")[:1]).split())
    return [name for name, flag in FEATURES.items() if flag in flags]


def threads() -> str:
    """How many threads and processors the subjects have, and what they are bound to."""
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    names = ("OMP_NUM_THREADS", "OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
    said = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return ", ".join([f"processors {','.join(map(str, allowed)) or 'all'}", *said])


def _cpuinfo(field: str) -> list[str]:
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    return [line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == field]
