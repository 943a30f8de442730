"""`deberta run` over many lines, from its start to its end, and the model alone; `--text` says which text."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from deberta_core import DebertaV2Tokenizer
from tools.benchmark.process import ROOT
from tools.benchmark.session import Row, Session, make_rows
from tools.benchmark.timing import samples

LINES, FEW = 50_000, 5_000
VOCABULARY = 8000
WORDS = range(4, 13)  # in a line
BASELINE, COMMAND = SUBJECTS = ("the model alone", "deberta run")
ARCHITECTURE = "v3-xsmall"


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """Rows of time; the peak memory, and that of a tenth of the lines, which says whether it grows."""
    if not session.options.get("text"):
        session.leave_out("streaming", "all", "it needs --text")
        return {}, []
    lines = read_lines(session.options["text"], LINES)
    tokenizer = DebertaV2Tokenizer.train(lines, VOCABULARY, model_max_length=512)
    folder = Path(session.checkpoint(ARCHITECTURE, None, len(tokenizer), "ForSequenceClassification"))
    tokenizer.save_pretrained(folder)
    files = {count: session.folder / f"{count}.txt" for count in (LINES, FEW)}
    for count, file in files.items():
        file.write_text("\n".join(lines[:count]) + "\n", encoding="utf-8")
    python, peaks = session.pythons["ours"], dict.fromkeys(files, 0.0)

    def call(subject: str) -> float:
        if subject == BASELINE:
            command = [python, "-m", "tools.benchmark.streaming", str(folder), str(files[LINES])]
            return float(json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout))
        seconds, peaks[LINES] = run_command(python, folder, files[LINES])
        return seconds

    _, peaks[FEW] = run_command(python, folder, files[FEW])
    measured = samples(SUBJECTS, call, session.rounds, warmups=0)
    facts = {
        "lines": LINES,
        "few": FEW,
        "tokens": sum(len(tokenizer(line)["input_ids"]) for line in lines),
        "peak": peaks[LINES],
        "few_peak": peaks[FEW],
    }
    return facts, make_rows(ARCHITECTURE, f"{LINES:,} lines", measured, BASELINE, {})


def read_lines(file: Path, count: int) -> list[str]:
    """Sentences of a file, again and again until there are enough, each with a number, so that none is twice there."""
    sentences = re.split(r"(?<=[.!?])\s+", file.read_text(encoding="utf-8"))
    short = [" ".join(text.split()) for text in sentences if len(text.split()) in WORDS]
    return [f"{number} {text}" for number, text in enumerate(islice(cycle(short), count))]


def run_command(python: str, folder: Path, file: Path) -> tuple[float, float]:
    """The seconds of the whole command, and its peak memory in MB."""
    command = [python, "-m", "deberta_dual.cli", "run", "--task=text-classification", f"--model={folder}"]
    command += ["--device=cpu", "--framework=torch", f"--input={file}", f"--output={file}.out"]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"deberta run ended with {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024
