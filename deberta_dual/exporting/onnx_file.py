"""ONNX files: written from a checkpoint, and run by ONNX Runtime or OpenVINO."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from deberta_core.config import BaseConfig
from deberta_core.errors import DebertaWarning
from deberta_dual.exporting.graph import OUTPUTS, build_graph
from deberta_dual.exporting.packages import needed
from deberta_dual.exporting.source import Arrays, Run, Source

FOLDER, NAME = "onnx", "model.onnx"
# Above this size weights lie in a file beside the graph: protobuf ends at 2 GB.
_LARGEST = 1_500_000_000
_EXTERNAL = "_data"  # behind the name of the graph's file, as optimum names it

# ONNX Runtime's one operator for a sum and its LayerNorm, which it takes in int8, is slower than the two: without it
# the whole model takes 7 % less time at 16 tokens and 3 % less at 64 and 128 (version 1.32, Zen 3, one thread).
_SLOWER = ("SkipLayerNormFusion",)


def write_onnx(
    file: Path, config: BaseConfig, params: Arrays, task: str | None, *, dtype: str = "float32", **options: Any
) -> None:
    """Writes a model's graph into a file, weights beside it if they are large.

    Args:
        file: where to.
        config: the model's configuration.
        params: its parameters by their checkpoint names.
        task: its task; None is the backbone.
        dtype: "float32"; "float16", "bfloat16" or "int8-weights": of the stored weights alone; "int8": products of
            8-bit integers, quantized by ONNX Runtime as it runs.
        **options: see `build_graph`.

    Raises:
        InputError: "int8" without ONNX Runtime.
    """
    storage = {"int8": "float32", "int8-weights": "int8"}.get(dtype, dtype)
    model = build_graph(config, params, task, storage=storage, **options)
    is_large = sum(int(np.prod(one.dims)) * 4 for one in model.graph.initializer) > _LARGEST
    if dtype == "int8":
        _quantize(file, model, is_large)
    elif is_large:
        onnx.save_model(
            model, str(file), save_as_external_data=True, all_tensors_to_one_file=True, location=file.name + _EXTERNAL
        )
    else:
        onnx.save_model(model, str(file))


def _quantize(file: Path, model: onnx.ModelProto, is_large: bool) -> None:
    """Writes the dynamic quantization of a graph: of products with weights `[in, out]`, a scale for each output."""
    needed("onnxruntime", "onnx")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    flat = {one.name for one in model.graph.initializer if len(one.dims) == 2}
    chosen = [node.name for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in flat]
    quantize_dynamic(
        model,
        str(file),
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=chosen,
        use_external_data_format=is_large,
    )


def onnx_session(file: Path, threads: int | None = None) -> Run:
    """A graph in ONNX Runtime, as a function from named arrays to named arrays.

    Args:
        file: the graph.
        threads: None: as many as there are cores.

    Raises:
        InputError: ONNX Runtime is not installed, or too old.
    """
    runtime = needed("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or 0
    session = runtime.InferenceSession(
        str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(_SLOWER)
    )
    kinds = {one.name: np.int32 if "int32" in one.type else np.int64 for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]

    def run(inputs: Arrays) -> dict[str, NDArray[Any]]:
        given = {name: np.ascontiguousarray(inputs[name], dtype=kind) for name, kind in kinds.items()}
        return dict(zip(names, session.run(None, given), strict=True))

    return run


def openvino_session(file: Path, dtype: str = "float32", threads: int | None = None) -> Run:
    """A graph in OpenVINO, likewise; an ONNX file, or one of OpenVINO's own.

    Args:
        file: the graph.
        dtype: what it computes in: "float32" or "bfloat16".
        threads: None: OpenVINO's own choice.

    Raises:
        InputError: OpenVINO is not installed, or too old.

    Warns:
        DebertaWarning: this CPU has no instructions for bfloat16, so that OpenVINO computes in float32.
    """
    openvino = needed("openvino", "openvino")
    core = openvino.Core()
    if dtype == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        message = "This CPU has no bfloat16 instructions: OpenVINO computes in float32. Use dtype='float32'."
        warnings.warn(message, DebertaWarning, stacklevel=2)
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype]}
    settings |= {"INFERENCE_NUM_THREADS": threads} if threads else {}
    model = core.compile_model(str(file), "CPU", {"PERFORMANCE_HINT": "LATENCY", **settings})
    kinds = {one.get_any_name(): one.get_element_type().to_dtype() for one in model.inputs}
    # An output also has the names of operators that OpenVINO took away before it.
    names = [next(name for name in OUTPUTS if name in one.get_names()) for one in model.outputs]

    def run(inputs: Arrays) -> dict[str, NDArray[Any]]:
        given = {name: np.ascontiguousarray(inputs[name], dtype=kind) for name, kind in kinds.items()}
        results = model(given)
        return {name: np.array(results[number]) for number, name in enumerate(names)}

    return run


def export_onnx(source: Source, file: Path, dtype: str, **options: Any) -> None:
    """Writes a source as ONNX; see `write_onnx`."""
    write_onnx(file, source.config, source.params, source.task, dtype=dtype, **options)


def export_openvino(source: Source, file: Path, dtype: str, **options: Any) -> None:
    """Writes a source in OpenVINO's own format, two files, by way of the same graph."""
    openvino = needed("openvino", "openvino")
    between = file.with_suffix(".onnx")
    stored = dtype if dtype == "int8-weights" else "float32"
    write_onnx(between, source.config, source.params, source.task, dtype=stored, **options)
    openvino.save_model(openvino.convert_model(str(between)), str(file), compress_to_fp16=dtype == "float16")
    for left in file.parent.glob(f"{between.name}*"):
        left.unlink()
