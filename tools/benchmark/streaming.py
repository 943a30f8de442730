"""A classifier over many lines: what the model alone takes, on batches that lie ready.

    python -m tools.benchmark.streaming FOLDER FILE

Prints the seconds as JSON, and those of processor time. The batches are those that `deberta run` makes of the same
lines: windows of some batches, sorted by length.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deberta_dual import pipeline
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pipelines.base import BATCHES_AHEAD, Pipeline


def main() -> None:
    """Measures once."""
    folder, file = sys.argv[1:]
    run = pipeline("text-classification", folder, framework="torch", device="cpu")
    batches = list(prepared(run, Path(file).read_text(encoding="utf-8").splitlines()))
    run.arrays.run(batches[0], None)
    start, processor = time.perf_counter(), time.process_time()
    for batch in batches:
        run.arrays.run(batch, None)
    print(json.dumps([time.perf_counter() - start, time.process_time() - processor]))


def prepared(run: Pipeline, lines: list[str]) -> Iterator[Arrays]:
    """The batches of all lines."""
    size = run.options.batch_size
    window = BATCHES_AHEAD * size
    for start in range(0, len(lines), window):
        rows = [run.prepare(line, run.options).rows[0] for line in lines[start : start + window]]
        rows.sort(key=len, reverse=True)
        for first in range(0, len(rows), size):
            chosen = rows[first : first + size]
            batch = {name: np.zeros((len(chosen), len(chosen[0])), np.int64) for name in chosen[0].inputs}
            for name, array in batch.items():
                for number, row in enumerate(chosen):
                    array[number, : len(row)] = row.inputs[name]
            yield batch


if __name__ == "__main__":
    main()
