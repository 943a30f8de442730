"""Graphs of checkpoints that were not exported: made once, kept in the user's cache."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from pathlib import Path

from deberta_core.checkpoint import find_weight_file, load_config, load_weights, shard_files
from deberta_core.errors import InputError
from deberta_core.transaction import replace_folder
from deberta_dual.exporting.targets import GRAPHS, exported_config
from deberta_dual.version import own_version

_READ = 1 << 22  # bytes at once


def cache_folder() -> Path:
    """Where graphs are kept: `deberta-dual` below `$XDG_CACHE_HOME`, which is `~/.cache` where it is not set."""
    root = os.environ.get("XDG_CACHE_HOME")
    return Path(root) / "deberta-dual" if root else Path.home() / ".cache" / "deberta-dual"


def cached_graph(folder: Path, task: str | None, dtype: str) -> Path:
    """The ONNX file of a checkpoint, made now if it is not in the cache.

    It is found again by what the weights and config.json hold, and by the versions of this package and of the runtime
    that quantizes; where they lie and what they are called does not matter. Nothing is written into `folder`.

    Args:
        folder: the checkpoint folder.
        task: of the model; None is the backbone.
        dtype: see `write_onnx`.

    Raises:
        ConfigError: config.json is missing or wrong.
        WeightError: the weights are missing or do not fit.
        InputError: the cache cannot be written.
    """
    from deberta_dual.exporting.onnx_file import NAME, write_onnx  # which needs the extra `onnx`; pipelines do not

    config = load_config(None, folder, task)
    about = {
        "config": config.to_dict(),
        "weights": content_digest(folder, task),
        "task": task,
        "dtype": dtype,
        "versions": [own_version(), *(importlib.metadata.version(name) for name in ("onnx", "onnxruntime"))],
    }
    name = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]
    place = cache_folder() / "graphs" / name
    if not (place / NAME).is_file():
        with load_weights(folder, config, task) as loaded, replace_folder(place, InputError, force=True) as staging:
            write_onnx(staging / NAME, config, loaded.weights, task, dtype=dtype, takes_places=True)
    return place / NAME


def content_digest(folder: Path, task: str | None) -> str:
    """A hash of the content of all weight files, or of the graphs of a folder without, kept until they change.

    Raises:
        InputError: there are graphs of another task.
        WeightError: there are neither.
    """
    if exported_config(folder, task) is not None:
        files = sorted(file for place in GRAPHS for file in (folder / place).glob("*") if file.suffix != ".md")
    else:
        file, row = find_weight_file(folder)
        files = [file, *(shard_files(file) if file.name == row.index_name else [])]
    found = hashlib.sha256()
    for one in files:
        found.update(_file_digest(one).encode())
    return found.hexdigest()


def _file_digest(file: Path) -> str:
    state = file.stat()
    about = (str(file.resolve()), state.st_size, state.st_mtime_ns, state.st_ino)
    note = cache_folder() / "digests" / hashlib.sha256(repr(about).encode()).hexdigest()[:32]
    if note.is_file() and len(known := note.read_text(encoding="ascii")) == hashlib.sha256().digest_size * 2:
        return known
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while part := stream.read(_READ):
            digest.update(part)
    note.parent.mkdir(parents=True, exist_ok=True)
    own = note.with_name(f"{note.name}.{os.getpid()}")
    own.write_text(digest.hexdigest(), encoding="ascii")
    own.replace(note)
    return digest.hexdigest()
