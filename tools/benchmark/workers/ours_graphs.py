"""This library's graphs in ONNX Runtime and OpenVINO, and what `compile` chooses, by way of its backends."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import deberta_dual
from deberta_dual.backends import get_backend
from deberta_dual.compiling.candidates import cores
from deberta_dual.exporting.cache import cached_graph
from deberta_dual.exporting.export import export
from deberta_dual.exporting.targets import TARGETS
from tools.benchmark.inputs import Batches
from tools.benchmark.workers import sessions

Settings = dict[str, Any]
Arrays = dict[str, np.ndarray[Any, Any]]
Call = Callable[[], Any]
SHORT = 256  # tokens, up to which a text is not long


def call_of(framework: str, folder: Path, batches: Batches, **options: Any) -> Call:
    """A call of a backend's model with the first batch."""
    backend = get_backend(framework)
    arrays = backend.array_model(backend.load_model(folder, None, "cpu", **options))
    inputs = {"input_ids": batches.ids[0], "attention_mask": batches.masks[0]}
    return lambda: arrays.run(inputs, None)


def graph(settings: Settings, batches: Batches) -> Call:
    """The graph of a checkpoint in `framework` and `dtype`."""
    options = {"dtype": settings["dtype"], "threads": cores()}
    return call_of(settings["framework"], Path(settings["folder"]), batches, **options)


def fixed(settings: Settings, batches: Batches) -> Call:
    """The same graph, whose runtime knows the shape beforehand, as a program can ask of it that has one shape alone."""
    framework, dtype = settings["framework"], settings["dtype"]
    kind, _ = get_backend(framework).dtypes[dtype]
    file = cached_graph(Path(settings["folder"]), None, kind)
    if framework == "onnx":
        run = sessions.onnx_runtime(file, batches, fixed=True)
    else:
        run = sessions.open_vino(file, batches, "bf16" if dtype == "bfloat16" else "f32", fixed=True)
    return lambda: {"last_hidden_state": run()[0]}


def chosen(settings: Settings, batches: Batches) -> Call:
    """What `compile` chooses for texts such as these."""
    folder = Path(settings["folder"])
    texts, length = batches.ids[0].shape
    found = deberta_dual.compile(folder, goal_of(texts, length))
    options = {"threads": found.threads} if found.threads else {}
    call = call_of(found.framework, folder, batches, dtype=found.dtype, **options)
    call.note = f"{found.framework} {found.dtype}"  # type: ignore[attr-defined]  # functions have fields
    return call


def goal_of(texts: int, length: int) -> str:
    """The goal that a user of such texts would name."""
    if texts == 1:
        return "latency"
    return "long-texts" if length > SHORT else "throughput"


def target(settings: Settings) -> Path:
    """Where `writing` writes, beside the checkpoint."""
    return Path(settings["folder"]).with_name(settings["target"])


def writing(settings: Settings, batches: Batches) -> Call:
    """Exports a checkpoint to `target`, in the format `to` and in `dtype`."""
    options = {"task": None, "dtype": settings["dtype"], "force": True}
    return lambda: export(settings["folder"], target(settings), settings["to"], **options)


def loading(settings: Settings, batches: Batches) -> Call:
    """Loads what `writing` wrote, in what executes the format `to`, and answers once."""
    form = TARGETS[settings["to"]]
    for package, _ in form.needs:
        importlib.import_module(package)
    file = target(settings) / form.folder / form.file_name(settings["dtype"], "int64")
    run, inputs = form.runner(), sessions.feed(batches)
    return lambda: run(file)(inputs)


def outputs(result: Arrays) -> list[np.ndarray[Any, Any]]:
    """The hidden states of the one batch."""
    return [result["last_hidden_state"]]


SUBJECTS = {"graph": graph, "fixed": fixed, "chosen": chosen, "writing": writing, "loading": loading}
