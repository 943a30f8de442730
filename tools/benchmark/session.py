"""One run of the benchmarks: its environments, checkpoints and inputs, and how a cell of a table is measured."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tools.benchmark import checkpoints
from tools.benchmark.inputs import Array, Batches
from tools.benchmark.libraries import ENVIRONMENTS, LIBRARIES, SHARED_VARIABLES, Subject
from tools.benchmark.process import Worker, WorkerError
from tools.benchmark.timing import features, samples, spread

Row = dict[str, Any]
Settings = Callable[[Subject], dict[str, Any]]
PATH = re.compile(r"(?:/[\w.+@-]+)+/")  # folders of this machine are nobody's business
VERSIONS = """
import json, sys
from importlib.metadata import distributions
found = {one.metadata["Name"]: one.version for one in distributions()}
print(json.dumps({name: found[name] for name in sys.argv[1:] if name in found}))
"""


@dataclass
class Session:
    """What a run was asked to do.

    Attributes:
        pythons: an interpreter per name of `ENVIRONMENTS`.
        rounds: how many runs of each subject count.
        folder: where checkpoints, inputs and outputs go; the caller deletes it.
        layers: instead of the number of each cell.
        only_first: measure the first cell of every section.
        options: what single sections need: `text`, `v1` and `v3` of the tokenizers.
        left_out: what could not be measured, and why; collected.
        chosen: measure only these cells: batch and length, as 8x128, or v3-base:8x128; empty for all.
    """

    pythons: dict[str, str]
    rounds: int
    folder: Path
    layers: int | None = None
    only_first: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)
    chosen: Sequence[str] = ()

    def cells(self, listed: Sequence[Any]) -> Sequence[Any]:
        """Those to measure; the last two entries of a cell are its batch size and length."""
        if self.chosen and not isinstance(listed[0], str):
            sizes = [f"{cell[-2]}x{cell[-1]}" for cell in listed]
            listed = [
                cell
                for cell, size in zip(listed, sizes, strict=True)
                if {size, f"{cell[0]}:{size}"}.intersection(self.chosen)
            ]
        return listed[:1] if self.only_first else listed

    def checkpoint(
        self, architecture: str, layers: int | None, vocabulary: int | None = None, task: str | None = None
    ) -> str:
        """The folder of a checkpoint, written when it is asked for the first time; arguments as `checkpoints.write`."""
        layers = self.layers or layers
        folder = self.folder / f"{architecture}-{layers}-{vocabulary}-{task}"
        if not folder.exists():
            checkpoints.write(folder, architecture, layers, vocabulary, task)
        return str(folder)

    def inputs(self, name: str, batches: Batches) -> str:
        """Writes the inputs of a cell for the workers."""
        return batches.save(self.folder / f"{name}.npz")

    def versions(self) -> dict[str, dict[str, str]]:
        """The versions of what is measured, by environment."""
        found = {}
        for name, python in self.pythons.items():
            command = [python, "-c", VERSIONS, *ENVIRONMENTS[name][1]]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[name] = json.loads(done.stdout)
        return found

    @contextmanager
    def workers(self) -> Iterator[Callable[[str], Worker]]:
        """Starts a worker per library when it is asked for, and ends all of them."""
        started: dict[str, Worker] = {}

        def worker(library: str) -> Worker:
            if library not in started:
                started[library] = self.start(library)
            return started[library]

        try:
            yield worker
        finally:
            for process in started.values():
                process.close()

    def start(self, library: str) -> Worker:
        """A worker that has imported its library.

        Raises:
            WorkerError: the library cannot be imported.
        """
        entry = LIBRARIES[library]
        command = [self.pythons[entry.environment], "-m", "tools.benchmark.worker", entry.module]
        # What is exported or measured is kept below the session's folder, and so nothing of an earlier run is found.
        own = {"XDG_CACHE_HOME": str(self.folder / "cache")}
        worker = Worker(command, SHARED_VARIABLES | own | entry.variables)
        worker.receive()
        return worker

    def possible(self, where: str, subjects: Iterable[Subject], tokens: int) -> list[Subject]:
        """The subjects that can run here; the others are noted as left out."""
        emulated = not any("bfloat16" in feature for feature in features())
        possible = []
        for subject in subjects:
            if subject.environment not in self.pythons:
                self.leave_out(where, subject.name, f"no environment {subject.environment} was given")
            elif emulated and subject.emulated_tokens is not None and tokens > subject.emulated_tokens:
                self.leave_out(where, subject.name, "this processor has no instructions for bfloat16")
            else:
                possible.append(subject)
        return possible

    def leave_out(self, where: str, subject: str, reason: str) -> None:
        """Notes that a subject is missing in a cell."""
        reason = PATH.sub(".../", reason)
        self.left_out.append({"cell": where, "subject": subject, "reason": reason})
        print(f"left out: {subject} at {where}: {reason}", file=sys.stderr, flush=True)


@dataclass
class Measured:
    """What became of the subjects of a cell, by name.

    Attributes:
        seconds: round by round.
        processor: likewise, the time of the processor, over all threads.
        extras: other columns of the rows.
        outputs: files with what they computed.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    processor: dict[str, list[float]] = field(default_factory=dict)
    extras: dict[str, Row] = field(default_factory=dict)
    outputs: dict[str, Path] = field(default_factory=dict)


def for_all(settings: dict[str, Any]) -> Settings:
    """The same settings for every subject."""
    return lambda subject: settings


def measure_cell(
    session: Session,
    group: str,
    cell: str,
    subjects: Sequence[Subject],
    settings: Settings,
    baseline: str,
    tokens: int,
    compare: bool = True,
    apart: bool = False,
    reference: Array | None = None,
    by_processor: bool = False,
) -> list[Row]:
    """Builds every subject, lets it compute twice, and then all of them in turn.

    Args:
        session: the run.
        group: the table.
        cell: its column.
        subjects: its lines.
        settings: what the builder of a subject gets: `folder`, `inputs` and what the module asks for.
        baseline: the name of the subject that the others are compared with.
        tokens: how many a call has, at most.
        compare: whether outputs can be compared, where a library loads the weights of the checkpoint.
        apart: one subject after the other, each in a process that ends; for what needs too much memory side by side.
        by_processor: the time of the processor counts, for one thread on a machine that does other things, too.
        reference: the outputs to compare with, by whose largest number differences are divided; None: the baseline's.

    Returns:
        A row per subject: times, ratios to the baseline with quartiles, memory in MB, largest difference of outputs.
    """
    where, found = f"{group}, {cell}", Measured()
    possible = session.possible(where, subjects, tokens)
    for chosen in [[subject] for subject in possible] if apart else [possible]:
        _measure(session, where, chosen, settings, compare, found)
    scale = 1.0 if reference is None else abs(reference).max()
    if reference is None and baseline in found.outputs:
        reference = np.load(found.outputs[baseline])
    for name, file in found.outputs.items():
        output = np.load(file)
        if reference is not None and output.shape == reference.shape:
            found.extras[name]["difference"] = float(abs(output - reference).max() / scale)
    for name, own in found.processor.items():
        if baseline in found.processor:
            pairs = zip(found.processor[baseline], own, strict=True)
            found.extras[name]["processor_ratio"] = statistics.median(theirs / ours for theirs, ours in pairs)
    return make_rows(group, cell, found.processor if by_processor else found.seconds, baseline, found.extras)


def _measure(
    session: Session, where: str, subjects: Sequence[Subject], settings: Settings, compare: bool, found: Measured
) -> None:
    """Measures subjects in turn and adds to `found`."""
    with session.workers() as workers:
        ready: dict[str, Subject] = {}
        for subject in subjects:
            file = session.folder / f"output{len(found.extras)}.npy"
            file.unlink(missing_ok=True)
            try:
                worker = workers(subject.library)
                asked = {"do": "build", "name": subject.name, "build": subject.build}
                built = worker.ask({**asked, "settings": {**settings(subject), **subject.options}})
                first = worker.ask({"do": "call", "name": subject.name, "output": str(file) if compare else None})
                second = worker.ask({"do": "call", "name": subject.name})
            except WorkerError as error:
                session.leave_out(where, subject.name, str(error))
                continue
            ready[subject.name] = subject
            found.extras[subject.name] = {"memory": second["peak"] - first["before"], **built}
            if file.exists():
                found.outputs[subject.name] = file

        def seconds(name: str) -> float:
            passed = workers(ready[name].library).ask({"do": "run", "name": name})
            found.processor.setdefault(name, []).append(float(passed["processor"]))
            return float(passed["seconds"])

        if ready:
            found.seconds |= samples(list(ready), seconds, session.rounds, warmups=0)


def make_rows(
    group: str, cell: str, measured: dict[str, list[float]], baseline: str, extras: dict[str, Row]
) -> list[Row]:
    """Rows of medians and quartiles; ratios are taken round by round, because rounds may differ."""
    rows = []
    for name, seconds in measured.items():
        row: Row = {"group": group, "cell": cell, "subject": name, **spread("seconds", seconds)}
        if baseline in measured:
            pairs = zip(measured[baseline], seconds, strict=True)
            row["baseline"] = baseline
            row |= spread("ratio", [theirs / ours for theirs, ours in pairs])
        rows.append({**row, **extras.get(name, {})})
        print(f"{group}, {cell}: {name}: {row['seconds'] * 1000:.1f} ms, {row.get('ratio', 1):.2f}x", flush=True)
    return rows
