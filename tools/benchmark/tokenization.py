"""Measures the tokenizers beside those of transformers: tokens per second, in one call and text by text.

    python -m tools.benchmark.tokenization --oracle PYTHON --text FILE --v1 FOLDER --v3 FOLDER

`PYTHON` is the interpreter of an environment with transformers; default: $DEBERTA_ORACLE. A folder has the vocabulary
files as published. Every class is timed in turn, all on the same texts, each library in a process of its own; what is
printed are medians. Texts are the first lines of the file that are not blank.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from tools.benchmark.process import Worker
from tools.benchmark.timing import interleaved, machine, ratio

MODES = ("batch", "single")
OURS, THEIRS = "deberta_core", "transformers"
# Our classes by vocabulary; transformers has a class of each name, the slow one and the fast one.
CLASSES = {
    "v1": ("DebertaTokenizer", "DebertaTokenizerFast"),
    "v3": ("DebertaV2Tokenizer", "DebertaV2TokenizerFast"),
}
DISTRIBUTIONS = {OURS: "deberta-dual", THEIRS: "transformers"}


def run(
    pythons: dict[str, str], texts: list[str], vocabularies: dict[str, Path], rounds: int, seconds: float
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Starts the libraries and measures them.

    Args:
        pythons: an interpreter per library.
        texts: what is tokenized.
        vocabularies: folders by version.
        rounds: how many runs of each class count.
        seconds: a run repeats its pass for so long.

    Returns:
        The rows of `measure`, and the versions of what was measured.
    """
    folders = {name: str(Path(vocabularies[version]).resolve()) for version, names in CLASSES.items() for name in names}
    workers: dict[str, Worker] = {}
    versions: dict[str, str] = {}
    try:
        for library, python in pythons.items():
            workers[library] = Worker([python, "-m", "tools.benchmark.tokenization_worker"])
            setting = {"library": library, "folders": folders, "texts": texts, "seconds": seconds}
            found = workers[library].ask({**setting, "packages": [DISTRIBUTIONS[library]]})
            versions[DISTRIBUTIONS[library]] = found[DISTRIBUTIONS[library]]
            versions[f"tokenizers ({library})"] = found["tokenizers"]
        return measure(workers, rounds), versions
    finally:
        for worker in workers.values():
            worker.close()


def read_texts(file: Path, lines: int) -> list[str]:
    """The first lines of a file that are not blank."""
    found = file.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in found if line.strip()][:lines]


def measure(workers: dict[str, Worker], rounds: int) -> list[dict[str, Any]]:
    """Times every class of every library in every mode.

    Returns:
        Rows of version, mode, library, class, median seconds of a pass over all texts, and tokens of it.
    """
    tokens: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    for mode in MODES:

        def seconds(subject: str, mode: str = mode) -> float:
            library, name = subject.split(".")
            answer = workers[library].ask({"name": name, "mode": mode})
            tokens[subject] = answer["tokens"]
            return float(answer["seconds"])

        for version, names in CLASSES.items():
            subjects = [f"{library}.{name}" for library in workers for name in names]
            for subject, median in interleaved(subjects, seconds, rounds).items():
                library, name = subject.split(".")
                found = {"seconds": median, "tokens": tokens[subject]}
                rows.append({"version": version, "mode": mode, "library": library, "class": name, **found})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """A line per class of ours: its speed, and how many times as fast as transformers' slow and fast class it is."""
    found = {(row["library"], row["class"], row["mode"]): row for row in rows}
    lines = ["| Class | Call | Tokens per second | to slow | to fast |", "|---|---|---|---|---|"]
    for names in CLASSES.values():
        for name in names:
            for mode in MODES:
                row = found[OURS, name, mode]
                ratios = [ratio(found[THEIRS, peer, mode]["seconds"], row["seconds"]) for peer in names]
                speed = f"{row['tokens'] / row['seconds']:,.0f}"
                lines.append(f"| {name} | {mode} | {speed} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table, or everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--oracle", default=os.environ.get("DEBERTA_ORACLE"), help="a Python with transformers")
    parser.add_argument("--text", type=Path, required=True, help="a text file; every line is a text")
    for version in CLASSES:
        parser.add_argument(f"--{version}", required=True, help=f"folder with the {version} vocabulary")
    parser.add_argument("--lines", type=int, default=500, help="how many texts")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each class that count")
    parser.add_argument("--seconds", type=float, default=0.2, help="a run repeats its pass for so long")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    if not arguments.oracle:
        parser.error("give --oracle PYTHON, an interpreter with transformers, or set DEBERTA_ORACLE")
    texts = read_texts(arguments.text, arguments.lines)
    vocabularies = {version: Path(getattr(arguments, version)) for version in CLASSES}
    pythons = {OURS: sys.executable, THEIRS: arguments.oracle}
    rows, versions = run(pythons, texts, vocabularies, arguments.rounds, arguments.seconds)
    on = machine(versions)
    if arguments.json:
        print(
            json.dumps({"machine": on, "lines": len(texts), "characters": sum(map(len, texts)), "rows": rows}, indent=1)
        )
    else:
        print(f"{on}\n{len(texts)} texts, {sum(map(len, texts))} characters\n\n{table(rows)}")


if __name__ == "__main__":
    main()
