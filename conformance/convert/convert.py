"""Converting a checkpoint: weights through the parameter table, everything else byte for byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from conformance.convert.heads import NEW, new_parameters
from conformance.convert.plan import Move, plan
from conformance.convert.stream import DTYPES, cast, watched
from conformance.convert.task import class_name, find_task
from deberta_core.checkpoint import (
    Format,
    LazyWeights,
    LoadedWeights,
    config_beside,
    find_weight_file,
    format_named,
    load_config,
    match_weights,
    open_weights,
    refuse_problems,
    save_weights,
    shard_names,
)
from deberta_core.config import CONFIG_FILE, BaseConfig
from deberta_core.errors import ConfigError, WeightError, one_of
from deberta_core.files import atomic_folder, read_json, write_text
from deberta_core.tasks import task_spec

# The files of a checkpoint folder that are not weights: configuration, tokenizer, description.
CARRIED = ("*.json", "spm.model", "*.txt", "README.md")
_WEIGHT_INDEX = "*.index.json"  # lists the parts of weights in several files
KEEP = "keep"  # the source's own task


@dataclass(frozen=True, slots=True)
class Options:
    """How a conversion differs from a plain one.

    Attributes:
        config: the source's config.json, where it is not beside the weights.
        dtype: what the numbers become; None keeps them.
        max_shard_size: bytes, or a text such as "5GB", above which there are several files.
        task: the target's task; None for the backbone, `KEEP` for the source's.
        initialize: seed of the parameters the source lacks; None refuses them.
    """

    config: Path | None = None
    dtype: str | None = None
    max_shard_size: int | str | None = None
    task: str | None = KEEP
    initialize: int | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a conversion does, or did.

    Attributes:
        source: the weight file read.
        task: the task of the model that comes out; None for the backbone.
        moves: every array.
        dropped: names in the source that no model of this task uses.
        tied: names in the source of second copies, which are not written.
        carried: names of the files that are copied.
        added: parameters the source lacks.
        files: how many weight files are written.
        size: bytes of all arrays.
        not_numbers: parameters that hold a NaN, which is kept; empty for a dry run, which reads no numbers.
    """

    source: Path
    task: str | None
    moves: tuple[Move, ...]
    dropped: tuple[str, ...]
    tied: tuple[str, ...]
    carried: tuple[str, ...]
    added: tuple[str, ...] = ()
    files: int = 1
    size: int = 0
    not_numbers: tuple[str, ...] = field(default=(), compare=False)


def convert(
    source: str | Path,
    target_folder: str | Path,
    to: str,
    force: bool = False,
    options: Options | None = None,
    count: Callable[[int], object] = lambda size: None,
) -> Conversion:
    """Converts a checkpoint; the target is complete, or untouched.

    Args:
        source: a folder with config.json and weights, or a weight file.
        target_folder: the folder to make.
        to: a name of `FORMATS`.
        force: whether an existing checkpoint folder is replaced.
        options: what to change on the way.
        count: is told the bytes of every piece that is read.

    Returns:
        what was done.

    Raises:
        ConfigError: config.json is missing, wrong or another model's.
        WeightError: an unknown format; weights that are missing, damaged, of a task that is not supported or that do
            not fit config.json; new parameters without a seed; numbers that the format or the dtype cannot hold; a
            target that exists, or cannot be made.
        InputError: an unknown task, or a size that is none.
    """
    target, row, options = Path(target_folder), format_named(to), options or Options()
    with _opened(Path(source), row, options) as checkpoint:
        _check_target(checkpoint.folder, target, force)
        not_numbers: set[str] = set()
        weights = watched(checkpoint.weights, not_numbers, count)
        with atomic_folder(target, force=force, error=WeightError) as temporary:
            for name in checkpoint.carried:
                shutil.copyfile(checkpoint.folder / name, temporary / name)
            _write_config(checkpoint, temporary)
            save_weights(temporary, checkpoint.config, checkpoint.task, weights, row.name, options.max_shard_size)
        return replace(checkpoint.conversion(row, options), not_numbers=tuple(sorted(not_numbers)))


def dry_run(source: str | Path, to: str, options: Options | None = None) -> Conversion:
    """What `convert` would do; nothing is written and no numbers are read. Arguments and errors as there."""
    row, options = format_named(to), options or Options()
    with _opened(Path(source), row, options) as checkpoint:
        return checkpoint.conversion(row, options)


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """An open source."""

    folder: Path
    config_file: Path
    config: BaseConfig
    source_task: str | None
    task: str | None
    format: Format
    loaded: LoadedWeights
    weights: LazyWeights
    carried: tuple[str, ...]

    def conversion(self, target: Format, options: Options) -> Conversion:
        stored = {name: entry.stored for name, entry in self.weights.entries.items()}
        report = self.loaded.report
        return Conversion(
            source=self.loaded.weights.file,
            task=self.task,
            moves=plan(self.config, self.task, stored, self.format, target),
            dropped=report.dropped,
            tied=report.tied,
            carried=tuple(sorted({*self.carried, CONFIG_FILE})),
            added=tuple(sorted(name for name, place in stored.items() if place == NEW)),
            files=len(shard_names(target, self.weights, options.max_shard_size)),
            size=sum(entry.size for entry in self.weights.entries.values()),
        )


@contextmanager
def _opened(source: Path, target: Format, options: Options) -> Iterator[_Checkpoint]:
    if not source.exists():
        raise WeightError(f"{source} is no folder. Give a folder with {CONFIG_FILE} and weights, or a weight file.")
    _check_dtype(target, options.dtype)
    config_file = options.config or config_beside(source)
    config_file = config_file / CONFIG_FILE if config_file.is_dir() else config_file
    # Settles which masked-LM head that would be; other tasks do not mind.
    config = load_config(None, source, "masked_lm", config_file=config_file)
    _, row = find_weight_file(source)
    with open_weights(source, config) as weights:
        source_task = find_task(config, weights)
        task = source_task if options.task == KEEP else options.task
        loaded = match_weights(weights, config, task)
        head = tuple(f"{module}." for module in task_spec(task).head_modules) if task != source_task else ()
        refuse_problems(loaded, config, task, allowed=head)
        added = new_parameters(config, task, loaded.report.missing, options.initialize)
        chosen = loaded.weights.replaced(loaded.weights.entries | added)
        chosen = cast(chosen, options.dtype) if options.dtype else chosen
        folder = source if source.is_dir() else source.parent
        yield _Checkpoint(folder, config_file, config, source_task, task, row, loaded, chosen, _carried(folder))


def _check_dtype(target: Format, dtype: str | None) -> None:
    if dtype is not None and dtype not in DTYPES:
        raise WeightError(one_of("dtype", dtype, list(DTYPES)))
    if dtype is not None and dtype not in target.dtypes:
        raise WeightError(
            f"{target.file_name} holds {' or '.join(target.dtypes)} only, not {dtype}. Leave --dtype out, or choose "
            f"another format."
        )


def _carried(folder: Path) -> tuple[str, ...]:
    files = {file for pattern in CARRIED for file in folder.glob(pattern) if file.is_file()}
    return tuple(sorted(file.name for file in files if not file.match(_WEIGHT_INDEX) and file.name != CONFIG_FILE))


def _write_config(checkpoint: _Checkpoint, folder: Path) -> None:
    """The source's config.json byte for byte; for another task, with the name of its class."""
    if checkpoint.task == checkpoint.source_task:
        shutil.copyfile(checkpoint.config_file, folder / CONFIG_FILE)
        return
    values = read_json(checkpoint.config_file, ConfigError, hint="")
    values["architectures"] = [class_name(checkpoint.config, task_spec(checkpoint.task))]
    write_text(folder / CONFIG_FILE, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def _check_target(source: Path, target: Path, force: bool) -> None:
    """Refuses what replacing the target would destroy; `atomic_folder` refuses an existing one without `force`."""
    if target.resolve() in (source.resolve(), *source.resolve().parents):
        raise WeightError(f"{target} is or contains the source {source}. Choose another target.")
    if not force or not target.exists():
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / CONFIG_FILE).is_file()):
        raise WeightError(f"{target} is no checkpoint folder, so --force does not replace it. Choose another target.")
