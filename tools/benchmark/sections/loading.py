"""From `from_pretrained` to the first answer, in fresh processes that have imported everything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.benchmark import inputs
from tools.benchmark.inputs import Array
from tools.benchmark.libraries import Subject
from tools.benchmark.process import WorkerError
from tools.benchmark.session import Row, Session, Settings, for_all, make_rows
from tools.benchmark.timing import samples

BASELINE = "transformers 4"
SUBJECTS = (
    Subject(BASELINE, "transformers4", "loading"),
    Subject("transformers 5", "transformers5", "loading"),
    Subject("transformers 4, TensorFlow", "transformers-keras", "loading"),
    Subject("ours", "ours-torch", "loading"),
    Subject("ours, Keras", "ours-keras", "loading"),
)
GROUP, CELL = "v3-base", "1 × 16"
SIZE, LENGTH, LAYERS = 1, 16, 12


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """Rows of time, and of peak memory beyond the imports; the first round only fills the page cache."""
    settings = {
        "folder": session.checkpoint("v3-base", None),
        "inputs": session.inputs("loading", inputs.full(SIZE, LENGTH, 1000)),
    }
    rows = once_in_fresh_processes(session, GROUP, CELL, SUBJECTS, for_all(settings), BASELINE)
    return {}, [{**row, "layers": session.layers or LAYERS} for row in rows]


def once_in_fresh_processes(
    session: Session,
    group: str,
    cell: str,
    subjects: Sequence[Subject],
    settings: Settings,
    baseline: str,
    reference: Array | None = None,
) -> list[Row]:
    """Rows of the first call, each in a process that has imported everything; as `measure_cell`."""
    extras: dict[str, Row] = {}

    def call(subject: Subject, output: Path | None = None) -> float:
        worker = session.start(subject.library)
        try:
            given = {**settings(subject), **subject.options}
            worker.ask({"do": "build", "name": "it", "build": subject.build, "settings": given})
            answer = worker.ask({"do": "call", "name": "it", "output": output and str(output)})
        finally:
            worker.close()
        row = extras.setdefault(subject.name, {"memory": 0.0})
        row["memory"] = max(row["memory"], answer["peak"] - answer["before"])
        return float(answer["seconds"])

    working: dict[str, Subject] = {}
    for subject in session.possible(f"{group}, {cell}", subjects, SIZE * LENGTH):
        try:
            if reference is None:
                call(subject)
            else:
                call(subject, file := session.folder / "answer.npy")
                error = abs(np.load(file) - reference).max() / abs(reference).max()
                extras[subject.name]["difference"] = float(error)
            working[subject.name] = subject
        except WorkerError as problem:
            session.leave_out(f"{group}, {cell}", subject.name, str(problem))
    measured = samples(list(working), lambda name: call(working[name]), session.rounds, warmups=0) if working else {}
    return make_rows(group, cell, measured, baseline, extras)
