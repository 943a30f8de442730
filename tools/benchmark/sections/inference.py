"""Inference: lengths 16 to 4,096, batches of 1 to 32, four shapes, against every other way to run them on a CPU."""

from __future__ import annotations

from typing import Any

from tools.benchmark import inputs
from tools.benchmark.checkpoints import SMALL_VOCABULARY
from tools.benchmark.libraries import Subject
from tools.benchmark.session import Row, Session, for_all, measure_cell

BASELINE = "transformers 4"
FEW = 256  # tokens, on which the emulation of bfloat16 does not take too long
SUBJECTS = (
    Subject(BASELINE, "transformers4", "eager"),
    Subject("transformers 4, oneDNN flag", "transformers4", "eager", {"mode": "flag"}),
    Subject("transformers 4, compiled", "transformers4", "compiled"),
    Subject("transformers 4, bfloat16", "transformers4", "bfloat16", emulated_tokens=FEW),
    Subject("transformers 4, int8", "transformers4", "int8"),
    Subject("transformers 5", "transformers5", "eager"),
    Subject("ONNX Runtime", "runtimes", "onnx_runtime", {"dtype": "float32"}),
    Subject("ONNX Runtime, int8", "runtimes", "onnx_runtime", {"dtype": "int8"}),
    Subject("OpenVINO", "runtimes", "open_vino", {"hint": "f32"}),
    Subject("OpenVINO, bfloat16", "runtimes", "open_vino", {"hint": "bf16"}, 0),
    Subject("ours", "ours-torch", "plain"),
    Subject("ours, optimized", "ours-torch", "optimized", {"dtype": "float32"}),
    Subject("ours, optimized, bfloat16", "ours-torch", "optimized", {"dtype": "bfloat16"}, FEW),
    Subject("ours, optimized, int8", "ours-torch", "optimized", {"dtype": "int8"}),
    Subject("linear layers alone", "limit", "float32"),
    Subject("linear layers alone, int8", "limit", "int8"),
)
# Architecture, layers, batch, length.
CELLS = (
    ("v3-base", 12, 1, 16),
    ("v3-base", 4, 1, 64),
    ("v3-base", 4, 8, 32),
    ("v3-base", 4, 8, 128),
    ("v3-base", 4, 4, 256),
    ("v3-base", 4, 2, 512),
    ("v3-base", 4, 1, 2048),
    ("v3-base", 4, 32, 128),
    ("v3-base", 4, 1, 4096),
    ("v1-base", 12, 1, 16),
    ("v1-base", 4, 8, 128),
    ("v1-base", 4, 2, 512),
    ("v3-xsmall", 4, 8, 128),
    ("v3-large", 4, 8, 128),
)


LONGEST_TOGETHER = 2048  # tokens; beyond, what the runtimes keep would not fit into memory beside each other


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """All cells."""
    rows = []
    for architecture, layers, size, length in session.cells(CELLS):
        shared = {
            "folder": session.checkpoint(architecture, layers, SMALL_VOCABULARY),
            "inputs": session.inputs("inference", inputs.full(size, length, SMALL_VOCABULARY)),
        }
        cell, apart = f"{size} × {length}", length > LONGEST_TOGETHER
        found = measure_cell(
            session,
            architecture,
            cell,
            SUBJECTS,
            for_all(shared),
            BASELINE,
            size * length,
            apart=apart,
        )
        rows += [{**row, "layers": session.layers or layers, "apart": apart} for row in found]
    return {}, rows
