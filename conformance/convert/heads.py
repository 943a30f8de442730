"""Another head than the source has: parameters that are new, and how they start."""

from __future__ import annotations

from deberta_core.checkpoint import Entry
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError, name_list
from deberta_core.initialization import draw_parameters
from deberta_core.parameters import Array

NEW = "(new)"  # what a plan calls the place they come from


def new_parameters(
    config: BaseConfig, task: str | None, missing: tuple[str, ...], seed: int | None
) -> dict[str, Entry]:
    """The parameters of the target's head that the source lacks, as entries.

    Args:
        config: the target's configuration.
        task: its task.
        missing: their names.
        seed: of their random numbers: normal with `initializer_range`, biases 0, norm scales 1.

    Raises:
        WeightError: there are some, and `seed` is None.
    """
    if missing and seed is None:
        raise WeightError(
            f"These parameters would be new: {name_list(missing)}. Pass --initialize SEED to draw them at random, and "
            f"train the model before use."
        )
    arrays = draw_parameters(config, task, missing, seed)
    return {name: _entry(array) for name, array in arrays.items()}


def _entry(array: Array) -> Entry:
    def read(rows: slice) -> Array:
        return array[rows]

    return Entry(NEW, array.shape, array.dtype, read)
