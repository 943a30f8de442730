"""Draws the figures of `docs/attention.md` from numbers of the NumPy reference: `python -m tools.attention_figures`."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.positions import position_index, relative_position
from deberta_core.reference.arrays import Array
from deberta_core.reference.attention import score_components

FOLDER = Path(__file__).parents[1] / "docs" / "images"
SENTENCE = ["the", "old", "dog", "chased", "a", "cat", "and", "the", "cat", "ran"]
FEATURES = ("article", "adjective", "noun", "verb", "conjunction")
KINDS = {"the": 0, "a": 0, "old": 1, "dog": 2, "cat": 2, "chased": 3, "ran": 3, "and": 4}  # numbers of FEATURES
BUCKETS, MAX_DISTANCE = 8, 64  # of the head that is drawn
LENGTH = 3.0  # of the vectors
# What a query of a kind asks for, and what a key of a kind answers: distance (query - key) -> how much.
ASKED = {"article": {-1: 1.0, -2: 0.6}}
ANSWERED = {"verb": {-2: 0.6, -1: 1.0, 1: 1.0}}
TITLES = {"content": "content to content", "c2p": "content to position", "p2c": "position to content", "sum": "sum"}
SIZES = {"v1: 1,024 rows, M = 512": (0, 512), "v3: 512 rows, K = 256, M = 512": (256, 512)}  # K, M


def parts_of_a_head() -> dict[str, Array]:
    """The three terms of a head whose vectors are written by hand, and their sum.

    Words of one kind attract each other by content; articles ask for the next word or the one behind it; verbs are seen
    from nearby.

    Returns:
        "content", "c2p", "p2c" and "sum", each `[L, L]`, a row for each query.
    """
    words = LENGTH * np.eye(len(FEATURES))[[KINDS[word] for word in SENTENCE]][None, None]  # [1, 1, L, D]
    index = position_index(relative_position(len(SENTENCE), len(SENTENCE)), BUCKETS, MAX_DISTANCE)
    scale = 1 / math.sqrt(len(FEATURES) * 3)
    components = score_components(words, words, _rows(ASKED), _rows(ANSWERED), index, scale)
    parts = {name: values[0, 0] for name, values in components.items()}
    total: Array = np.sum(list(parts.values()), axis=0)
    return parts | {"sum": total}


def _rows(wanted: dict[str, dict[int, float]]) -> Array:
    """Projected rows of the relative table, `[1, R, D]`."""
    rows = np.zeros((1, 2 * BUCKETS, len(FEATURES)))
    for kind, distances in wanted.items():
        for distance, strength in distances.items():
            rows[0, position_index(distance, BUCKETS, MAX_DISTANCE), FEATURES.index(kind)] = LENGTH * strength
    return rows


def draw(folder: Path) -> list[Path]:
    """Writes the figures into `folder`.

    Returns:
        The files.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "deberta", "font.size": 9})
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in (("attention-parts", _parts_figure()), ("attention-distances", _distances_figure())):
        files.append(folder / f"{name}.svg")
        figure.savefig(files[-1], bbox_inches="tight", metadata={"Date": None})
    return files


def _parts_figure() -> Any:
    from matplotlib.figure import Figure

    parts = parts_of_a_head()
    figure = Figure(figsize=(11, 3.3))
    for number, (axes, (name, values)) in enumerate(
        zip(figure.subplots(1, 4, sharey=True), parts.items(), strict=True)
    ):
        image = axes.imshow(values, cmap="Blues", vmin=0, vmax=parts["sum"].max())
        axes.set_title(TITLES[name])
        axes.set_xticks(range(len(SENTENCE)), SENTENCE, rotation=90)
        axes.set_yticks(range(len(SENTENCE)), SENTENCE)
        axes.set_xlabel("key")
        if number == 0:
            axes.set_ylabel("query")
    figure.colorbar(image, ax=figure.axes, shrink=0.7, label="score")
    return figure


def _distances_figure() -> Any:
    from matplotlib.figure import Figure

    distances = np.arange(-700, 701)
    figure = Figure(figsize=(7, 3.2))
    axes = figure.subplots()
    for (label, (buckets, most)), style in zip(SIZES.items(), ("--", "-"), strict=True):
        axes.plot(distances, position_index(distances, buckets, most), style, label=label)
    axes.set_xlabel("distance, query - key, in tokens")
    axes.set_ylabel("row of the relative table")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for the figures; default: docs/images")
    print(*draw(parser.parse_args().output), sep="\n")
