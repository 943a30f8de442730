"""Files that are damaged or made to do harm: always a `WeightError`, soon, and without much memory."""

import json
import os
import random
import resource
import struct
import time

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deberta_core.checkpoint import FORMATS, open_weights, save_weights
from deberta_core.errors import WeightError

PATH = "deberta/tf_deberta_v2_model/deberta/encoder/LayerNorm/gamma:0"


@pytest.fixture(scope="module")
def files(tmp_path_factory, small_config, random_weights):
    """A real file of each format."""
    folder = tmp_path_factory.mktemp("whole")
    weights = random_weights(small_config, None)
    return {format: save_weights(folder, small_config, None, weights, format) for format in reversed(FORMATS)}


def read_everything(file, config):
    """The names of a file whose arrays can all be read; None for a refused one."""
    try:
        with open_weights(file, config) as weights:
            return [weights[name].shape for name in weights]
    except WeightError:
        return None


# Values that headers of files count and point with.
INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\x00" * 8,
    b"\xff" * 7 + b"\x7f",
    b"\x10",
)


@pytest.mark.parametrize("format", FORMATS)
@given(seed=st.integers(0, 2**32 - 1), changes=st.integers(1, 8), start=st.sampled_from([0.0, 0.0, 0.0, 0.9]))
@settings(
    max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_changed_bytes(files, small_config, tmp_path, format, seed, changes, start):
    """Most of a format is in the first and the last part of its files."""
    content = bytearray(files[format].read_bytes())
    choose = random.Random(seed)
    for _ in range(changes):
        place = int(len(content) * start) + choose.randrange(min(6000, len(content) // 10))
        value = choose.choice([*INTERESTING, bytes([content[place] ^ 1 << choose.randrange(8)])])
        content[place : place + len(value)] = value
    file = tmp_path / files[format].name
    file.write_bytes(content)
    begin = time.monotonic()
    read_everything(file, small_config)
    assert time.monotonic() - begin < 60  # it ends


@pytest.mark.parametrize("format", FORMATS)
@given(length=st.floats(0, 1))
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cut_off(files, small_config, tmp_path, format, length):
    content = files[format].read_bytes()
    file = tmp_path / files[format].name
    file.write_bytes(content[: int(length * (len(content) - 1))])
    assert read_everything(file, small_config) is None


def test_no_memory_was_taken():
    """Runs after the tests above: none of the claimed sizes was allocated."""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * 2**20  # KiB


# safetensors


def safetensors_file(folder, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file = folder / "model.safetensors"
    file.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return file


def row(begin, end, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"a": row(0, 8), "b": row(8, 16)}, None),
        ({"a": row(0, 8), "b": row(4, 16)}, "b is at 4 to 16, but the array before it ends at 8"),
        ({"a": row(0, 4), "b": row(8, 16)}, "b is at 8 to 16, but the array before it ends at 4"),
        ({"a": row(0, 32)}, "its arrays have 32 bytes, and the file 16 after its header"),
        ({"a": row(0, 8)}, "its arrays have 8 bytes, and the file 16"),
        ({"a": row(0, 1 << 62)}, "and the file 16"),
        ({"a": row(16, 0, [4])}, "a is at 16 to 0"),
        ({"a": row(-4, 12, [4])}, "of a are not of their types"),
        ({"a": row(0, 16, [3])}, r"the shape \(3,\) of a does not fit its bytes"),
        ({"a": row(0, 16, [1 << 40, 1 << 40])}, "of a does not fit its bytes"),
        ({"a": row(0, 16, [-2, -2])}, "of a are not of their types"),
        ({"a": row(0, 16, [True, 4])}, "of a are not of their types"),
        ({"a": row(0, 16, [4.0])}, "of a are not of their types"),
        ({"a": row(0, 16, "4")}, "of a are not of their types"),
        ({"a": row(0, 16) | {"more": 1}}, "a has not just dtype, shape and data_offsets"),
        ({"a": 1}, "a has not just dtype"),
        ({"a": row(0, 16, [16], "F8_E4M3")}, "holds a as F8_E4M3, which cannot be read"),
        (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"a":{}}', "its header has a twice"),
        (b"[]", "its header is no object"),
        (b"[" * 100_000, "is truncated, damaged"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "is truncated, damaged"),
        (b"\xff", "is truncated, damaged"),
    ],
)
def test_safetensors_headers(tmp_path, small_config, header, message):
    file = safetensors_file(tmp_path, header, bytes(16))
    if message is None:
        assert open_weights(file, small_config)["b"].tolist() == [0, 0]
        return
    with pytest.raises(WeightError, match=message):
        open_weights(file, small_config)


@pytest.mark.parametrize("length", [100_000_001, 1 << 40, (1 << 64) - 1, 3])
def test_safetensors_header_lengths(tmp_path, small_config, length):
    with pytest.raises(WeightError, match="is truncated, damaged"):
        open_weights(safetensors_file(tmp_path, {}, length=length), small_config)


def test_a_file_that_becomes_shorter(files, small_config, tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(files["safetensors"].read_bytes())
    with open_weights(file, small_config) as weights:
        os.truncate(file, file.stat().st_size // 2)
        with pytest.raises(WeightError, match="it became shorter while it was read"):
            list(weights.values())


# HDF5


@pytest.fixture
def h5(tmp_path):
    """An empty tf_model.h5 that is open for writing."""
    with h5py.File(tmp_path / "tf_model.h5", "w") as handle:
        yield handle


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: g.create_dataset(PATH, (1 << 40, 1 << 20), "f4"), "bytes by its shape .*, but 0 in the file"),
        (
            lambda g: g.create_dataset(PATH, (1 << 40,), "f4", chunks=(1024,)),
            "bytes by its shape .*, but 0 in the file",
        ),
        (lambda g: g.create_dataset(PATH, data="text"), "which is no array of numbers"),
        (lambda g: g.create_dataset(PATH, (2,), h5py.ref_dtype), "which is no array of numbers"),
        (lambda g: g.create_dataset(PATH, (2,), h5py.vlen_dtype("f4")), "which is no array of numbers"),
        (lambda g: g.create_dataset(PATH, (2,), [("a", "f4"), ("b", "i4")]), "which is no array of numbers"),
        (lambda g: g.create_dataset(PATH, data=np.zeros(2, "V2")), "which is no array of numbers"),
        (lambda g: g.create_dataset(PATH, data=h5py.Empty("f4")), "which is no array of numbers"),
        (lambda g: g.update({"soft": h5py.SoftLink("/deberta")}), "has a link at soft instead of data"),
        (lambda g: g.update({"x/far": h5py.ExternalLink("/etc/passwd", "/")}), "has a link at x/far instead of data"),
    ],
)
def test_h5_content(h5, tmp_path, small_config, make, message):
    make(h5)
    h5.close()
    with pytest.raises(WeightError, match=message):
        open_weights(tmp_path, small_config)


def test_a_group_that_holds_itself(h5, tmp_path, small_config):
    h5.create_dataset(PATH, data=np.ones(3, "f4"))
    h5["deberta/loop"] = h5["deberta"]
    h5.close()
    with open_weights(tmp_path, small_config) as weights:
        assert list(weights) == ["deberta.encoder.LayerNorm.weight"]


@pytest.mark.parametrize(
    "filters", [{"compression": "gzip"}, {"compression": "lzf", "shuffle": True}, {"fletcher32": True}]
)
def test_filters_are_read(h5, tmp_path, small_config, filters):
    array = np.random.default_rng(0).normal(size=(300, 200)).astype("f4")
    h5.create_dataset(PATH, data=array, **filters)
    h5.close()
    with open_weights(tmp_path, small_config) as weights:
        assert np.array_equal(weights["deberta.encoder.LayerNorm.weight"], array)


def test_damaged_chunks(h5, tmp_path, small_config):
    h5.create_dataset(PATH, data=np.arange(60_000.0, dtype="f4"), fletcher32=True)
    h5.close()
    file = tmp_path / "tf_model.h5"
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    with open_weights(file, small_config) as weights, pytest.raises(WeightError, match="is truncated, damaged"):
        weights["deberta.encoder.LayerNorm.weight"]
