"""`deberta run` over very many lines with a tiny model: whether its memory grows.

    python -m tools.benchmark.many_lines --lines 1000000

Prints the seconds, and the memory of the process in MB as it was after each tenth of the lines. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core import DebertaV2Config, DebertaV2Tokenizer
from deberta_core.checkpoint import save_weights
from deberta_core.initialization import draw_parameters
from deberta_core.parameters import expand
from tools.benchmark.process import ROOT

WORDS = ("river", "hill", "bridge", "stone", "water", "town", "spring", "winter", "path", "sea", "old", "new", "high")
TASK = "sequence_classification"
SIZES: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
TENTHS = 10


def main() -> None:
    """Measures once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000, help="default: 1000000")
    parser.add_argument("--framework", choices=("torch", "tf"), default="torch", help="default: torch")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), arguments.lines, arguments.framework)))


def measure(folder: Path, lines: int, framework: str) -> dict[str, object]:
    """Runs the command over so many lines: its seconds, and its memory in MB after each tenth."""
    make_model(folder / "model")
    (folder / "lines.txt").write_text("".join(f"{line}\n" for line in made_lines(lines)), encoding="utf-8")
    command = [sys.executable, "-m", "deberta_dual.cli", "run", "--task=text-classification", "--device=cpu"]
    command += [f"--framework={framework}", f"--model={folder / 'model'}", f"--input={folder / 'lines.txt'}"]
    start, count, memory = time.perf_counter(), 0, []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for count, _ in enumerate(process.stdout, 1):
            if count % max(lines // TENTHS, 1) == 0:
                memory.append(round(resident(process.pid), 1))
    if process.returncode or count != lines:
        raise SystemExit(f"status {process.returncode}, {count} of {lines} lines answered")
    seconds = time.perf_counter() - start
    return {"lines": lines, "seconds": round(seconds, 1), "lines a second": round(lines / seconds), "MB": memory}


def resident(process: int) -> float:
    """The memory of a process in MB."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def make_model(folder: Path) -> None:
    """Saves a classifier with random weights that knows the words."""
    tokenizer = DebertaV2Tokenizer.train(WORDS, vocab_size=280)
    config = DebertaV2Config(vocab_size=len(tokenizer), position_biased_input=False, id2label={0: "a", 1: "b"}, **SIZES)
    save_weights(folder, config, TASK, draw_parameters(config, TASK, expand(config, TASK), seed=0))
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def made_lines(count: int) -> Iterator[str]:
    """Lines of one to six words, the last with a number, so that no two are alike."""
    random = np.random.default_rng(0)
    for number in range(count):
        yield " ".join([*random.choice(WORDS, size=random.integers(1, 6)), str(number)])


if __name__ == "__main__":
    main()
