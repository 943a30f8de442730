"""Computes with one library, in its own process and environment; started by `session.py`.

    python -m tools.benchmark.worker MODULE

MODULE is a file of `workers/`: `SUBJECTS` are functions that get the settings of a cell and give a function that
computes once; `outputs`, where there is one, makes arrays of what that one returns. Says when it is ready, then answers
every line of JSON on standard input with one. Imports nothing of this repository but what it measures.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tools.benchmark import memory
from tools.benchmark.inputs import Batches, by_text

Call = Callable[[], Any]
# A run that takes less is repeated, after one that does not count: it finds the caches as the run before left them.
SHORTEST = 0.1  # seconds
# Threads of what ran before may still turn while they wait for work: those of ONNX Runtime do so for 60 ms.
REST = 0.1  # seconds


class Subjects:
    """What was built, by name, and what can be asked about it."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self._calls: dict[str, Call] = {}
        self._batches: dict[str, Batches] = {}

    def build(self, name: str, build: str, settings: dict[str, Any]) -> dict[str, Any]:
        """Loads a model; only calls of what it gives are timed. The answer has its note, where it has one."""
        self._batches[name] = Batches.load(settings["inputs"])
        call = self._calls[name] = self._module.SUBJECTS[build](settings, self._batches[name])
        return {"note": call.note} if hasattr(call, "note") else {}

    def call(self, name: str, output: str | None = None) -> dict[str, Any]:
        """One call: its seconds, memory before and at its peak in MB; what it gives is written to `output`."""
        memory.settle()
        before = memory.resident()
        memory.reset_peak()
        start = time.perf_counter()
        result = self._calls[name]()
        answer = {"seconds": time.perf_counter() - start, "before": before, "peak": memory.peak()}
        if output and hasattr(self._module, "outputs"):
            np.save(output, by_text(self._batches[name], self._module.outputs(result)))
        return answer

    def run(self, name: str) -> dict[str, Any]:
        """The seconds of a call, the mean of several if it is short; and those of the processor, over all threads."""
        time.sleep(REST)
        call, found = self._calls[name], _seconds(self._calls[name], 1)
        if found["seconds"] < SHORTEST:
            found = _seconds(call, int(SHORTEST / found["seconds"]) + 1)
        return found


def _seconds(call: Call, times: int) -> dict[str, float]:
    start, processor = time.perf_counter(), time.process_time()
    for _ in range(times):
        call()
    passed = {"seconds": time.perf_counter() - start, "processor": time.process_time() - processor}
    return {name: seconds / times for name, seconds in passed.items()}


def main(module: str) -> None:
    """Answers until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print, too, and not only from Python
    subjects = Subjects(importlib.import_module(f"tools.benchmark.workers.{module}"))
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(subjects, request.pop("do"))(**request)
        except Exception as error:
            answer = {"error": ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
