"""Texts of mixed real lengths: the lines of a file, or this repository's own pages."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Shorter lines are headings, longer ones are cut here: in characters.
_LEAST, _MOST = 20, 4000


def read_texts(given: Sequence[Path] | None, count: int, seed: int = 0) -> list[str]:
    """Reads texts, and shuffles them.

    Args:
        given: files with a text a line; None, or none that is there: the pages in docs/.
        count: how many to give at most, as many of each file.
        seed: of the order.
    """
    files = [file for file in given or () if file.is_file()]
    groups = [[file] for file in files] or [sorted((ROOT / "docs").glob("*.md"))]
    texts: list[str] = []
    for group in groups:
        lines = [line.strip() for one in group for line in one.read_text(encoding="utf-8").splitlines()]
        fitting = [line[:_MOST] for line in lines if len(line) >= _LEAST]
        texts += random.Random(seed).sample(fitting, min(count // len(groups), len(fitting)))
    random.Random(seed).shuffle(texts)
    return texts
