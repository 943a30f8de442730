"""What a checkpoint holds, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from conformance.convert.stream import has_nan
from conformance.convert.task import class_name, find_task
from deberta_core.checkpoint import (
    LazyWeights,
    LoadedWeights,
    blocks,
    config_beside,
    find_weight_file,
    load_config,
    match_weights,
    open_weights,
    shard_files,
)
from deberta_core.config_place import CONFIG_FILE
from deberta_core.errors import WeightError
from deberta_core.tasks import task_spec


@dataclass(frozen=True, slots=True)
class Tensor:
    """One stored array: its PyTorch name, its name in the file, shape in PyTorch's layout, dtype and bytes."""

    name: str
    stored: str
    shape: tuple[int, ...]
    dtype: str
    size: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a checkpoint holds.

    Attributes:
        file: the weight file, or the index of several.
        format: a name of `FORMATS`.
        shards: the files an index names; empty for one file.
        model: the published name of the model's class.
        config: its configuration, as config.json has it.
        parameters: the number of numbers in the model's parameters.
        size: bytes of all arrays.
        dtypes: dtypes to the number of arrays.
        tensors: everything stored.
        dropped: names that no model of this kind uses.
        tied: names of second copies.
        problems: kinds of problems to what has them; empty if the checkpoint is whole.
    """

    file: str
    format: str
    shards: tuple[str, ...]
    model: str
    config: dict[str, object]
    parameters: int
    size: int
    dtypes: dict[str, int]
    tensors: tuple[Tensor, ...]
    dropped: tuple[str, ...]
    tied: tuple[str, ...]
    problems: dict[str, tuple[str, ...]]


def inspect(path: str | Path, config_file: Path | None = None, check_values: bool = False) -> Inspection:
    """Looks at a checkpoint; problems of its weights are data, not errors.

    Args:
        path: a folder, or a weight file.
        config_file: the config.json, where it is not beside the weights.
        check_values: whether all numbers are read, to look for NaN and for copies that differ.

    Raises:
        ConfigError: config.json is missing, wrong or another model's.
        WeightError: there is no weight file, or it cannot be read at all.
    """
    path = Path(path)
    if not path.exists():
        raise WeightError(f"{path} does not exist. Give a folder with {CONFIG_FILE} and weights, or a weight file.")
    config = load_config(None, path, "masked_lm", config_file=config_file or config_beside(path))
    file, row = find_weight_file(path)
    shards = tuple(part.name for part in shard_files(file)) if file.name == row.index_name else ()
    with open_weights(path, config) as weights:
        task = find_task(config, weights)
        loaded = match_weights(weights, config, task)
        entries = weights.entries
        return Inspection(
            file=str(file),
            format=row.name,
            shards=shards,
            model=class_name(config, task_spec(task)),
            config=config.to_dict(),
            parameters=sum(entry.size // entry.dtype.itemsize for entry in loaded.weights.entries.values()),
            size=sum(entry.size for entry in entries.values()),
            dtypes=dict(Counter(entry.dtype.name for entry in entries.values())),
            tensors=tuple(Tensor(n, e.stored, e.shape, e.dtype.name, e.size) for n, e in entries.items()),
            dropped=loaded.report.dropped,
            tied=loaded.report.tied,
            problems=_problems(loaded, weights, check_values),
        )


def _problems(loaded: LoadedWeights, weights: LazyWeights, check_values: bool) -> dict[str, tuple[str, ...]]:
    report = loaded.report
    problems = {
        "missing": report.missing,
        "unexpected": report.unexpected,
        "of another shape": tuple(f"{name}: {found}, model {expected}" for name, found, expected in report.mismatched),
    }
    if check_values:
        nan, unreadable = [], []
        for name in weights:
            try:
                if any(has_nan(array) for _, array in blocks(weights, name)):
                    nan.append(name)
            except WeightError as problem:
                unreadable.append(f"{name}: {problem}")
        for name in loaded.weights if report.tied else ():
            try:
                for _ in blocks(loaded.weights, name):
                    pass
            except WeightError as problem:
                unreadable.append(f"{name}: {problem}")
        problems |= {"holding NaN": tuple(nan), "unreadable": tuple(unreadable)}
    return {kind: names for kind, names in problems.items() if names}
