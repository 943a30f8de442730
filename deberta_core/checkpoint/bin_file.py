"""`pytorch_model.bin`: published PyTorch names and layout in a zip archive, or in torch's format before 1.6."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.checkpoint.bin_pickle import PickleProblem, Storage, TensorView, read_pickle, write_pickle
from deberta_core.checkpoint.lazy import Entry, LazyWeights, array_bytes, blocks, check_shape, damaged, describe
from deberta_core.checkpoint.raw_file import RawFile
from deberta_core.checkpoint.safetensors_file import little_endian, write_all
from deberta_core.checkpoint.zip_archive import BoundedFile, data_offset, open_zip
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError, name_list
from deberta_core.limits import check
from deberta_core.parameters import Array

_ROOT = "archive"  # the folder in the archive; readers take any
_ALIGNMENT = 64  # of every array, so that a reader can map it
_PADDING_FIELD = b"FB"  # the zip extra field torch fills up to it with
_LOCAL_HEADER, _ZIP64_FIELD = 30, 20  # bytes before the name in a zip archive, and of the field for large sizes
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_LEGACY_START = b"\x80\x02"  # of a pickle of protocol 2
_HOW_TO_SAVE = "Save it again with torch.save(model.state_dict(), path)."


def read_bin(file: Path, config: BaseConfig) -> LazyWeights:
    """Opens a pytorch_model.bin; nothing in it is run.

    Args:
        file: the file.
        config: not needed here; every reader takes it.

    Returns:
        the stored names to their arrays; what is no tensor is left out. Where the tensors are one level deeper, as in
        a checkpoint of Lightning (`state_dict`) or of a notebook (`model`), those of the one model there.

    Raises:
        WeightError: the file is truncated or damaged, holds no dictionary of tensors, or asks for code.
    """
    raw = RawFile(file)
    try:
        is_zip = raw.size >= 4 and raw.read_bytes(0, 4) == b"PK\x03\x04"
        content, offsets = _read_zip(raw) if is_zip else _read_legacy(raw)
        if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
            raise WeightError(f"{file} holds no dictionary of names and tensors. {_HOW_TO_SAVE}")
        outer, views = _state_dict(raw.file, content)
        uses = Counter(view.storage.key for view in views.values())
        entries = {
            name: _entry(raw, outer, name, view, offsets, uses[view.storage.key] > 1) for name, view in views.items()
        }
    except PickleProblem as problem:
        raw.close()
        raise WeightError(f"{file} cannot be read: {problem}. {_HOW_TO_SAVE}") from problem
    except BaseException:
        raw.close()
        raise
    return LazyWeights(file, entries, raw.close)


def write_bin(file: Path, config: BaseConfig, task: str | None, weights: Mapping[str, Array]) -> None:
    """Writes a pytorch_model.bin that `torch.load(weights_only=True)` reads, piece by piece.

    Args:
        file: the file, replaced if it exists.
        config: not needed here; every writer takes it.
        task: likewise.
        weights: the model's names to arrays in PyTorch's layout.

    Source:
        torch's `torch.serialization` and `caffe2/serialize/inline_container.cc` for names, order and alignment.
    """
    known = {name: describe(weights, name) for name in weights}
    pickled = write_pickle((name, shape, dtype.name) for name, (shape, dtype) in known.items())
    with zipfile.ZipFile(file, "w") as archive:
        _add(archive, "data.pkl", len(pickled), [pickled])
        _add(archive, "byteorder", len(b"little"), [b"little"])
        for key, (name, (shape, dtype)) in enumerate(known.items()):
            pieces = (little_endian(array) for _, array in blocks(weights, name))
            _add(archive, f"data/{key}", array_bytes(shape, dtype), pieces)
        _add(archive, "version", len(b"3\n"), [b"3\n"])


def _add(archive: zipfile.ZipFile, name: str, size: int, pieces: Any) -> None:
    """Adds a stored file whose data begin at a multiple of `_ALIGNMENT`."""
    info = zipfile.ZipInfo(f"{_ROOT}/{name}")
    large = size >= zipfile.ZIP64_LIMIT
    begin = archive.start_dir + _LOCAL_HEADER + len(info.filename) + (_ZIP64_FIELD if large else 0) + 4
    fill = -begin % _ALIGNMENT
    info.extra = _PADDING_FIELD + fill.to_bytes(2, "little") + b"Z" * fill
    info.file_size = size
    with archive.open(info, "w", force_zip64=large) as out:
        for piece in pieces:
            write_all(out, piece)


def _read_zip(raw: RawFile) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The pickle's value, and the place and size of each storage in the file."""
    with open_zip(raw) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(members) != len(archive.infolist()):
            raise damaged(raw.file, "it is a zip archive, but not one of torch.save")
        root = pickles[0].removesuffix("data.pkl")
        places = {name: (data_offset(raw, info), info.file_size) for name, info in members.items()}
        check("pickle_bytes", places[pickles[0]][1], "its pickle has", PickleProblem)
        order = members.get(f"{root}byteorder")
        if order is not None and (order.file_size > 6 or archive.read(order) != b"little"):
            raise WeightError(f"{raw.file} was saved by a big-endian machine. Save it again on another.")
        content = read_pickle(archive.read(pickles[0]))
    start = f"{root}data/"
    return content, {name.removeprefix(start): place for name, place in places.items() if name.startswith(start)}


def _read_legacy(raw: RawFile) -> tuple[Any, dict[str, tuple[int, int]]]:
    """The same of a file of torch before 1.6: five pickles, then a count and the numbers of each storage."""
    with raw.file.open("rb") as buffered:
        handle = BoundedFile(buffered, "pickle_bytes", "its pickle", PickleProblem)
        if raw.read_bytes(0, min(raw.size, 2)) != _LEGACY_START or read_pickle(handle) != _LEGACY_MAGIC:
            raise damaged(raw.file, "it is no file of torch.save")
        if read_pickle(handle) != _LEGACY_PROTOCOL:
            raise damaged(raw.file, "it is of an unknown version of torch.save")
        system = read_pickle(handle)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise WeightError(f"{raw.file} was saved by a big-endian machine. Save it again on another.")
        content, keys = read_pickle(handle), read_pickle(handle)
        position = buffered.tell()
    if not isinstance(content, dict) or not isinstance(keys, list):
        raise damaged(raw.file, "it is no file of torch.save")
    storages = {view.storage.key: view.storage for view in _views(content)}
    offsets = {}
    for key in keys:
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise damaged(raw.file, "its list of storages names one that no tensor uses")
        size = int.from_bytes(raw.read_bytes(position, 8), "little") * _dtype(storage).itemsize
        offsets[storage.key] = (position + 8, size)
        position += 8 + size
    return content, offsets


def _state_dict(file: Path, content: dict[str, Any]) -> tuple[str, dict[str, TensorView]]:
    """The tensors of a dictionary, or of the one in it that holds a model, and what stands before their names."""
    found = {"": content}
    if not any(isinstance(value, TensorView) for value in content.values()):
        inner = {f"{name}.": part for name, part in content.items() if isinstance(part, dict)}
        found = {name: part for name, part in inner.items() if any(_is_table(*item) for item in part.items())} or found
    if len(found) > 1:
        names = name_list(name.removesuffix(".") for name in found)
        raise WeightError(f"{file} holds several models: {names}. Save the one that is wanted. {_HOW_TO_SAVE}")
    ((outer, tensors),) = found.items()
    return outer, {name: view for name, view in tensors.items() if isinstance(view, TensorView)}


def _is_table(name: object, value: object) -> bool:
    return isinstance(name, str) and name.endswith("word_embeddings.weight") and isinstance(value, TensorView)


def _entry(
    raw: RawFile, outer: str, name: str, view: TensorView, offsets: Mapping[str, tuple[int, int]], is_shared: bool
) -> Entry:
    dtype = _dtype(view.storage)
    if view.storage.key not in offsets:
        raise damaged(raw.file, f"the numbers of {name[:100]} are not there")
    begin, size = offsets[view.storage.key]
    count = array_bytes(view.shape, np.dtype(np.uint8))
    reach = view.offset + 1 + sum((n - 1) * step for n, step in zip(view.shape, view.strides, strict=True))
    if count and (reach * dtype.itemsize > size or count * dtype.itemsize > size or begin + size > raw.size):
        raise damaged(raw.file, f"{name[:100]} is larger than its numbers")
    check_shape(view.shape, dtype, name)
    begin += view.offset * dtype.itemsize
    if not count or _is_contiguous(view):
        place = (begin, view.shape, dtype)
        mapped = None if is_shared else partial(raw.mapped, *place)
        return Entry(outer + name, view.shape, dtype, partial(raw.read_rows, *place), mapped)
    return Entry(outer + name, view.shape, dtype, partial(_read_strided, raw, begin, view, dtype))


def _views(content: dict[str, Any]) -> list[TensorView]:
    """All tensors of a pickle's value, each container being looked into once however often it is in it."""
    found: list[TensorView] = []
    seen: set[int] = set()
    ahead: list[Any] = [content]
    while ahead:
        value = ahead.pop()
        if isinstance(value, TensorView):
            found.append(value)
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            ahead += value.values() if isinstance(value, dict) else value
    return found


def _is_contiguous(view: TensorView) -> bool:
    expected = 1
    for length, step in zip(reversed(view.shape), reversed(view.strides), strict=True):
        if length != 1 and step != expected:
            return False
        expected *= length
    return True


def _read_strided(raw: RawFile, begin: int, view: TensorView, dtype: np.dtype[Any], rows: slice) -> Array:
    """Rows of a transposed or otherwise strided tensor, through the stretch of the file that holds them."""
    start, stop, _ = rows.indices(view.shape[0])
    shape = (stop - start, *view.shape[1:])
    count = 1 + sum((length - 1) * step for length, step in zip(shape, view.strides, strict=True))
    flat = raw.read(begin + start * view.strides[0] * dtype.itemsize, (count,), dtype)
    strides = tuple(step * dtype.itemsize for step in view.strides)
    array: Array = np.lib.stride_tricks.as_strided(flat, shape, strides, writeable=False)
    return array


def _dtype(storage: Storage) -> np.dtype[Any]:
    if storage.dtype == "bfloat16":
        import ml_dtypes  # noqa: F401 - teaches NumPy the name bfloat16

    return np.dtype(storage.dtype)
