"""Keras: inference and steps of training against transformers' TensorFlow classes, keras-hub and ZeroModels."""

from __future__ import annotations

from typing import Any

from tools.benchmark import inputs
from tools.benchmark.checkpoints import SMALL_VOCABULARY
from tools.benchmark.libraries import Subject
from tools.benchmark.session import Row, Session, for_all, measure_cell

BASELINE = "transformers 4"
LAYERS = 3
CELLS = ((1, 16), (8, 128), (2, 512))
# Name, library, builder of inference, how it is compiled. With "auto", Keras decides.
LINES: tuple[tuple[str, str, str, object], ...] = (
    (BASELINE, "transformers-keras", "function", False),
    ("transformers 4, XLA", "transformers-keras", "function", True),
    ("keras-hub", "keras-hub", "predicting", False),
    ("keras-hub, XLA", "keras-hub", "predicting", True),
    ("ZeroModels", "zeromodels", "predicting", False),
    ("ZeroModels, XLA", "zeromodels", "predicting", True),
    ("ours, auto", "ours-keras", "predicting", "auto"),
    ("ours", "ours-keras", "predicting", False),
    ("ours, XLA", "ours-keras", "predicting", True),
)
# Table -> subjects, Auto class without its prefix, labels.
TABLES = {
    "inference": (tuple(Subject(name, lib, build, {"jit": jit}) for name, lib, build, jit in LINES), None, None),
    "training": (
        tuple(Subject(name, lib, "training", {"jit": jit}) for name, lib, _, jit in LINES),
        "ForSequenceClassification",
        "classes",
    ),
}


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """All cells of both tables."""
    rows = []
    for group, (subjects, task, labels) in TABLES.items():
        for size, length in session.cells(CELLS):
            shared = {
                "folder": session.checkpoint("v3-base", LAYERS, SMALL_VOCABULARY, task),
                "inputs": session.inputs("keras", inputs.full(size, length, SMALL_VOCABULARY, labels)),
            }
            cell, tokens, compare = f"{size} × {length}", size * length, labels is None
            found = measure_cell(session, group, cell, subjects, for_all(shared), BASELINE, tokens, compare)
            rows += [{**row, "layers": session.layers or LAYERS} for row in found]
    return {}, rows
