"""The section that says where the time goes: of a forward pass and a training step, kernels, host and device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, record_function

from tools.gpu import speed, subjects
from tools.gpu.rows import Rows

CELLS = [(1, 32), (16, 512)]
_STEPS = 3  # that are recorded
_TOP = 8


def profile(rows: Rows) -> None:
    """Our implementations and the other libraries, by torch's profiler; forward in bfloat16, training as elsewhere."""
    for kind, found in (("training step", _steps(rows)), ("forward pass", _calls(rows))):
        for name, make in found:
            for cell in [(2, 16)] if rows.is_tiny else CELLS[kind == "training step" :]:
                with rows.attempt("profile", name, what=kind, cell=list(cell)) as row:
                    if not row.get("late"):
                        row |= _profiled(rows, make(*cell))


def _steps(rows: Rows) -> Iterator[tuple[str, Callable[[int, int], Callable[[], Any]]]]:
    for name, make in speed.step_subjects(rows):

        def step(batch: int, length: int, make: Callable[[], Any] = make) -> Callable[[], Any]:
            return speed.training_step(rows, make().train(), speed.ids_of(rows, batch, length), None)

        yield name, step


def _calls(rows: Rows) -> Iterator[tuple[str, Callable[[int, int], Callable[[], Any]]]]:
    for name, make, _ in speed.subjects_of(rows, rows.half):
        if name in ("ours, optimize", "ours, triton", "ours, sdpa", "DisentangledFlash", "FlashDeBERTa"):

            def call(batch: int, length: int, make: Callable[[], subjects.Call] = make) -> Callable[[], Any]:
                return partial(make(), speed.ids_of(rows, batch, length), None)

            yield name, call


def _profiled(rows: Rows, call: Callable[[], Any]) -> dict[str, Any]:
    """Milliseconds of a call until the host has asked for all, until the device is done, and of the device's work."""
    for _ in range(1 if rows.is_tiny else 4):
        call()
    rows.wait()
    begin = time.perf_counter()
    call()
    asked = time.perf_counter()
    rows.wait()
    done = time.perf_counter()
    on_cuda = rows.device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_cuda
    with torch.profiler.profile(activities=activities) as recorded:
        for _ in range(_STEPS):
            with record_function("one call"):
                call()
        rows.wait()
    # What is marked by name, as an optimizer's step, is seen on the device, too, beside its kernels.
    marked = ("one call", "Optimizer.")
    events = [event for event in recorded.key_averages() if not event.key.startswith(marked)]
    if on_cuda:
        work = [(event.self_device_time_total, event) for event in events if event.device_type.name == "CUDA"]
    else:
        work = [(event.self_cpu_time_total, event) for event in events]
    work.sort(key=lambda pair: -pair[0])
    device = sum(taken for taken, _ in work) / 1e3 / _STEPS
    return {
        "host_ms": round(1e3 * (asked - begin), 2),
        "ms": round(1e3 * (done - begin), 2),
        "device_ms": round(device, 2),
        "busy": round(device / (1e3 * (done - begin)), 2),
        "kernels": sum(event.count for _, event in work) // _STEPS,
        "operators": sum(event.count for event in events if event.key.startswith("aten::")) // _STEPS,
        "top": {
            event.key[:60]: [round(taken / 1e3 / _STEPS, 3), event.count // _STEPS] for taken, event in work[:_TOP]
        },
    }
