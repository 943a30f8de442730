"""`deberta run` over many lines, from its start to its end, and the model alone; `--text` says which text."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

from deberta_core import DebertaV2Tokenizer
from tools.benchmark.process import ROOT
from tools.benchmark.session import Row, Session, make_rows
from tools.benchmark.timing import samples

# Of a shape how many lines.
CELLS = (("v3-xsmall", 10_000), ("v3-base", 2_000))
FEW = 1_000  # of the first shape's lines, whose memory is compared with that of all
VOCABULARY = 8000
WORDS = range(4, 13)  # in a line
BASELINE, COMMAND = SUBJECTS = ("the model alone", "deberta run")


class Used(NamedTuple):
    """What a process used.

    Attributes:
        seconds: from its start to its end.
        processor: seconds of all its threads together.
        peak: of its memory, in MB.
    """

    seconds: float
    processor: float
    peak: float


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """Rows of time; the peak memory, and that of fewer lines, which says whether it grows."""
    if not session.options.get("text"):
        session.leave_out("streaming", "all", "it needs --text")
        return {}, []
    shapes: list[str] = []
    rows: list[Row] = []
    for architecture, count in CELLS:
        if not session.chosen or architecture in session.chosen:
            rows += _measure(session, architecture, count, shapes)
    return {"vocabulary": VOCABULARY, "shapes": "; ".join(shapes)}, rows


def _measure(session: Session, architecture: str, count: int, shapes: list[str]) -> list[Row]:
    lines = read_lines(session.options["text"], count)
    tokenizer = DebertaV2Tokenizer.train(lines, VOCABULARY, model_max_length=512, hard_vocab_limit=False)
    folder = Path(session.checkpoint(architecture, None, len(tokenizer), "ForSequenceClassification"))
    tokenizer.save_pretrained(folder)
    file, python = session.folder / f"{count}.txt", session.pythons["ours"]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    processor: dict[str, list[float]] = {subject: [] for subject in SUBJECTS}
    peak = 0.0

    def call(subject: str) -> float:
        nonlocal peak
        if subject == BASELINE:
            command = [python, "-m", "tools.benchmark.streaming", str(folder), str(file)]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            seconds, of_threads = json.loads(done.stdout)
        else:
            seconds, of_threads, peak = run_command(python, folder, file)
        processor[subject].append(of_threads)
        return float(seconds)

    measured = samples(SUBJECTS, call, session.rounds, warmups=0)
    tokens = sum(len(tokenizer(line)["input_ids"]) for line in lines)
    said = f"{architecture}: {count:,} lines, {tokens:,} tokens, {session.rounds} round(s), memory up to {peak:,.0f} MB"
    if count > FEW:
        file.write_text("\n".join(lines[:FEW]) + "\n", encoding="utf-8")
        said += f", over the first {FEW:,} lines up to {run_command(python, folder, file).peak:,.0f} MB"
    shapes.append(said)
    extras = {subject: {"processor": statistics.median(own)} for subject, own in processor.items()}
    return make_rows(architecture, f"{count:,} lines", measured, BASELINE, extras)


def read_lines(file: Path, count: int) -> list[str]:
    """Sentences of a file, again and again until there are enough, each with a number, so that none is twice there."""
    sentences = re.split(r"(?<=[.!?])\s+", file.read_text(encoding="utf-8"))
    short = [" ".join(text.split()) for text in sentences if len(text.split()) in WORDS]
    return [f"{number} {text}" for number, text in enumerate(islice(cycle(short), count))]


def run_command(python: str, folder: Path, file: Path) -> Used:
    """What the whole command used, with the start of Python and the loading of the model."""
    command = [python, "-m", "deberta_dual.cli", "run", "--task=text-classification", f"--model={folder}"]
    command += ["--device=cpu", "--framework=torch", f"--input={file}", f"--output={file}.out"]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"deberta run ended with {status}")
    return Used(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
