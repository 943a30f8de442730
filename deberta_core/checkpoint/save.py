"""Writing the weights of a model into a checkpoint folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from deberta_core.checkpoint.formats import FORMATS, Format, format_named
from deberta_core.checkpoint.lazy import describe
from deberta_core.config import BaseConfig
from deberta_core.errors import DebertaWarning, WeightError, name_list
from deberta_core.files import atomic_file
from deberta_core.parameters import Array, expand


def save_weights(
    folder: str | Path,
    config: BaseConfig,
    task: str | None,
    weights: Mapping[str, Array],
    format: str = "safetensors",
) -> Path:
    """Writes one weight file; it is whole, or not there.

    Args:
        folder: the checkpoint folder, made if need be.
        config: the model's configuration.
        task: its task; None for the bare backbone.
        weights: the model's parameter names to arrays in PyTorch's layout; fetched one at a time.
        format: a name of `FORMATS`.

    Returns:
        the file.

    Raises:
        WeightError: an unknown format; names, shapes or dtypes that are not the model's or that the format cannot
            hold (all in one message); or a folder that cannot be written.
        InputError: no such task.
    """
    row = format_named(format)
    folder = Path(folder)
    _check(folder / row.file_name, row, config, task, weights)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / row.file_name) as temporary:
            row.write(temporary, config, task, weights)
    except OSError as problem:
        raise WeightError(f"{folder / row.file_name} cannot be written: {problem}.") from problem
    _warn_of_stale(folder, row)
    return folder / row.file_name


def _check(file: Path, row: Format, config: BaseConfig, task: str | None, weights: Mapping[str, Array]) -> None:
    parameters = expand(config, task)
    known = {name: describe(weights, name) for name in weights}
    both = [name for name in parameters if name in known]
    problems = {
        "missing": parameters.keys() - known.keys(),
        "unexpected": known.keys() - parameters.keys(),
        "of another shape": [
            f"{name} (given {known[name][0]}, model {parameters[name].shape})"
            for name in both
            if known[name][0] != parameters[name].shape
        ],
        f"of a dtype that {row.file_name} does not hold": [
            f"{name} ({known[name][1]})" for name in both if known[name][1].name not in row.dtypes
        ],
    }
    parts = [f"{kind} ({len(names)}): {name_list(names)}." for kind, names in problems.items() if names]
    if parts:
        raise WeightError(
            f"{file} is not written, the weights are not those of the model: {' '.join(parts)} Give every parameter "
            f"of `expand(config, task)` once, as {' or '.join(row.dtypes)}."
        )


def _warn_of_stale(folder: Path, row: Format) -> None:
    """A folder with several weight files is read from the first of `FORMATS`, which may be an older model."""
    for preferred in FORMATS.values():
        if preferred is row:
            return
        if (folder / preferred.file_name).exists():
            warnings.warn(
                f"{folder} also holds {preferred.file_name}, which is read instead of {row.file_name}. "
                f"Delete it if it is older.",
                DebertaWarning,
                stacklevel=3,
            )
