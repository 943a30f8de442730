"""From a list of examples to equally long columns, and from ragged columns to arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.errors import InputError, name_list
from deberta_core.tensors import to_list

Columns = dict[str, list[Any]]
# Names that data sets give to what the models call `labels`.
LABEL_NAMES = {"label": "labels", "label_ids": "labels"}


def collect_columns(features: Sequence[Mapping[str, Any]]) -> Columns:
    """Turns examples into columns of plain lists and numbers; `label` and `label_ids` become `labels`.

    Raises:
        InputError: there are no examples, they hold different entries, labels twice, or no `input_ids`.
    """
    if not features:
        raise InputError("features is empty. Give a list of at least one example.")
    first = set(features[0])
    for place, feature in enumerate(features):
        if different := first ^ set(feature):
            raise InputError(
                f"features[{place}] and features[0] do not hold the same entries: only one of them has "
                f"{name_list(different)}. Tokenize all examples with the same options."
            )
    columns = {LABEL_NAMES.get(name, name): [to_list(feature[name]) for feature in features] for name in features[0]}
    if len(columns) < len(features[0]):
        given = name_list(name for name in features[0] if LABEL_NAMES.get(name, name) == "labels")
        raise InputError(f"The examples have labels under several names: {given}. Keep one of them.")
    if "input_ids" not in columns:
        raise InputError(f"The examples have no input_ids, but: {name_list(columns)}. Give tokenized examples.")
    return columns


def check_rows(name: str, rows: Sequence[Any], ids: Sequence[Sequence[int]], mend: str) -> None:
    """Checks that a column has an entry for every token.

    Raises:
        InputError: it has not; `mend` says what to do.
    """
    for place, (row, tokens) in enumerate(zip(rows, ids, strict=True)):
        if not isinstance(row, list) or len(row) != len(tokens):
            found = f"{len(row)} entries" if isinstance(row, list) else repr(row)
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
        raise InputError(f"{name} holds {rows[0]!r:.60}, which is no number. {mend}")
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
