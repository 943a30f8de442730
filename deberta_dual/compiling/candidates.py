"""What a model can be run by, and what it is measured for."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deberta_core.errors import InputError
from deberta_dual.backends import FRAMEWORKS

EXACT = "float32"
# dtypes that change answers little, so that a comparison of outputs is enough; others need examples.
CLOSE = ("bfloat16",)
# Texts, and tokens of each.
GOALS: Mapping[str, tuple[int, int]] = {"latency": (1, 16), "throughput": (8, 128), "long-texts": (2, 512)}
# What can be said as a framework -> the goal.
AUTOMATIC = {"auto": "latency", "auto-throughput": "throughput", "auto-long-texts": "long-texts"}


@dataclass(frozen=True, slots=True)
class Engine:
    """A framework that runs models on a CPU.

    Attributes:
        dtypes: what it computes in, the most exact first.
        takes_threads: whether a model has its own number of threads; PyTorch's is that of the process.
    """

    dtypes: tuple[str, ...]
    takes_threads: bool


ENGINES: Mapping[str, Engine] = {
    "torch": Engine((EXACT, "bfloat16", "int8"), False),
    "onnx": Engine((EXACT, "int8"), True),
    "openvino": Engine((EXACT, "bfloat16", "int8"), True),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to run a model.

    Attributes:
        framework: a name of `ENGINES`.
        dtype: what it computes in.
        threads: how many; None: as many as the process has.
    """

    framework: str
    dtype: str
    threads: int | None = None

    def __str__(self) -> str:
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.threads else ""
        return f"{self.framework} {self.dtype}{threads}"


def candidates(dtypes: Sequence[str]) -> Iterator[Candidate]:
    """The ways that are installed, the most exact dtype first.

    Raises:
        InputError: none is.
    """
    present = {
        name: engine
        for name, engine in ENGINES.items()
        if importlib.util.find_spec(FRAMEWORKS[name].packages[0]) is not None
    }
    if not present:
        raise InputError(f"none of {', '.join(ENGINES)} is installed. Use pip install 'deberta-dual[torch,onnx]'.")
    counts = sorted({threads(), max(1, threads() // 2)}, reverse=True)  # two threads often share one core
    for dtype in dtypes:
        for name, engine in present.items():
            if dtype in engine.dtypes:
                yield from (Candidate(name, dtype, count) for count in (counts if engine.takes_threads else [None]))


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """How many threads a model of this process may compute in: what OMP_NUM_THREADS says, or as many as `cores`."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(said) if said.isdecimal() and int(said) else cores()
