"""Texts of many lengths, as a service gets them: padded, sorted by length, and without padding."""

from __future__ import annotations

from typing import Any

from tools.benchmark import inputs
from tools.benchmark.checkpoints import SMALL_VOCABULARY
from tools.benchmark.libraries import Subject
from tools.benchmark.session import Row, Session, measure_cell

BASELINE = "transformers 4"
ORDERS = ("as they come", "sorted")
LAYERS, TEXTS, MEAN, LONGEST, BATCH = 4, 128, 45, 256, 32


def _both(name: str, library: str, build: str, emulated: int | None = None, **options: object) -> list[Subject]:
    """A subject in both orders."""
    names = (name, f"{name}, sorted")
    pairs = zip(names, ORDERS, strict=True)
    return [Subject(title, library, build, {**options, "order": order}, emulated) for title, order in pairs]


SUBJECTS = (
    *_both(BASELINE, "transformers4", "eager"),
    *_both("transformers 4, oneDNN flag", "transformers4", "eager", mode="flag"),
    *_both("transformers 4, bfloat16", "transformers4", "bfloat16", 0),
    *_both("ours", "ours-torch", "plain"),
    *_both("ours, optimized", "ours-torch", "optimized", dtype="float32"),
    *_both("ours, optimized, bfloat16", "ours-torch", "optimized", 0, dtype="bfloat16"),
    *_both("ours, optimized, int8", "ours-torch", "optimized", dtype="int8"),
    Subject("linear layers alone", "limit", "float32", {"order": ORDERS[0]}),
)


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """How many tokens there are, and how many with padding; rows of the one cell."""
    lengths = inputs.lognormal_lengths(TEXTS, MEAN, LONGEST)
    folder = session.checkpoint("v3-base", LAYERS, SMALL_VOCABULARY)
    batches = {order: inputs.padded(lengths, BATCH, SMALL_VOCABULARY, order == "sorted") for order in ORDERS}
    files = {order: session.inputs(order, found) for order, found in batches.items()}
    sizes = {order: int(sum(ids.size for ids in found.ids)) for order, found in batches.items()}

    def settings(subject: Subject) -> dict[str, object]:
        return {"folder": folder, "inputs": files[str(subject.options["order"])]}

    cell = f"{TEXTS} texts"
    found = measure_cell(session, "v3-base", cell, SUBJECTS, settings, BASELINE, max(sizes.values()))
    facts = {"texts": TEXTS, "batch": BATCH, "tokens": int(lengths.sum()), "longest": int(lengths.max())}
    facts |= {"padded": sizes[ORDERS[0]], "padded_sorted": sizes[ORDERS[1]]}
    return facts, [{**row, "layers": session.layers or LAYERS} for row in found]
