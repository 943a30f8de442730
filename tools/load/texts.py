"""Texts of mixed real lengths: the lines of a file, or this repository's own pages."""

from __future__ import annotations

import random
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Shorter lines are headings, longer ones are cut here: in characters.
_LEAST, _MOST = 20, 4000


def read_texts(file: Path | None, count: int, seed: int = 0) -> list[str]:
    """Reads texts, and shuffles them.

    Args:
        file: a text a line; None, or one that is not there: the lines of the pages in docs/.
        count: how many to give at most.
        seed: of the order.
    """
    files = [file] if file is not None and file.is_file() else sorted((ROOT / "docs").glob("*.md"))
    lines = [line.strip() for one in files for line in one.read_text(encoding="utf-8").splitlines()]
    texts = [line[:_MOST] for line in lines if len(line) >= _LEAST]
    random.Random(seed).shuffle(texts)
    return texts[:count]
