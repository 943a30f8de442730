"""The steps of a pipeline one after another, as transformers has them: preprocess, forward, postprocess."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from deberta_core.errors import WrongType
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pipelines.batches import ModelRow, run_rows

if TYPE_CHECKING:
    from deberta_dual.pipelines.base import Pipeline, Prepared


class RowArrays(Arrays):
    """Inputs or outputs of the model for one row, by name: arrays with the row as a batch of one.

    Attributes:
        prepared: the example.
        row: the number of its row.
    """

    def __init__(self, arrays: Arrays, prepared: Prepared, row: int) -> None:
        super().__init__({name: np.array(array)[None] for name, array in arrays.items()})
        self.prepared, self.row = prepared, row


def rows_of(prepared: Prepared) -> Iterator[RowArrays]:
    """The model's inputs of an example, row by row."""
    prepared.values = [None] * len(prepared.rows)
    for number, row in enumerate(prepared.rows):
        yield RowArrays({name: np.array(numbers) for name, numbers in row.inputs.items()}, prepared, number)


def run_row(pipeline: Pipeline, inputs: RowArrays) -> RowArrays:
    """The model's outputs of one row."""
    places = inputs.prepared.rows[inputs.row].places
    row = ModelRow({name: array[0].tolist() for name, array in inputs.items()}, places)
    ((_, outputs),) = run_rows(pipeline.arrays, [row], 1, pipeline.tokenizer.pad_token_id or 0)
    return RowArrays(outputs, inputs.prepared, inputs.row)


def finish_rows(pipeline: Pipeline, outputs: RowArrays | Iterable[RowArrays], options: Any) -> Any:
    """The result of an example from the outputs of its rows."""
    rows = [outputs] if isinstance(outputs, RowArrays) else list(outputs)
    if not rows or not all(isinstance(row, RowArrays) for row in rows):
        raise WrongType(f"postprocess takes what forward returned, not {rows!r:.60}.")
    prepared = rows[0].prepared
    for row in rows:
        arrays = {name: array[0] for name, array in row.items()}
        prepared.values[row.row] = pipeline.reduce(prepared, row.row, arrays, options)
    return pipeline.finish(prepared, options)
