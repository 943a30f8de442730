"""Every way of ours beside every way of others, in one run: which is first at which length, in which precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.checkpoint import load_config, load_weights
from deberta_core.reference.forward import forward
from deberta_dual.compiling.candidates import cores
from tools.benchmark import inputs
from tools.benchmark.checkpoints import SMALL_VOCABULARY
from tools.benchmark.inputs import Array, Batches
from tools.benchmark.libraries import Subject
from tools.benchmark.session import Row, Session, for_all, measure_cell

BASELINE = "transformers 4"
LAYERS, ARCHITECTURE = 4, "v3-base"
FEW = 256  # tokens, on which the emulation of bfloat16 does not take too long
Options = dict[str, object]
_FLOAT32, _BFLOAT16, _INT8 = (Options(dtype=dtype) for dtype in ("float32", "bfloat16", "int8"))
_ONNX, _OPENVINO = Options(framework="onnx"), Options(framework="openvino")
_ANY_SHAPE, _F32, _BF16 = Options(dynamic=True), Options(hint="f32"), Options(hint="bf16")
# What computes in float32, and what does not; those of ours begin with "ours".
EXACT = (
    Subject(BASELINE, "transformers4", "eager"),
    Subject("transformers 4, compiled", "transformers4", "compiled"),
    Subject("ONNX Runtime", "runtimes", "onnx_runtime", _FLOAT32 | _ANY_SHAPE),
    Subject("ONNX Runtime, fixed shape", "runtimes", "onnx_runtime", _FLOAT32),
    Subject("OpenVINO", "runtimes", "open_vino", _F32 | _ANY_SHAPE),
    Subject("OpenVINO, fixed shape", "runtimes", "open_vino", _F32),
    Subject("ours", "ours-torch", "plain"),
    Subject("ours, optimized", "ours-torch", "optimized", _FLOAT32),
    Subject("ours, graph in ONNX Runtime", "ours-graphs", "graph", _ONNX | _FLOAT32),
    Subject("ours, graph in ONNX Runtime, fixed shape", "ours-graphs", "fixed", _ONNX | _FLOAT32),
    Subject("ours, graph in OpenVINO", "ours-graphs", "graph", _OPENVINO | _FLOAT32),
    Subject("ours, graph in OpenVINO, fixed shape", "ours-graphs", "fixed", _OPENVINO | _FLOAT32),
)
OTHERS = (
    Subject("transformers 4, bfloat16", "transformers4", "bfloat16", emulated_tokens=FEW),
    Subject("transformers 4, oneDNN flag", "transformers4", "eager", {"mode": "flag"}),
    Subject("ONNX Runtime, int8", "runtimes", "onnx_runtime", _INT8 | _ANY_SHAPE),
    Subject("ONNX Runtime, fixed shape, int8", "runtimes", "onnx_runtime", _INT8),
    Subject("OpenVINO, bfloat16", "runtimes", "open_vino", _BF16 | _ANY_SHAPE, 0),
    Subject("OpenVINO, fixed shape, bfloat16", "runtimes", "open_vino", _BF16, 0),
    Subject("ours, optimized, bfloat16", "ours-torch", "optimized", _BFLOAT16, FEW),
    Subject("ours, optimized, int8", "ours-torch", "optimized", _INT8),
    Subject("ours, graph in ONNX Runtime, int8", "ours-graphs", "graph", _ONNX | _INT8),
    Subject("ours, graph in OpenVINO, bfloat16", "ours-graphs", "graph", _OPENVINO | _BFLOAT16, 0),
    Subject("ours, graph in OpenVINO, fixed shape, bfloat16", "ours-graphs", "fixed", _OPENVINO | _BFLOAT16, 0),
    Subject("ours, graph in OpenVINO, int8", "ours-graphs", "graph", _OPENVINO | _INT8),
)
CHOSEN = Subject("ours, compile()", "ours-graphs", "chosen")
SUBJECTS = (*EXACT, *OTHERS, CHOSEN)
# Architecture, batch, length.
CELLS = tuple((ARCHITECTURE, *shape) for shape in ((1, 16), (1, 64), (1, 128), (8, 32), (8, 128), (2, 512)))


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """All cells; `compile` judges no int8, so that it may choose among the others.

    Pinned to one processor (by `taskset`), its time is what counts.
    """
    exact, by_processor = {subject.name for subject in EXACT}, cores() == 1
    rows = []
    for architecture, size, length in session.cells(CELLS):
        batches = inputs.full(size, length, SMALL_VOCABULARY)
        folder = session.checkpoint(architecture, LAYERS, SMALL_VOCABULARY)
        settings = {"folder": folder, "inputs": session.inputs("side_by_side", batches)}
        found = measure_cell(
            session,
            architecture,
            f"{size} × {length}",
            SUBJECTS,
            for_all(settings),
            BASELINE,
            size * length,
            reference=reference(Path(folder), batches),
            by_processor=by_processor,
        )
        rows += [
            {**row, "layers": session.layers or LAYERS, "texts": size, "exact": row["subject"] in exact}
            for row in found
        ]
    what = (
        "Times are those of the processor, for one thread, because other programs ran beside it."
        if by_processor
        else "Times are what passed."
    )
    return {"what": what}, rows


def reference(folder: Path, batches: Batches) -> Array:
    """The last hidden states of all tokens `[tokens, C]`, in float64."""
    config = load_config(None, folder, None)
    given = {"input_ids": batches.ids[0], "attention_mask": batches.masks[0]}
    with load_weights(folder, config, None) as loaded:
        params = {name: np.asarray(array, dtype=np.float64) for name, array in loaded.weights.items()}
    return inputs.by_text(batches, [forward(config, params, given)["last_hidden_state"]])
