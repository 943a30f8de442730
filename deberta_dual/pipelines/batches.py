"""Rows of tokens to batches of arrays, and the outputs back to rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deberta_core.errors import WeightError
from deberta_core.tasks import task_spec
from deberta_dual.backends.protocol import ArrayModel, Arrays

# Where shapes cost compilations, lengths are powers of two and the steps half-way between them, from this one on.
SHORTEST = 16


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One row for the model, not padded.

    Args:
        inputs: `input_ids`, `attention_mask` and `token_type_ids`, a number per token each.
        places: the tokens at which masked LM is to predict.
    """

    inputs: dict[str, list[int]]
    places: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.inputs["input_ids"])


def run_rows(model: ArrayModel, rows: Sequence[ModelRow], batch_size: int, pad: int) -> Iterator[tuple[int, Arrays]]:
    """Runs rows in batches of similar length, the longest first.

    Args:
        model: runs a batch.
        rows: any number.
        batch_size: rows in a batch, at most.
        pad: the id at padding.

    Yields:
        the number of a row and its outputs: arrays of its tokens `[L, ...]`, of its places `[places, V]`, or of the
        row `[N]`.

    Raises:
        WeightError: an output is not finite.
    """
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]), reverse=True)
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        yield from zip(chosen, _run_batch(model, [rows[number] for number in chosen], pad), strict=True)


def padded_shape(rows: int, length: int, compiles: bool) -> tuple[int, int]:
    """How many rows and tokens a batch of so many is filled up to."""
    if not compiles:
        return rows, length
    size = max(SHORTEST, 1 << (length - 1).bit_length())
    half_way = size * 3 // 4
    return 1 << (rows - 1).bit_length(), half_way if length <= half_way > SHORTEST else size


def _run_batch(model: ArrayModel, rows: Sequence[ModelRow], pad: int) -> Iterator[Arrays]:
    batch, length = padded_shape(len(rows), len(rows[0]), model.compiles)
    inputs: Arrays = {}
    for name in rows[0].inputs:
        inputs[name] = np.full((batch, length), pad if name == "input_ids" else 0, dtype=np.int64)
        for number in range(batch):
            own = rows[min(number, len(rows) - 1)].inputs[name]  # rows that fill up repeat the last one
            inputs[name][number, : len(own)] = own
    spec = task_spec(model.task)
    if spec.folds_choices:
        inputs = {name: array[:, None] for name, array in inputs.items()}  # one choice a row
    places = None
    if spec.scores_words:
        pairs = [(number, place) for number, row in enumerate(rows) for place in row.places]
        places = np.array(pairs, dtype=np.int64)
    outputs = model.run(inputs, places)
    first = 0
    for number, row in enumerate(rows):
        if places is not None:
            part = {name: array[first : first + len(row.places)] for name, array in outputs.items()}
            first += len(row.places)
        elif spec.per_token:
            part = {name: array[number, : len(row)] for name, array in outputs.items()}
        else:
            part = {name: array[number] for name, array in outputs.items()}
        for name, array in part.items():
            if not np.isfinite(array).all():
                raise WeightError(f"the model's {name} are not finite. Check its weights, or compute in float32.")
        yield part
