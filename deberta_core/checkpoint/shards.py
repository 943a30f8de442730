"""Checkpoints in several files: an index names the file of every parameter."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from deberta_core.checkpoint.lazy import LazyWeights, array_bytes, damaged, describe
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, MissingName, WeightError, name_list, shown
from deberta_core.files import write_text
from deberta_core.parameters import Array
from deberta_core.shard_names import shard_names

INDEX_SUFFIX = ".index.json"
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?I?B)", re.IGNORECASE)

Reader = Callable[[Path, BaseConfig], LazyWeights]


def shard_size(size: int | str) -> int:
    """A size in bytes, from a number of them or a text such as "5GB".

    Raises:
        InputError: it is neither.
    """
    match = _SIZE.fullmatch(size.strip()) if isinstance(size, str) else None
    count = int(float(match[1]) * _UNITS[match[2].upper()]) if match else size
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"max_shard_size={shown(size)} is no size. Give a number of bytes, or a text such as 200MB.")
    return count


def split(weights: Mapping[str, Array], limit: int) -> list[list[str]]:
    """Names in their order, in groups of at most `limit` bytes; a larger array is alone in its group."""
    groups: list[list[str]] = [[]]
    used = 0
    for name in weights:
        size = array_bytes(*describe(weights, name))
        if groups[-1] and used + size > limit:
            groups.append([])
            used = 0
        groups[-1].append(name)
        used += size
    return groups


def shard_name(file_name: str, number: int, total: int) -> str:
    """The name of a part, such as `model-00001-of-00003.safetensors`."""
    stem, dot, suffix = file_name.rpartition(".")
    return f"{stem}-{number:05d}-of-{total:05d}{dot}{suffix}"


def write_index(file: Path, stored: Mapping[str, str], size: int) -> None:
    """Writes an index.

    Args:
        file: the index.
        stored: names of parameters, as the index calls them, to file names.
        size: bytes of all parameters.
    """
    content = {"metadata": {"total_size": size}, "weight_map": dict(sorted(stored.items()))}
    write_text(file, json.dumps(content, indent=2) + "\n")


def listed_shards(index: Path, file_name: str) -> set[str]:
    """The names in an index that `shard_name` gives; none where it cannot be read."""
    stem, _, suffix = file_name.rpartition(".")
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return {name for name in names if re.fullmatch(rf"{stem}-\d{{5}}-of-\d{{5}}\.{suffix}", name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()


def shard_files(index: Path) -> list[Path]:
    """The files an index names, which lie beside it.

    Raises:
        WeightError: the index is damaged, names a place outside its folder, or a file that is not there.
    """
    names = shard_names(index, WeightError)
    outside = [name for name in names if leads_outside(index.parent, name)]
    if outside:
        raise WeightError(f"{index} names files outside its folder: {name_list(outside)}. Do not use this checkpoint.")
    absent = [name for name in names if not (index.parent / name).is_file()]
    if absent:
        raise WeightError(f"{index} names files that are not there: {name_list(absent)}. Download them too.")
    return [index.parent / name for name in names]


def read_shards(index: Path, config: BaseConfig, read: Reader) -> LazyWeights:
    """Opens all parts of a checkpoint as one.

    Raises:
        WeightError: as `shard_files`; a part is damaged; two parts hold the same name.
    """
    with ExitStack() as stack:
        parts = [stack.enter_context(read(file, config)) for file in shard_files(index)]
        entries: dict[str, Any] = {}
        for part in parts:
            twice = entries.keys() & part.entries.keys()
            if twice:
                raise damaged(index, f"several of its files hold {name_list(twice)}")
            entries |= part.entries
        closing = stack.pop_all()
    return LazyWeights(index, entries, closing.close)


class Part(Mapping[str, Array]):
    """Some arrays of a mapping, read when they are asked for."""

    def __init__(self, weights: Mapping[str, Array], names: list[str]) -> None:
        self._weights = weights
        self._names = dict.fromkeys(names)

    def __getitem__(self, name: str) -> Array:
        if name not in self._names:
            raise MissingName(f"{shown(name)} is not in this part.")
        return self._weights[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def part(weights: Mapping[str, Array], names: list[str]) -> Mapping[str, Array]:
    """Some arrays of a mapping; lazy where it is."""
    return weights.select({name: name for name in names}) if isinstance(weights, LazyWeights) else Part(weights, names)


def leads_outside(folder: Path, name: str) -> bool:
    """Whether a link leads out of a folder; those of a snapshot in Hugging Face's cache may lead to its `blobs`."""
    root = folder.resolve()
    allowed = [root, root.parents[1] / "blobs"] if root.parent.name == "snapshots" else [root]
    place = (folder / name).resolve()
    return not any(place.is_relative_to(one) for one in allowed)
