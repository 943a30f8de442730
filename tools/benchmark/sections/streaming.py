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
BASELINE, COMMAND, SHORT = "the model alone", "deberta run", "deberta run, a tenth of the lines"
ARCHITECTURE = "v3-xsmall"


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """Rows of time and of peak memory; that of a tenth of the lines says whether it grows."""
    if not session.options.get("text"):
        session.leave_out("streaming", "all", "it needs --text")
        return {}, []
    lines = read_lines(session.options["text"], LINES)
    tokenizer = DebertaV2Tokenizer.train(lines, VOCABULARY, model_max_length=512)
    folder = session.checkpoint(ARCHITECTURE, None, len(tokenizer), "ForSequenceClassification")
    tokenizer.save_pretrained(folder)
    files = {}
    for subject, count in ((BASELINE, LINES), (COMMAND, LINES), (SHORT, FEW)):
        files[subject] = session.folder / f"{count}.txt"
        files[subject].write_text("\n".join(lines[:count]) + "\n", encoding="utf-8")
    peaks: dict[str, float] = {}

    def call(subject: str) -> float:
        if subject == BASELINE:
            command = [session.pythons["ours"], "-m", "tools.benchmark.streaming", str(folder), str(files[subject])]
            return float(json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout))
        seconds, peaks[subject] = run_command(session.pythons["ours"], folder, files[subject])
        return seconds

    measured = samples(list(files), call, session.rounds, warmups=0)
    extras = {name: {"memory": peaks.get(name)} for name in measured}
    facts = {"lines": LINES, "few": FEW, "tokens": sum(len(tokenizer(line)["input_ids"]) for line in lines)}
    return facts, make_rows(ARCHITECTURE, f"{LINES:,} lines", measured, BASELINE, extras)


def read_lines(file: Path, count: int) -> list[str]:
    """Sentences of a file, again and again until there are enough, each with a number, so that none is twice there."""
    sentences = re.split(r"(?<=[.!?])\s+", file.read_text(encoding="utf-8"))
    short = [" ".join(text.split()) for text in sentences if len(text.split()) in WORDS]
    return [f"{number} {text}" for number, text in enumerate(islice(cycle(short), count))]


def run_command(python: str, folder: Path, file: Path) -> tuple[float, float]:
    """The seconds of the whole command, and its peak memory in MB."""
    command = [python, "-m", "deberta_core.cli", "run", "--task=text-classification", f"--model={folder}"]
    command += ["--device=cpu", "--framework=torch", f"--input={file}", f"--output={file}.out"]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"deberta run ended with {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024
