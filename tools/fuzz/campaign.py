"""Inputs for one target, one after the other, until the time is over; and what came of them."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tools.fuzz.corpus import Files, read_files, write_files
from tools.fuzz.targets import find_target
from tools.fuzz.watch import Result
from tools.fuzz.worker import Worker

MEBIBYTES, SECONDS = 300, 20.0  # an input may take, as the limits of the library promise


@dataclass
class Summary:
    """What came of a target's inputs.

    Attributes:
        target: its name.
        inputs: how many.
        kinds: of results, with their numbers.
        refusals: in how many places inputs were refused.
        failures: each once, "kind place" to its number.
        slowest: seconds.
        largest: MiB of memory.
    """

    target: str
    inputs: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    largest: float = 0.0

    def add(self, result: Result) -> bool:
        """Counts a result; whether it is a failure of which there was none yet."""
        self.inputs += 1
        self.kinds[result.kind] += 1
        self.slowest, self.largest = max(self.slowest, result.seconds), max(self.largest, result.mebibytes)
        if result.kind == "refused":
            self.refusals[result.place] += 1
        elif result.is_failure:
            self.failures[f"{result.kind} {result.place}".strip()] += 1
            return self.failures[f"{result.kind} {result.place}".strip()] == 1
        return False

    def __str__(self) -> str:
        return (
            f"{self.target}: {self.inputs} inputs, {self.kinds['read']} read, {self.kinds['refused']} refused in "
            f"{len(self.refusals)} places, {sum(self.failures.values())} failures of {len(self.failures)} kinds, "
            f"slowest {self.slowest:.2f} s, largest {self.largest:.0f} MiB"
        )


def changed(name: str, key: str, corpus: list[Files]) -> Files:
    """The input of a key, which follows from the key and the corpus alone."""
    random = Random(key)
    return find_target(name).change(random, dict(random.choice(corpus)))


def fuzz(
    name: str, seconds: float, seed: int, out: Path, report: Callable[[str], object] = print, most: int | None = None
) -> Summary:
    """Reads inputs until the time is over, or there were enough.

    Args:
        name: of the target.
        seconds: how long, from the first input on.
        seed: what all inputs follow from.
        out: a folder for the inputs that fail, one of each kind, in `out/NAME/NUMBER-KIND/input` with report.txt.
        report: is told each failure when it is found.
        most: how many inputs are enough; None: the time says.
    """
    summary = Summary(name)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        scratch = Path(temporary)
        corpus = make_corpus(name, scratch)
        worker = Worker(name, scratch, MEBIBYTES, SECONDS)
        worker.run("start", corpus[0])  # what it imports is not an input's time
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and summary.inputs != most:
                key = f"{name} {seed} {summary.inputs}"
                files = changed(name, key, corpus)
                result = worker.run(key, files)
                if summary.add(result):
                    folder = _saved(out / name, len(summary.failures), key, result, files)
                    report(f"  {result.kind} {result.place}: {folder}")
        finally:
            worker.close()
    return summary


def replay(name: str, folder: Path) -> Result:
    """Reads an input that `fuzz` saved again."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        scratch = Path(temporary)
        make_corpus(name, scratch)
        worker = Worker(name, scratch, MEBIBYTES, SECONDS)
        try:
            key = (folder / "report.txt").read_text(encoding="utf-8").partition("\n")[0]
            return worker.run(key, read_files(folder / "input"))
        finally:
            worker.close()


def make_corpus(name: str, scratch: Path) -> list[Files]:
    """The undamaged inputs, which are put into `scratch/corpus`, too."""
    (scratch / "making").mkdir()
    corpus = find_target(name).corpus(scratch / "making")
    (scratch / "corpus").mkdir()
    for number, files in enumerate(corpus):
        write_files(scratch / "corpus" / f"{number:03d}", files)
    return corpus


def _saved(out: Path, number: int, key: str, result: Result, files: Files) -> Path:
    folder = out / f"{number:02d}-{result.kind}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_files(folder / "input", files)
    cost = f"{result.seconds:.2f} s, {result.mebibytes:.0f} MiB"
    lines = (key, f"{result.kind} {result.place}", cost, "", result.detail, "")
    (folder / "report.txt").write_text("\n".join(lines), encoding="utf-8", errors="backslashreplace")
    return folder
