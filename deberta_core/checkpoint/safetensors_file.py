"""`model.safetensors`: published PyTorch names and layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deberta_core.checkpoint.lazy import Entry, LazyWeights, damaged, describe
from deberta_core.config import BaseConfig
from deberta_core.errors import WeightError
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
_ALIGNMENT = 8  # the header is padded to it, so that the data after it can be mapped
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
    """
    import ml_dtypes  # noqa: F401 - teaches NumPy the name bfloat16
    from safetensors import SafetensorError, safe_open

    try:
        handle = safe_open(file, framework="numpy")
        slices = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as problem:
        raise damaged(file, problem) from problem
    entries = {}
    for name, part in slices.items():
        code = part.get_dtype()
        if code not in DTYPES:
            raise WeightError(
                f"{file} holds {name} as {code}, which cannot be read. Store it as one of: {', '.join(DTYPES)}."
            )
        reader = _reader(file, handle, name)
        entries[name] = Entry(name, tuple(part.get_shape()), np.dtype(DTYPES[code]), reader)
    return LazyWeights(file, entries, lambda: handle.__exit__(None, None, None))


def write_safetensors(file: Path, config: BaseConfig, task: str | None, weights: Mapping[str, Array]) -> None:
    """Writes a safetensors file, one array at a time, so that memory stays near the largest one.

    Args:
        file: the file, replaced if it exists.
        config: not needed here; every writer takes it.
        task: likewise.
        weights: the model's names to arrays in PyTorch's layout.

    Source:
        the format's description in the README of the safetensors project; wide types first and then by name, as its
        own writer orders them, so that every array is aligned.
    """
    known = {name: describe(weights, name) for name in weights}
    order = sorted(known, key=lambda name: (-known[name][1].itemsize, name))
    header: dict[str, Any] = {"__metadata__": _METADATA}
    position = 0
    for name in order:
        shape, dtype = known[name]
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        header[name] = {"dtype": _CODES[dtype.name], "shape": shape, "data_offsets": (position, position + size)}
        position += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little"))
        out.write(text)
        for name in order:
            array = np.ascontiguousarray(weights[name], dtype=known[name][1].newbyteorder("<"))
            out.write(array.reshape(-1).view(np.uint8).data)


def _reader(file: Path, handle: Any, name: str) -> Callable[[], Array]:
    from safetensors import SafetensorError

    def read() -> Array:
        try:
            array: Array = handle.get_tensor(name)
        except (SafetensorError, OSError) as problem:
            raise damaged(file, problem) from problem
        return array

    return read
