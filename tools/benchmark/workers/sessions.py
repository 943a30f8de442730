"""A graph in ONNX Runtime or OpenVINO, for the shapes it was exported for or for one, whoever exported it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tools.benchmark.inputs import Array, Batches

Call = Callable[[], list[Array]]
INPUTS = ("input_ids", "attention_mask")
AXES = ("batch", "length")  # as this library's graphs call them


def threads() -> int:
    """As many as there are processors that this process may use."""
    return len(os.sched_getaffinity(0))


def feed(batches: Batches) -> dict[str, Array]:
    """The first batch."""
    return dict(zip(INPUTS, (batches.ids[0], batches.masks[0]), strict=True))


def onnx_runtime(file: Path, batches: Batches, fixed: bool = False) -> Call:
    """Calls of ONNX Runtime; with `fixed`, it knows the shape of the batch beforehand."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    options.log_severity_level = 3
    for axis, size in zip(AXES, batches.ids[0].shape, strict=True) if fixed else ():
        options.add_free_dimension_override_by_name(axis, size)
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    inputs = feed(batches)
    return lambda: session.run(None, inputs)  # type: ignore[no-any-return]  # it has no types


def open_vino(file: Path, batches: Batches, hint: str, fixed: bool = False) -> Call:
    """Calls of OpenVINO with the precision `hint`; with `fixed`, it knows the shape of the batch beforehand."""
    import openvino

    hints = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads()}
    core, inputs = openvino.Core(), feed(batches)
    model = core.read_model(str(file))
    if fixed:
        model.reshape({name: list(array.shape) for name, array in inputs.items()})
    compiled = core.compile_model(model, "CPU", hints)
    request = compiled.create_infer_request()
    return lambda: [request.infer(inputs)[compiled.output(0)]]
