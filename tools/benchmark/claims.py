"""Sentences that claim something, made of the rows, so that they are right whatever was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

from tools.benchmark.tables import distinct, is_baseline

Row = dict[str, Any]
Pairs = list[tuple[str, float]]  # cell, quotient

# Section -> subjects of ours, and what each is compared with.
COMPARISONS: dict[str, dict[str, tuple[str, ...]]] = {
    "inference": {
        "ours": ("transformers 4", "transformers 5"),
        "ours, optimized": (
            "transformers 4",
            "transformers 4, oneDNN flag",
            "transformers 4, compiled",
            "transformers 5",
            "ONNX Runtime",
            "OpenVINO",
        ),
        "ours, optimized, bfloat16": ("transformers 4, bfloat16", "OpenVINO, bfloat16", "ours, optimized"),
        "ours, optimized, int8": ("transformers 4, int8", "ONNX Runtime, int8", "ours, optimized"),
    },
    "transformers_optimized": {
        f"transformers 4, optimize(){dtype}": ("transformers 4",) for dtype in ("", ", bfloat16", ", int8")
    },
    "mixed_lengths": {
        "ours, optimized": ("transformers 4", "transformers 4, sorted", "transformers 4, oneDNN flag"),
        "ours, optimized, bfloat16": ("transformers 4", "transformers 4, bfloat16"),
        "ours, optimized, int8": ("transformers 4",),
    },
    "training": {
        "ours": ("transformers 4",),
        "ours, oneDNN flag": ("transformers 4, oneDNN flag",),
        "ours, bfloat16 autocast": ("transformers 4, bfloat16 autocast",),
        "ours, checkpointing": ("transformers 4, checkpointing", "ours"),
    },
    "pretraining": {
        "ours": ("transformers 4",),
        "ours, as theirs": ("transformers 4",),
        **{f"masks of {what}": ("ours",) for what in ("tokens", "words")},
        "rows of one worker": ("ours",),
    },
    "keras_models": {
        "ours, auto": ("transformers 4", "transformers 4, XLA", "keras-hub", "ZeroModels"),
        "ours": ("transformers 4", "keras-hub", "ZeroModels"),
        "ours, XLA": ("transformers 4, XLA", "keras-hub, XLA", "ZeroModels, XLA"),
    },
    "loading": {"ours": ("transformers 4", "transformers 5"), "ours, Keras": ("transformers 4, TensorFlow",)},
    "exports": {
        "ours, to onnx in float32": ("PyTorch's exporter, transformers 4",),
        "ours, onnx in float32": ("transformers 4", "ONNX Runtime"),
        "ours, openvino in float32": ("transformers 4", "OpenVINO"),
    },
    "streaming": {"deberta run": ("the model alone",)},
}
# Of these the time of all threads together, which other programs beside them change little.
PROCESSOR = {"streaming": (("deberta run", "the model alone"),)}
LIMITS = {"ours, optimized": "linear layers alone", "ours, optimized, int8": "linear layers alone, int8"}
# Of these the memory is compared, too.
MEMORY = {
    "inference": (("ours, optimized", "transformers 4"),),
    "training": (("ours", "transformers 4"), ("ours, checkpointing", "ours")),
    "keras_models": (("ours", "transformers 4"), ("ours, XLA", "transformers 4, XLA"), ("ours", "keras-hub")),
    "loading": (("ours", "transformers 4"), ("ours, Keras", "transformers 4, TensorFlow")),
}


def sentences(section: str, rows: Sequence[Row]) -> list[str]:
    """All that can be claimed of a section."""
    return [
        *_speeds(section, rows),
        *_shares(rows),
        *_processor(section, rows),
        *_memories(section, rows),
        *_accuracy(rows),
    ]


def spread(rows: Sequence[Row]) -> str:
    """How far the rounds of a subject lie apart; nothing where there was only one."""
    compared = [row for row in rows if not is_baseline(row)]
    if all(row["ratio_low"] == row["ratio_high"] for row in compared):
        return ""
    halves = [(row["ratio_high"] - row["ratio_low"]) / 2 / row["ratio"] for row in compared]
    return (
        f"Half of the rounds of a subject lie within {statistics.median(halves):.0%} of its ratio for the typical "
        f"subject, within {max(halves):.0%} for the worst."
    )


def _speeds(section: str, rows: Sequence[Row]) -> Iterator[str]:
    for ours, others in COMPARISONS.get(section, {}).items():
        for theirs in others:
            quotients = _quotients(rows, "seconds", theirs, ours)
            if quotients:
                yield f"**{ours}** {_speed(quotients)} **{theirs}**{_behind(quotients)}."


def _speed(quotients: Pairs) -> str:
    faster = [quotient for _, quotient in quotients if quotient >= 1]
    if len(faster) == len(quotients):
        return f"is {_range(faster)} times as fast as"
    if not faster:
        return f"is slower, {_range([quotient for _, quotient in quotients])} times as fast as"
    return f"is faster in {len(faster)} of {len(quotients)} cells, at most {max(faster):.2f} times as fast as"


def _behind(quotients: Pairs) -> str:
    slower = [f"{cell} ({quotient:.2f})" for cell, quotient in quotients if quotient < 1]
    return f"; it loses at {', '.join(slower)}" if 0 < len(slower) < len(quotients) else ""


def _shares(rows: Sequence[Row]) -> Iterator[str]:
    for ours, limit in LIMITS.items():
        quotients = [quotient for _, quotient in _quotients(rows, "seconds", limit, ours)]
        if quotients:
            yield f"**{ours}** reaches {_range(quotients)} of the speed of the {limit}."


def _processor(section: str, rows: Sequence[Row]) -> Iterator[str]:
    for ours, theirs in PROCESSOR.get(section, ()):
        quotients = _quotients(rows, "processor", ours, theirs)
        if quotients:
            share, where = _range([share for _, share in quotients]), ", ".join(cell for cell, _ in quotients)
            yield f"**{ours}** takes {share} of the processor time of **{theirs}** ({where})."


def _memories(section: str, rows: Sequence[Row]) -> Iterator[str]:
    for ours, theirs in MEMORY.get(section, ()):
        quotients = [quotient for _, quotient in _quotients(rows, "memory", ours, theirs)]
        if quotients:
            yield f"**{ours}** takes {_range(quotients)} of the memory of **{theirs}**."


def _accuracy(rows: Sequence[Row]) -> Iterator[str]:
    ours, theirs = "ours, optimized, bfloat16", "transformers 4, bfloat16"
    quotients = [quotient for _, quotient in _quotients(rows, "difference", ours, theirs)]
    if quotients:
        yield f"The error of **{ours}** is {_range(quotients)} of that of **{theirs}**."


def _quotients(rows: Sequence[Row], field: str, above: str, below: str) -> Pairs:
    """`field` of one subject by that of another, in the cells that have both."""
    found = {(row["subject"], row["group"], row["cell"]): row.get(field) for row in rows}
    several = len(distinct(rows, "group")) > 1
    pairs = []
    for subject, group, cell in found:
        other = found.get((below, group, cell))
        if subject == above and found[above, group, cell] and other:
            pairs.append((f"{group} {cell}" if several else cell, found[above, group, cell] / other))
    return pairs


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"
