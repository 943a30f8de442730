"""Rows of results: printed as they come, written to a JSON file after each; a failure is a row, too."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch


class Rows:
    """What a run found.

    Args:
        path: of the JSON file, or None.
        device: what is measured on.
        is_tiny: small models and few repeats, to see that every line runs.
        seconds: after which nothing more is begun.
    """

    def __init__(self, path: Path | None, device: torch.device, is_tiny: bool, seconds: float) -> None:
        self.path, self.device, self.is_tiny = path, device, is_tiny
        self.rows: list[dict[str, Any]] = []
        self._begin, self._end = time.perf_counter(), time.perf_counter() + seconds

    @property
    def half(self) -> torch.dtype:
        """What is timed: bfloat16, which Triton's interpreter does not know."""
        return torch.float16 if self.device.type == "cpu" else torch.bfloat16

    @property
    def is_late(self) -> bool:
        """Whether the time is up."""
        return time.perf_counter() > self._end

    def add(self, section: str, subject: str, **values: Any) -> None:
        """One more row."""
        row = {"section": section, "subject": subject, **values}
        self.rows.append(row)
        print(f"{time.perf_counter() - self._begin:6.1f} s", *(f"{k}={v}" for k, v in row.items()), flush=True)
        if self.path is not None:
            self.path.write_text(json.dumps({"rows": self.rows}, indent=1), encoding="utf-8")

    @contextmanager
    def attempt(self, section: str, subject: str, **values: Any) -> Iterator[dict[str, Any]]:
        """A row of what is put into the dict within, or of the error."""
        found: dict[str, Any] = {}
        if self.is_late:
            self.add(section, subject, **values, error="not measured: the time was up")
            found["late"] = True
        try:
            yield found
        except Exception as error:  # one subject's failure must not end the others'
            message = f"{type(error).__name__}: {error}".replace("\n", " ")[:400]
            self.add(section, subject, **values, **found, error=message)
        else:
            if not found.pop("late", False):
                self.add(section, subject, **values, **found)
        gc.collect()

    def milliseconds(self, call: Callable[[], Any], repeats: int = 10) -> float:
        """The median time of a call, until the device is done; after three that do not count."""
        repeats = 1 if self.is_tiny else repeats
        for _ in range(1 if self.is_tiny else 3):
            call()
        times = []
        for _ in range(repeats):
            self.wait()
            begin = time.perf_counter()
            call()
            self.wait()
            times.append(1e3 * (time.perf_counter() - begin))
        return round(statistics.median(times), 4)

    def wait(self) -> None:
        """Until the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    @contextmanager
    def memory(self, found: dict[str, Any]) -> Iterator[None]:
        """The peak of memory above what was taken before, in MB."""
        if self.device.type != "cuda":
            yield
            return
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield
        torch.cuda.synchronize()
        found["mb"] = round((torch.cuda.max_memory_allocated() - before) / 2**20)

    def replayed(self, call: Callable[[], Any]) -> float | None:
        """The median time of the call's replay as a CUDA graph: the device's own."""
        if self.device.type != "cuda":
            return None
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            call()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return self.milliseconds(graph.replay)
