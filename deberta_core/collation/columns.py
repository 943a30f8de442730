"""From a list of examples to equally long columns, and from ragged columns to arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.arguments import columns_of
from deberta_core.errors import InputError, name_list, shown

Columns = dict[str, list[Any]]
# Names that data sets give to what the models call `labels`.
LABEL_NAMES = {"label": "labels", "label_ids": "labels"}


def collect_columns(features: Sequence[Mapping[str, Any]]) -> Columns:
    """Turns examples into columns of plain lists and numbers; `label` and `label_ids` become `labels`.

    Raises:
        InputError: there are no examples, they hold different entries, labels twice, or no `input_ids`.
    """
    given = columns_of(features, "features")
    columns = {LABEL_NAMES.get(name, name): column for name, column in given.items()}
    if not columns:
        raise InputError("features is empty. Give a list of at least one example.")
    if len(columns) < len(given):
        labels = name_list(name for name in given if LABEL_NAMES.get(name, name) == "labels")
        raise InputError(f"The examples have labels under several names: {labels}. Keep one of them.")
    if "input_ids" not in columns:
        others = name_list(map(str, columns))
        raise InputError(f"The examples have no input_ids, but: {others}. Give tokenized examples.")
    return columns


def check_rows(name: str, rows: Sequence[Any], ids: Sequence[Sequence[int]], mend: str) -> None:
    """Checks that a column has an entry for every token.

    Raises:
        InputError: it has not; `mend` says what to do.
    """
    for place, (row, tokens) in enumerate(zip(rows, ids, strict=True)):
        if not isinstance(row, list) or len(row) != len(tokens):
            found = f"{len(row)} entries" if isinstance(row, list) else shown(row, 60)
            raise InputError(f"{name} of example {place} has {found} for {len(tokens)} tokens. {mend}")


def to_array(name: str, rows: Sequence[Any], mend: str) -> NDArray[Any]:
    """Makes an array of int64 or float32.

    Raises:
        InputError: the rows differ in shape or are no numbers; `mend` says what to do.
    """
    try:
        array = np.asarray(rows)
    except ValueError:
        raise InputError(f"{name} has rows of different shapes, which make no array. {mend}") from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {shown(rows[0], 60)}, which is no number. {mend}")
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
