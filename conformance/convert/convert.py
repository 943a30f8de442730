"""Converting a checkpoint folder: weights through the parameter table, everything else byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conformance.convert.plan import Move, plan
from conformance.convert.task import find_task
from deberta_core.checkpoint import (
    Format,
    LoadedWeights,
    find_weight_file,
    format_named,
    load_config,
    match_weights,
    refuse_problems,
    save_weights,
)
from deberta_core.config import CONFIG_FILE, BaseConfig
from deberta_core.errors import WeightError
from deberta_core.files import atomic_folder

# The files of a checkpoint folder that are not weights: configuration, tokenizer, description.
CARRIED = ("*.json", "spm.model", "*.txt", "README.md")
_WEIGHT_INDEX = "*.index.json"  # lists the parts of weights in several files


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion does, or did.

    Attributes:
        source: the weight file read.
        task: the task of the model; None for the backbone.
        moves: every array.
        dropped: names in the source that no model of this task uses.
        tied: names in the source of second copies, which are not written.
        carried: names of the files that are copied.
    """

    source: Path
    task: str | None
    moves: tuple[Move, ...]
    dropped: tuple[str, ...]
    tied: tuple[str, ...]
    carried: tuple[str, ...]


def convert(source_folder: str | Path, target_folder: str | Path, to: str, force: bool = False) -> Conversion:
    """Converts a checkpoint folder; the target is complete, or untouched.

    Args:
        source_folder: a folder with config.json and a weight file.
        target_folder: the folder to make.
        to: a name of `FORMATS`.
        force: whether an existing checkpoint folder is replaced.

    Returns:
        what was done.

    Raises:
        ConfigError: config.json is missing, wrong or another model's.
        WeightError: an unknown format; a weight file that is missing, damaged, of a task that is not supported or
            does not fit config.json; a target that exists, or cannot be made.
    """
    source, target, row = Path(source_folder), Path(target_folder), format_named(to)
    with _opened(source) as checkpoint:
        _check_target(source, target, force)
        with atomic_folder(target, force=force, error=WeightError) as temporary:
            for name in checkpoint.carried:
                shutil.copyfile(source / name, temporary / name)
            save_weights(temporary, checkpoint.config, checkpoint.task, checkpoint.loaded.weights, row.name)
        return checkpoint.conversion(row)


def dry_run(source_folder: str | Path, to: str) -> Conversion:
    """What `convert` would do; nothing is written and no numbers are read. Arguments and errors as there."""
    row = format_named(to)
    with _opened(Path(source_folder)) as checkpoint:
        return checkpoint.conversion(row)


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """An open source folder."""

    config: BaseConfig
    task: str | None
    format: Format
    loaded: LoadedWeights
    carried: tuple[str, ...]

    def conversion(self, target: Format) -> Conversion:
        weights = self.loaded.weights
        stored = {name: entry.stored for name, entry in weights.entries.items()}
        moves = plan(self.config, self.task, stored, self.format, target)
        report = self.loaded.report
        return Conversion(weights.file, self.task, moves, report.dropped, report.tied, self.carried)


@contextmanager
def _opened(folder: Path) -> Iterator[_Checkpoint]:
    if not folder.is_dir():
        raise WeightError(f"{folder} is no folder. Give a folder with {CONFIG_FILE} and a weight file.")
    config = load_config(None, folder, "masked_lm")  # settles which head that would be; other tasks do not mind
    file, row = find_weight_file(folder)
    with row.read(file, config) as weights:
        task = find_task(config, weights)
        loaded = match_weights(weights, config, task)
        refuse_problems(loaded, config, task)
        yield _Checkpoint(config, task, row, loaded, _carried(folder))


def _carried(folder: Path) -> tuple[str, ...]:
    files = {file for pattern in CARRIED for file in folder.glob(pattern) if file.is_file()}
    return tuple(sorted(file.name for file in files if not file.match(_WEIGHT_INDEX)))


def _check_target(source: Path, target: Path, force: bool) -> None:
    """Refuses what replacing the target would destroy; `atomic_folder` refuses an existing one without `force`."""
    if target.resolve() in (source.resolve(), *source.resolve().parents):
        raise WeightError(f"{target} is or contains the source {source}. Choose another target.")
    if not force or not target.exists():
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / CONFIG_FILE).is_file()):
        raise WeightError(f"{target} is no checkpoint folder, so --force does not replace it. Choose another target.")
