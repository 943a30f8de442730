"""How long exporting takes, how large the files are, and how soon what was exported answers from a cold start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.benchmark import inputs
from tools.benchmark.libraries import Subject
from tools.benchmark.sections.loading import LAYERS, LENGTH, SIZE, once_in_fresh_processes
from tools.benchmark.sections.side_by_side import reference
from tools.benchmark.session import Row, Session, for_all

Options = dict[str, object]
THEIRS, BASELINE = "PyTorch's exporter, transformers 4", "transformers 4"
FORMATS = (
    ("onnx", "float32"),
    ("onnx", "int8"),
    ("openvino", "float32"),
    ("torch-export", "float32"),
    ("saved-model", "float32"),
    ("litert", "float32"),
)
# Those that write tell the folder `target` they write into, and those that read which of these they read.
WRITERS = (
    Subject(THEIRS, "runtimes", "writing", Options(target="theirs")),
    *(
        Subject(
            f"ours, to {to} in {dtype}", "ours-graphs", "writing", Options(to=to, dtype=dtype, target=f"{to}-{dtype}")
        )
        for to, dtype in FORMATS
    ),
)
READERS = (
    Subject(BASELINE, "transformers4", "loading"),
    Subject("ONNX Runtime", "runtimes", "loading", Options(runtime="onnx_runtime", dtype="float32", target="theirs")),
    Subject("OpenVINO", "runtimes", "loading", Options(runtime="open_vino", hint="f32", target="theirs")),
    Subject("ours", "ours-torch", "loading"),
    *(
        Subject(f"ours, {to} in {dtype}", "ours-graphs", "loading", Options(to=to, dtype=dtype, target=f"{to}-{dtype}"))
        for to, dtype in FORMATS
    ),
)
CELL = f"{SIZE} × {LENGTH}"


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """Rows of writing, with the megabytes of the files, and of the first answer, with its error."""
    folder, batches = session.checkpoint("v3-base", LAYERS), inputs.full(SIZE, LENGTH, 1000)
    settings = for_all({"folder": folder, "inputs": session.inputs("exports", batches)})
    rows = once_in_fresh_processes(session, "Writing", CELL, WRITERS, settings, THEIRS)
    targets = {subject.name: str(subject.options["target"]) for subject in WRITERS}
    for row in rows:
        files = (session.folder / targets[row["subject"]]).rglob("*")
        row["size"] = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
    expected = reference(Path(folder), batches)
    rows += once_in_fresh_processes(session, "First answer", CELL, READERS, settings, BASELINE, expected)
    return {}, [{**row, "layers": session.layers or LAYERS} for row in rows]
