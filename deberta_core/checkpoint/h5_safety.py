"""Opening HDF5 files that anybody may have written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deberta_core.checkpoint.h5_output import BFLOAT16, DTYPE_ATTRIBUTE, place
from deberta_core.checkpoint.lazy import (
    Entry,
    LazyWeights,
    array_bytes,
    compared,
    contiguous,
    damaged,
)
from deberta_core.errors import WeightError
from deberta_core.limits import bound, check
from deberta_core.parameters import Array, Kind

if TYPE_CHECKING:
    import h5py

# What h5py raises for a file with damaged parts, besides OSError for one that is none. SystemError: a name that is no
# text, in a callback.
_H5_PROBLEMS = (
    *(OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError),
    SystemError,
)
# Filters that h5py has itself, by number: for any other HDF5 looks for a library to load. Of those that pack, one
# after the other would multiply.
_PACKING, _OTHER_FILTERS = {1, 32000}, {2, 3}  # gzip, LZF; shuffle, Fletcher's checksum
_SMALL = 1 << 20  # bytes: of a chunk, and what may come of nothing stored

Namer = Callable[[str], tuple[str, Kind] | None]


def read_h5_file(file: Path, source: Any, canonical: Namer) -> LazyWeights:
    """Opens an HDF5 file whose datasets are parameters.

    Args:
        file: the file, for messages.
        source: what h5py opens: the file, or an open part of it.
        canonical: gives name and kind of the parameter at a path, or None for what is none.

    Returns:
        PyTorch names to arrays in PyTorch's layout. A parameter that is stored twice is one name, and the copies are
        compared when it is read.

    Raises:
        WeightError: the file is truncated or damaged, or points to data outside itself, or claims far more data
            than it holds.
    """
    import h5py

    copies: dict[str, list[Entry]] = {}
    links: dict[str, object] = {}
    items: dict[str, object] = {}
    with ExitStack() as stack:  # closes the file if it is refused
        try:
            handle = stack.enter_context(h5py.File(source, "r"))
            handle.visititems_links(_collect(links))
            handle.visititems(_collect(items))
            for found in (links, items):
                check("h5_objects", len(found), f"{file} has", WeightError)
                check("name_length", max(map(len, found), default=0), f"a name in {file} has", WeightError)
            for path, link in links.items():
                if not isinstance(link, h5py.HardLink):
                    raise WeightError(
                        f"{file} has a link at {path} instead of data. Store the data in the file itself."
                    )
            for path, item in items.items():
                named = canonical(path) if isinstance(item, h5py.Dataset) else None
                if named is not None:
                    name, kind = named
                    copies.setdefault(name, []).append(_entry(file, kind, path, item))
        except WeightError:
            raise
        except _H5_PROBLEMS as problem:
            raise damaged(file, problem) from problem
        stack.pop_all()
    for name, stored in copies.items():
        check("h5_copies", len(stored), f"{name[:100]} in {file} has", WeightError)
    return LazyWeights(file, {name: compared(file, *_split(found)) for name, found in copies.items()}, handle.close)


def _collect(found: dict[str, object]) -> Callable[[str, object], bool | None]:
    """A callback that collects, and ends at the first that is over a bound: an error in it would be lost."""

    def collect(name: str, what: object) -> bool | None:
        found[name] = what
        return len(found) > bound("h5_objects") or len(name) > bound("name_length") or None

    return collect


def _split(entries: Sequence[Entry]) -> tuple[Entry, list[Entry]]:
    return entries[0], list(entries[1:])


def _check(file: Path, path: str, item: h5py.Dataset) -> None:
    if item.is_virtual or item.external:
        raise WeightError(f"{file} keeps the data of {path} in another file. Store it in the file itself.")
    if item.shape is None or item.dtype.kind not in "biufV" or item.dtype.subdtype or item.dtype.fields:
        raise WeightError(f"{file} holds {path} as {item.dtype}, which is no array of numbers. Delete it there.")
    size, stored = array_bytes(item.shape, item.dtype), item.id.get_storage_size()
    if item.chunks is None:
        most = stored
    else:
        plist = item.id.get_create_plist()
        filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
        packing = [code for code in filters if code in _PACKING]
        if len(packing) > 1 or {*filters} - _PACKING - _OTHER_FILTERS:
            raise damaged(file, f"{path} is stored with the filters {filters}, of which only one may pack")
        chunk = array_bytes(item.chunks, item.dtype)
        if chunk > max(size, _SMALL):
            raise damaged(file, f"{path} has {size} bytes, in chunks of {chunk}")
        most = max(_SMALL, stored * (bound("h5_expansion") if packing else 1))
    if size > most:
        raise damaged(file, f"{path} has {size} bytes by its shape {item.shape}, but {stored} in the file")


def _entry(file: Path, kind: Kind, path: str, item: h5py.Dataset) -> Entry:
    import ml_dtypes

    _check(file, path, item)
    shape = kind.shape(tuple(item.shape))
    dtype = item.dtype.newbyteorder("=")
    if item.dtype.kind == "V":
        if item.dtype.itemsize != 2 or item.attrs.get(DTYPE_ATTRIBUTE) != BFLOAT16:
            raise WeightError(f"{file} holds {path} as {item.dtype}, which is no array of numbers. Delete it there.")
        dtype = np.dtype(ml_dtypes.bfloat16)

    def read(rows: slice) -> Array:
        try:
            array = item[place(kind, shape, rows)]
        except _H5_PROBLEMS as problem:
            raise damaged(file, problem) from problem
        array = np.asarray(array).view(dtype) if item.dtype.kind == "V" else array
        return contiguous(kind.convert(np.asarray(array)))

    return Entry(path, shape, dtype, read)
