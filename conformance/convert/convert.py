"""Converting a checkpoint: weights through the parameter table, everything else byte for byte."""

from __future__ import annotations

import contextlib
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
    leads_outside,
    load_config,
    match_weights,
    open_weights,
    refuse_problems,
    save_weights,
    shard_files,
    shard_names,
)
from deberta_core.config import BaseConfig
from deberta_core.config_place import CONFIG_FILE, GENERATOR_CONFIG
from deberta_core.errors import WeightError, name_list, one_of
from deberta_core.layout import COMPANIONS, TOKENIZER_FILES, refuse_foreign
from deberta_core.tasks import task_spec
from deberta_core.transaction import replace_folder, settle

CARRIED = (*TOKENIZER_FILES, *COMPANIONS)  # the files of a checkpoint folder that are neither weights nor config.json
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
            target that exists, or cannot be made; a carried file that leads outside the source; a source that changes.
        InputError: an unknown task, or a size that is none.
    """
    target, row, options = Path(target_folder), format_named(to), options or Options()
    with _opened(Path(source), row, options) as checkpoint:
        _check_target(checkpoint.folder, target, force)
        not_numbers: set[str] = set()
        weights = watched(checkpoint.weights, not_numbers, count)
        with replace_folder(target, WeightError, force=force) as staging:
            for name in checkpoint.carried:
                (staging / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(checkpoint.folder / name, staging / name)
            (staging / CONFIG_FILE).write_bytes(_config_content(checkpoint))
            save_weights(staging, checkpoint.config, checkpoint.task, weights, row.name, options.max_shard_size)
            checkpoint.refuse_changes()
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
    config_content: bytes
    config: BaseConfig
    source_task: str | None
    task: str | None
    format: Format
    loaded: LoadedWeights
    weights: LazyWeights
    carried: tuple[str, ...]
    state: dict[Path, tuple[int, ...]]

    def refuse_changes(self) -> None:
        changed = [path.name for path, before in self.state.items() if _state(path) != before]
        if changed:
            raise WeightError(f"{name_list(changed)} changed while {self.folder} was converted. Convert it again.")

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
    folder = source if source.is_dir() else source.parent
    settle(folder, WeightError)
    state = {config_file: _state(config_file)}
    config_content = config_file.read_bytes() if config_file.is_file() else b""
    # Settles which masked-LM head that would be; other tasks do not mind.
    config = load_config(None, source, "masked_lm", config_file=config_file)
    file, row = find_weight_file(source)
    shards = shard_files(file) if file.name == row.index_name else []
    carried = _carried(folder, () if options.config else (CONFIG_FILE,))
    if config_file.name == GENERATOR_CONFIG:  # it becomes config.json, and the discriminator's stays behind
        carried = tuple(name for name in carried if name != GENERATOR_CONFIG)
    state |= {path: _state(path) for path in (file, *shards, *(folder / name for name in carried))}
    with open_weights(source, config) as weights:
        source_task = find_task(config, weights)
        task = source_task if options.task == KEEP else options.task
        loaded = match_weights(weights, config, task)
        head = tuple(f"{module}." for module in task_spec(task).head_modules) if task != source_task else ()
        refuse_problems(loaded, config, task, allowed=head)
        added = new_parameters(config, task, loaded.report.missing, options.initialize)
        chosen = loaded.weights.replaced(loaded.weights.entries | added)
        chosen = cast(chosen, options.dtype) if options.dtype else chosen
        found = _Checkpoint(folder, config_content, config, source_task, task, row, loaded, chosen, carried, state)
        found.refuse_changes()
        yield found


def _check_dtype(target: Format, dtype: str | None) -> None:
    if dtype is not None and dtype not in DTYPES:
        raise WeightError(one_of("dtype", dtype, list(DTYPES)))
    if dtype is not None and dtype not in target.dtypes:
        raise WeightError(
            f"{target.file_name} holds {' or '.join(target.dtypes)} only, not {dtype}. Leave --dtype out, or choose "
            f"another format."
        )


def _carried(folder: Path, also: tuple[str, ...]) -> tuple[str, ...]:
    names = [name for name in CARRIED if (folder / name).is_file()]
    if outside := [name for name in (*names, *also) if leads_outside(folder, name)]:
        raise WeightError(
            f"{name_list(outside)} in {folder} leads outside by a link, and would be copied. Remove it, or put "
            f"the file there."
        )
    return tuple(sorted(names))


def _state(path: Path) -> tuple[int, ...]:
    """What differs when a file is written again; nothing for one that is not there."""
    with contextlib.suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return ()


def _config_content(checkpoint: _Checkpoint) -> bytes:
    """The config.json that was read, byte for byte; for another task or without a model_type, with what it lacks."""
    values = json.loads(checkpoint.config_content)
    if "model_type" not in values:
        values = checkpoint.config.to_dict()
    elif checkpoint.task == checkpoint.source_task:
        return checkpoint.config_content
    values["architectures"] = [class_name(checkpoint.config, task_spec(checkpoint.task))]
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def _check_target(source: Path, target: Path, force: bool) -> None:
    """Refuses what replacing the target would destroy; `replace_folder` refuses an existing one without `force`."""
    if target.resolve() in (source.resolve(), *source.resolve().parents):
        raise WeightError(f"{target} is or contains the source {source}. Choose another target.")
    if force:
        refuse_foreign(target, WeightError)
