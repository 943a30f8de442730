"""transformers' own model before and after `deberta_torch.optimize`, with all of its layers."""

from __future__ import annotations

import os
from typing import Any

from tools.benchmark import inputs
from tools.benchmark.checkpoints import SMALL_VOCABULARY
from tools.benchmark.libraries import Subject
from tools.benchmark.session import Row, Session, for_all, measure_cell

BASELINE = "transformers 4"
FEW = 0  # tokens in bfloat16 on a processor without instructions for it
SUBJECTS = (
    Subject(BASELINE, "transformers4", "eager"),
    Subject("transformers 4, optimize()", "transformers4", "optimized", {"dtype": "float32"}),
    Subject("transformers 4, optimize(), bfloat16", "transformers4", "optimized", {"dtype": "bfloat16"}, FEW),
    Subject("transformers 4, optimize(), int8", "transformers4", "optimized", {"dtype": "int8"}),
)
# Architecture, layers, batch, length.
CELLS = (("v3-base", 12, 1, 16), ("v3-base", 12, 8, 32), ("v3-base", 12, 8, 128), ("v3-base", 12, 2, 512))


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """All cells."""
    rows = []
    for architecture, layers, size, length in session.cells(CELLS):
        shared = {
            "folder": session.checkpoint(architecture, layers, SMALL_VOCABULARY),
            "inputs": session.inputs("inference", inputs.full(size, length, SMALL_VOCABULARY)),
        }
        cell = f"{size} × {length}"
        found = measure_cell(session, architecture, cell, SUBJECTS, for_all(shared), BASELINE, size * length)
        rows += [{**row, "layers": session.layers or layers} for row in found]
    return {"threads": os.environ.get("OMP_NUM_THREADS", os.cpu_count())}, rows
