"""`model.safetensors`: published PyTorch names and layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.checkpoint.lazy import (
    ALIGNMENT,
    Entry,
    LazyWeights,
    array_bytes,
    blocks,
    check_shape,
    contiguous,
    damaged,
    describe,
)
from deberta_core.checkpoint.raw_file import RawFile
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError
from deberta_core.json_shape import parse_json
from deberta_core.limits import check
from deberta_core.parameters import Array

# The format's names of the types NumPy (with ml_dtypes for BF16) can hold.
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
_CODES = {name: code for code, name in DTYPES.items()}
_METADATA = {"format": "pt"}  # transformers refuses a file that does not name the framework of its layout


def read_safetensors(file: Path, config: BaseConfig) -> LazyWeights:
    """Opens a safetensors file.

    Args:
        file: the file.
        config: not needed here; every reader takes it.

    Returns:
        the stored names to their arrays.

    Raises:
        WeightError: the file is truncated, damaged or no safetensors, or holds a type NumPy cannot.

    Source:
        the format's description in the README of the safetensors project, whose rules are all checked: no name twice,
        and arrays that fill the file without overlap or gap.
    """
    raw = RawFile(file)
    try:
        entries = _entries(raw)
    except BaseException:
        raw.close()
        raise
    return LazyWeights(file, entries, raw.close)


def write_safetensors(file: Path, config: BaseConfig, task: str | None, weights: Mapping[str, Array]) -> None:
    """Writes a safetensors file piece by piece, so that memory does not grow with the model.

    Args:
        file: the file, replaced if it exists.
        config: not needed here; every writer takes it.
        task: likewise.
        weights: the model's names to arrays in PyTorch's layout.

    Source:
        as `read_safetensors`; wide types first and then by name, as the format's own writer orders them, but what
        would move the rest from its alignment after that, so that models can be mapped.
    """
    known = {name: describe(weights, name) for name in weights}
    order = sorted(known, key=lambda name: (array_bytes(*known[name]) % ALIGNMENT > 0, -known[name][1].itemsize, name))
    header: dict[str, Any] = {"__metadata__": _METADATA}
    position = 0
    for name in order:
        shape, dtype = known[name]
        end = position + array_bytes(shape, dtype)
        header[name] = {"dtype": _CODES[dtype.name], "shape": shape, "data_offsets": (position, end)}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with file.open("wb", buffering=0) as out:
        write_all(out, len(text).to_bytes(8, "little") + text)
        for name in order:
            for _, array in blocks(weights, name):
                write_all(out, little_endian(array))


def little_endian(array: Array) -> memoryview:
    """The bytes of an array in C order, as files hold them."""
    array = contiguous(array)
    if array.dtype.kind != "V":  # ml_dtypes' types have no byte order of their own
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.reshape(-1).view(np.uint8).data


def write_all(out: Any, data: bytes | memoryview) -> None:
    """Writes everything to an unbuffered file, whose `write` may stop early: one call moves at most 2 GiB."""
    view, done = memoryview(data), 0
    while done < len(view):
        done += out.write(view[done:])


def _entries(raw: RawFile) -> dict[str, Entry]:
    import ml_dtypes  # noqa: F401 - teaches NumPy the name bfloat16

    length = int.from_bytes(raw.read_bytes(0, 8), "little")
    try:
        check("header_bytes", length, "its header has", ValueError)
        begin, text = 8 + length, raw.read_bytes(8, length)
        header = parse_json(text, pairs=_no_name_twice)
        if not isinstance(header, dict):
            raise ValueError("its header is no object")
        header.pop("__metadata__", None)
        places = {name: _place(name, row) for name, row in header.items()}
        _fill(places, raw.size - begin)
    except WeightError:
        raise
    except ValueError as problem:
        raise damaged(raw.file, problem) from problem
    entries = {}
    for name, (code, shape, start, _) in places.items():
        if code not in DTYPES:
            raise WeightError(
                f"{raw.file} holds {name[:100]} as {code[:100]}, which cannot be read. Store it as one of: "
                f"{', '.join(DTYPES)}."
            )
        dtype = np.dtype(DTYPES[code])
        if array_bytes(shape, dtype) != places[name][3] - start:
            raise damaged(raw.file, f"the shape {shape} of {name} does not fit its bytes")
        check_shape(shape, dtype, name)
        place = (begin + start, shape, dtype)
        entries[name] = Entry(name, shape, dtype, partial(raw.read_rows, *place), partial(raw.mapped, *place))
    return entries


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"its header has {twice[:100]} twice")
    return content


def _place(name: str, row: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, begin and end of an array."""
    if not isinstance(row, dict) or row.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} has not just dtype, shape and data_offsets")
    shape, offsets = row["shape"], row["data_offsets"]
    if not isinstance(row["dtype"], str) or not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"dtype, shape or data_offsets of {name} are not of their types")
    check("dimensions", len(shape), f"{name[:100]} has", ValueError)
    return row["dtype"], tuple(shape), offsets[0], offsets[1]


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _fill(places: Mapping[str, tuple[str, tuple[int, ...], int, int]], size: int) -> None:
    """Raises ValueError unless the arrays, one after the other, are the whole of `size` bytes."""
    position = 0
    for name, (_, _, start, end) in sorted(places.items(), key=lambda item: item[1][2:]):
        if start != position or end < start:
            raise ValueError(f"{name} is at {start} to {end}, but the array before it ends at {position}")
        position = end
    if position != size:
        raise ValueError(f"its arrays have {position} bytes, and the file {size} after its header")
