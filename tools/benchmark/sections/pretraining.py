"""A step of replaced-token detection beside one made of transformers' models; and how fast masked rows are made."""

from __future__ import annotations

import os
from typing import Any

from tools.benchmark import inputs
from tools.benchmark.libraries import Subject
from tools.benchmark.session import Row, Session, for_all, measure_cell

BASELINE = "transformers 4"
LAYERS = 4
STEPS = (
    Subject(BASELINE, "transformers4", "pretraining"),
    Subject("ours", "ours-torch", "pretraining"),
    # What theirs computes: no enhanced decoder, and tables of their own for both models.
    Subject("ours, as theirs", "ours-torch", "pretraining", {"mlm_decoder": "plain", "sharing": "none"}),
)
# What has to be ready before a step: its masks, and with tokenizing and packing all of its rows.
ROWS = (
    Subject("masks of tokens", "ours-rows", "masks", {"objective": "rtd"}),
    Subject("masks of words", "ours-rows", "masks", {"objective": "mlm"}),
    Subject("rows of one worker", "ours-rows", "rows", {"objective": "rtd"}),
)
SUBJECTS = (*STEPS, *ROWS)
# Architecture, vocabulary, batch, length.
CELLS = (("v3-xsmall", 8000, 8, 128), ("v3-xsmall", 8000, 2, 512), ("v3-xsmall", 128100, 8, 128))


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """All cells, a table each; rows need `--text` and `--v3`."""
    options = {name: str(session.options[name]) for name in ("text", "v3") if session.options.get(name)}
    subjects = SUBJECTS if len(options) == 2 else STEPS
    if subjects is STEPS:
        session.leave_out("pretraining", "rows", "they need --text and --v3")
    rows = []
    for architecture, vocabulary, size, length in session.cells(CELLS):
        shared = {
            "folder": session.checkpoint(architecture, LAYERS, vocabulary),
            "inputs": session.inputs("pretraining", inputs.full(size, length, vocabulary, "tokens")),
            **options,
        }
        group, tokens = f"{size} × {length}, vocabulary of {vocabulary:,}", size * length
        cell = f"{size} × {length}"
        found = measure_cell(session, group, cell, subjects, for_all(shared), BASELINE, tokens, compare=False)
        rows += [{**row, "layers": session.layers or LAYERS, "tokens": tokens} for row in found]
    return {"threads": os.environ.get("OMP_NUM_THREADS", os.cpu_count())}, rows
