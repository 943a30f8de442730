"""Writing the weights of a model into a checkpoint folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from deberta_core.checkpoint.formats import Format, find_weight_file, format_named
from deberta_core.checkpoint.lazy import array_bytes, describe
from deberta_core.checkpoint.shards import listed_shards, part, shard_name, shard_size, split, write_index
from deberta_core.config import BaseConfig
from deberta_core.errors import DebertaWarning, WeightError, name_list
from deberta_core.parameters import Array, expand
from deberta_core.transaction import replace_files


def save_weights(
    folder: str | Path,
    config: BaseConfig,
    task: str | None,
    weights: Mapping[str, Array],
    format: str = "safetensors",
    max_shard_size: int | str | None = None,
    *,
    with_config: bool = False,
    own_names: bool = False,
) -> Path:
    """Writes the weights of a model; an older save in this format is replaced as one.

    Args:
        folder: the checkpoint folder, made if need be.
        config: the model's configuration.
        task: its task; None for the bare backbone.
        weights: the model's parameter names to arrays in PyTorch's layout; fetched one at a time.
        format: a name of `FORMATS`.
        max_shard_size: bytes, or a text such as "5GB", above which the weights go into several files and an index,
            each with as much as fits; None for one file.
        with_config: whether config.json is written too, as one with the weights.
        own_names: the weights have names that are in no table; a format in PyTorch's layout keeps them.

    Returns:
        the file, or the index.

    Raises:
        WeightError: an unknown format, or one that has no index; names, shapes or dtypes that are not the model's or
            that the format cannot hold (all in one message); or a folder that cannot be written.
        InputError: no such task, or `max_shard_size` is no size.
    """
    row = format_named(format)
    folder = Path(folder)
    if not own_names:
        _check(folder / row.file_name, row, config, task, weights)
    elif row.keras_layout:
        raise WeightError(f"The format {row.name} has no place for layers of one's own. Choose safetensors or bin.")
    groups = shard_names(row, weights, max_shard_size)
    name = row.file_name if len(groups) == 1 else row.index_name
    with replace_files(folder, WeightError, stale=partial(_older_files, row)) as staging:
        if len(groups) == 1:
            row.write(staging / name, config, task, weights)
        else:
            _write_shards(staging / name, row, config, task, weights, groups)
        if with_config:
            config.save_pretrained(staging)
    _warn_of_stale(folder, folder / name)
    return folder / name


def shard_names(row: Format, weights: Mapping[str, Array], max_shard_size: int | str | None) -> list[list[str]]:
    """The names that go into each file; one list for one file.

    Raises:
        WeightError: the format has no index and would need one.
        InputError: `max_shard_size` is no size.
    """
    if max_shard_size is None:
        return [list(weights)]
    groups = split(weights, shard_size(max_shard_size))
    if len(groups) > 1 and row.write_part is None:
        raise WeightError(
            f"The format {row.name} is one file, so max_shard_size={max_shard_size} cannot be kept. Leave the size out "
            f"(None), or choose safetensors, bin or h5."
        )
    return groups


def _older_files(row: Format, folder: Path) -> set[str]:
    """What a save in this format leaves: one file, or an index and the parts it lists."""
    return {row.file_name, row.index_name, *listed_shards(folder / row.index_name, row.file_name)}


def _write_shards(
    index: Path,
    row: Format,
    config: BaseConfig,
    task: str | None,
    weights: Mapping[str, Array],
    groups: list[list[str]],
) -> None:
    assert row.write_part is not None
    stored = {name: name for name in weights} | (row.indexed_names or row.stored_names)(config, task)
    places: dict[str, str] = {}
    for number, names in enumerate(groups, start=1):
        name = shard_name(row.file_name, number, len(groups))
        row.write_part(index.parent / name, config, task, part(weights, names))
        places |= {stored[parameter]: name for parameter in names}
    write_index(index, places, sum(array_bytes(*describe(weights, name)) for name in weights))


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


def _warn_of_stale(folder: Path, file: Path) -> None:
    """A folder with several weight files is read from the first of `FORMATS`, which may be an older model."""
    preferred, _ = find_weight_file(folder)
    if preferred != file:
        warnings.warn(
            f"{folder} also holds {preferred.name}, which is read instead of {file.name}. Delete it if it is older.",
            DebertaWarning,
            stacklevel=3,
        )
