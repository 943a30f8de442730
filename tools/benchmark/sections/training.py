"""A step of training: classification, with and without checkpointing, and masked language modelling."""

from __future__ import annotations

from typing import Any

from tools.benchmark import inputs
from tools.benchmark.checkpoints import SMALL_VOCABULARY
from tools.benchmark.libraries import Subject
from tools.benchmark.process import WorkerError
from tools.benchmark.session import Row, Session, for_all, measure_cell

BASELINE = "transformers 4"
LAYERS, FULL_VOCABULARY = 3, 128100
LIBRARIES = {"transformers 4": "transformers4", "ours": "ours-torch"}
# Suffix of the name, options of the builder, `Subject.emulated_tokens`.
WAYS: tuple[tuple[str, dict[str, object], int | None], ...] = (
    ("", {}, None),
    (", oneDNN flag", {"mode": "flag"}, None),
    (", bfloat16 autocast", {"mode": "autocast"}, 0),
    (", checkpointing", {"checkpointing": True}, None),
)
SUBJECTS = tuple(
    Subject(name + suffix, library, "training", options, emulated)
    for suffix, options, emulated in WAYS
    for name, library in LIBRARIES.items()
)
# Table, Auto class without its prefix, its labels, vocabulary, batch, length.
CELLS = (
    ("classification", "ForSequenceClassification", "classes", SMALL_VOCABULARY, 8, 128),
    ("classification", "ForSequenceClassification", "classes", SMALL_VOCABULARY, 2, 512),
    ("masked language model", "ForMaskedLM", "tokens", FULL_VOCABULARY, 8, 128),
)


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """All cells; the memory is that of fresh processes."""
    rows = []
    for group, task, labels, vocabulary, size, length in session.cells(CELLS):
        settings = {
            "folder": session.checkpoint("v3-base", LAYERS, vocabulary, task),
            "inputs": session.inputs("training", inputs.full(size, length, vocabulary, labels)),
            "task": f"AutoModel{task}",
        }
        cell, tokens = f"{size} × {length}", size * length
        found = measure_cell(session, group, cell, SUBJECTS, for_all(settings), BASELINE, tokens, compare=False)
        subjects = {subject.name: subject for subject in SUBJECTS}
        for row in found:
            memory = fresh_memory(session, f"{group}, {cell}", subjects[row["subject"]], settings)
            rows.append({**row, "layers": session.layers or LAYERS, "memory": memory})
    return {}, rows


def fresh_memory(session: Session, where: str, subject: Subject, settings: dict[str, Any]) -> float | None:
    """The peak of the second step in a process that does nothing else, in MB beyond the loaded model."""
    worker = session.start(subject.library)
    try:
        asked = {"do": "build", "name": subject.name, "build": subject.build}
        worker.ask({**asked, "settings": {**settings, **subject.options}})
        first, second = (worker.ask({"do": "call", "name": subject.name}) for _ in range(2))
        return float(second["peak"] - first["before"])
    except WorkerError as error:
        session.leave_out(where, f"{subject.name}, memory", str(error))
        return None
    finally:
        worker.close()
