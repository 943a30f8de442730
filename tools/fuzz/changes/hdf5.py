"""Changes to HDF5 files: groups, datasets, links and attributes through h5py, or bytes."""

from __future__ import annotations

import io
from collections.abc import Callable
from random import Random
from typing import Any

import h5py
import numpy as np

from tools.fuzz.changes.raw import change_bytes

_SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (2**40,), (2**20, 2**20), (0, 2**50), (1,) * 32, (3, 0, 5))
_DTYPES = ("f2", "f8", "i1", "u8", "c8", "?", "S4", "V3", "O", "i4", ">f4")
_FILLED = 2**20  # numbers of a dataset, at most
_OUTSIDE = ("../case.h5", "/etc/hostname", "other.h5", "")


def change_hdf5(random: Random, data: bytes) -> bytes:
    """Changes objects of the file, written again as a whole; or bytes, anywhere, since structure is everywhere."""
    if random.random() < 0.5:
        return change_bytes(random, data, near=len(data))
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as file:
        for _ in range(random.choice((1, 1, 2, 4))):
            names: list[str] = []
            file.visit(names.append)
            name = random.choice(sorted(names) or ["new"])
            try:
                random.choice(_EDITS)(random, file, name)
            except (OSError, ValueError, TypeError, RuntimeError, KeyError, AttributeError, OverflowError):
                continue  # h5py does not make what was asked for
    content = stream.getvalue()
    return change_bytes(random, content, near=len(content)) if random.random() < 0.1 else content


def _make(file: h5py.File, name: str, **options: Any) -> None:
    if name in file:
        del file[name]
    file.create_dataset(name, **options)


def _reshape(random: Random, file: h5py.File, name: str) -> None:
    """A dataset of another shape or type, of which nothing is stored."""
    old = file.get(name)
    shape = getattr(old, "shape", None) if random.random() < 0.3 else random.choice(_SHAPES)
    dtype = h5py.string_dtype() if (kind := random.choice(_DTYPES)) == "O" else np.dtype(kind)
    _make(file, name, shape=shape or (), dtype=dtype)


def _chunk(random: Random, file: h5py.File, name: str) -> None:
    """A small dataset that may grow, in huge chunks, packed several times or with other filters."""
    size = random.choice((1, 8, 2**16, 2**22))
    filters = random.choice(({"compression": "gzip"}, {"compression": "lzf"}, {"shuffle": True}, {"fletcher32": True}))
    values = np.zeros(min(size, 64), "f4")
    _make(file, name, data=values, chunks=(size,), maxshape=(None,), **filters)


def _link(random: Random, file: h5py.File, name: str) -> None:
    """A link to another object, to none, to itself, or out of the file; a dataset whose numbers lie outside."""
    outside = random.choice(_OUTSIDE)
    others: list[str] = ["/"]
    file.visit(others.append)
    kind = random.randrange(5)
    if kind == 3:
        return _make(file, name, shape=(4,), dtype="f4", external=[(outside or "x", 0, 16)])
    if kind == 4:
        del file[name]
        space, properties = h5py.h5s.create_simple((4,)), h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_virtual(space, (outside or ".").encode(), name.encode(errors="surrogateescape"), space)
        properties.set_obj_track_times(False)  # h5py's own method would store the time
        h5py.h5d.create(file.id, name.encode(errors="surrogateescape"), h5py.h5t.IEEE_F32LE, space, properties)
        return None
    links: tuple[Callable[[], Any], ...] = (
        lambda: h5py.SoftLink(random.choice((*others, name, "nowhere"))),
        lambda: h5py.ExternalLink(outside or "x.h5", name),
        lambda: file[random.choice(others)],  # a hard link, perhaps a circle
    )
    target = links[kind]()
    del file[name]
    file[name] = target
    return None


def _remove(random: Random, file: h5py.File, name: str) -> None:
    del file[name]


def _rename(random: Random, file: h5py.File, name: str) -> None:
    file.move(name, random.choice((f"{name}_x", name.upper(), "a/b/c", name.split("/")[-1], "\udcff", "x" * 300)))


def _attribute(random: Random, file: h5py.File, name: str) -> None:
    """Another value, or type, of an attribute, such as the list of layers or of weights."""
    owner = random.choice((file, file[name]))
    key = random.choice([*owner.attrs, "layer_names", "weight_names", "keras_version"])
    values = (
        *(np.array([], "S1"), np.array([b"\xff\xfe"]), np.array([b"a", b"a"]), np.array([name.encode()]), b"x", "x"),
        *(1, np.float32(0.5), np.zeros((2, 2)), h5py.Empty("f4"), np.array([b".."]), np.array([b"/"]), file.ref),
    )
    if random.random() < 0.2 and key in owner.attrs:
        del owner.attrs[key]
    else:
        owner.attrs[key] = random.choice(values)


def _fill(random: Random, file: h5py.File, name: str) -> None:
    """Numbers that are none; not where another change has made room for more than there is."""
    if file[name].size < _FILLED:
        file[name][...] = random.choice((np.nan, np.inf, -np.inf, 1e38, 0))


_EDITS = (_reshape, _chunk, _link, _remove, _rename, _attribute, _attribute, _fill)
