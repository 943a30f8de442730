"""pytorch_model.bin: what torch writes is read, what we write torch reads, and nothing in a file is run."""

import collections
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from deberta_core import AutoConfig
from deberta_core.checkpoint import open_weights, save_weights
from deberta_core.checkpoint.bin_file import _ALIGNMENT
from deberta_core.checkpoint.lazy import BLOCK
from deberta_core.errors import WeightError

torch = pytest.importorskip("torch")

LEGACY = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before 1.6"])


def save(content, file, legacy=False):
    torch.save(content, file, _use_new_zipfile_serialization=not legacy)
    return file


def assert_same(stored, tensors):
    assert sorted(stored) == sorted(tensors)
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        assert stored.entries[name].shape == tuple(tensor.shape)
        if tensor.dtype == torch.bfloat16:
            assert stored[name].dtype == ml_dtypes.bfloat16
            assert np.array_equal(stored[name].view(np.int16), tensor.view(torch.int16).numpy()), name
        else:
            assert np.array_equal(stored[name], tensor.numpy()), name
            assert stored[name].dtype == tensor.numpy().dtype


@LEGACY
@pytest.mark.parametrize("golden", ["v1-base", "v2-v3-style"])
def test_goldens(shared, tmp_path, golden, legacy):
    folder = shared / "goldens" / golden
    config = AutoConfig.from_pretrained(folder)
    file = folder / "pytorch_model.bin"
    if legacy:
        file = save(torch.load(file, weights_only=True), tmp_path / "old.bin", legacy)
    with open_weights(file, config) as stored, open_weights(folder / "model.safetensors", config) as expected:
        assert sorted(stored) == sorted(expected)
        assert all(np.array_equal(stored[name], array) for name, array in expected.items())


@LEGACY
def test_types_views_and_shared_storages(tmp_path, small_config, legacy):
    base = torch.arange(60.0).reshape(5, 12)
    tensors = collections.OrderedDict(
        whole=base,
        row=base[2],
        part=base[1:4, 3:7],
        turned=base.t(),
        step=base[::2, ::3],
        scalar=torch.tensor(3.5),
        empty=torch.zeros(0, 4),
        parameter=torch.nn.Parameter(torch.ones(2, 2)),
        expanded=torch.arange(4)[None].expand(1, -1),
        **{str(dtype): torch.tensor([0, 1, 100]).to(dtype) for dtype in (torch.float64, torch.int64, torch.int32)},
        **{str(dtype): torch.tensor([0, 1, 100]).to(dtype) for dtype in (torch.uint8, torch.int8, torch.bool)},
        **{str(dtype): torch.tensor([0, 1.5, -7e4]).to(dtype) for dtype in (torch.float16, torch.bfloat16)},
    )
    tensors._metadata = {"": {"version": 1}}
    with open_weights(save(tensors, tmp_path / "pytorch_model.bin", legacy), small_config) as stored:
        assert_same(stored, tensors)
        for name in ("whole", "part", "turned", "step"):
            assert np.array_equal(stored.read(name, slice(1, 3)), tensors[name][1:3].numpy()), name


def test_what_is_no_tensor_is_left_out(tmp_path, small_config):
    file = save({"a": torch.ones(1), "epoch": 3, "name": "x", "list": [1, (2.5, None)]}, tmp_path / "a.pt")
    with open_weights(file, small_config) as stored:
        assert list(stored) == ["a"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_torch_reads_what_we_write(tmp_path, small_config, random_weights, dtype):
    weights = random_weights(small_config, None, dtype)
    file = save_weights(tmp_path, small_config, None, weights, "bin")
    for mapped in (False, True):
        loaded = torch.load(file, weights_only=True, mmap=mapped)
        assert list(loaded) == list(weights)
        for name, tensor in loaded.items():
            assert str(tensor.dtype) == f"torch.{dtype}"
            assert np.array_equal(tensor.double().numpy(), weights[name].astype(np.float64)), name
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        offsets = [
            info.header_offset + 30 + len(info.filename) + len(info.extra)
            for info in archive.infolist()
            if "/data/" in info.filename
        ]
        assert len(offsets) == len(weights)
        assert {offset % _ALIGNMENT for offset in offsets} == {0}


def test_large_arrays_move_in_pieces(tmp_path, small_config, random_weights, monkeypatch):
    """Every piece is at most a block, and they add up to the same file."""
    weights = random_weights(small_config, None)
    save_weights(tmp_path / "a", small_config, None, weights)
    with open_weights(tmp_path / "a", small_config) as stored:
        monkeypatch.setattr("deberta_core.checkpoint.lazy.BLOCK", 200)
        for format in ("safetensors", "bin", "keras", "h5"):
            copy = save_weights(tmp_path / format, small_config, None, stored, format)
            with open_weights(copy, small_config) as again:
                for name, array in weights.items():
                    found = again[f"deberta.{name}" if format == "h5" else name]
                    assert np.array_equal(found, array), (format, name)
    assert BLOCK > 200


# Files that want more


class Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


@LEGACY
def test_code_is_refused_by_name_and_not_run(tmp_path, small_config, legacy):
    import os

    marker = tmp_path / "marker"
    file = save({"a": Call(os.system, f"touch {marker}")}, tmp_path / "pytorch_model.bin", legacy)
    with pytest.raises(WeightError, match=r"its pickle asks for (posix|nt)\.system, which weights do not need"):
        open_weights(file, small_config)
    assert not marker.exists()


@pytest.mark.parametrize(
    "function", [eval, getattr, torch.load, torch.nn.Linear, collections.Counter, torch._utils._rebuild_tensor]
)
def test_other_names_are_refused(tmp_path, small_config, function):
    file = save({"a": Call(function, "1")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightError, match=rf"asks for [\w.]*{function.__name__}, which weights do not need"):
        open_weights(file, small_config)


def replaced(file, changes, compress=zipfile.ZIP_STORED):
    """Writes the archive again with other members; None leaves one out."""
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    (root,) = {name.split("/")[0] for name in members}
    members |= {f"{root}/{name}": content for name, content in changes.items()}
    with zipfile.ZipFile(file, "w", compress) as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return file


def pickled(*opcodes):
    return b"\x80\x02" + b"".join(opcodes) + b"."


# A dictionary with one tensor: its name, then what is said about its storage, offset, shape and strides.
def one_tensor(shape=b"K\x02\x85", strides=b"K\x01\x85", offset=b"K\x00", key=b"X\x01\x00\x00\x000", count=b"K\x02"):
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" + key + b"X\x03\x00\x00\x00cpu" + count + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + offset + shape + strides + b"\x89}tR"
    return pickled(b"}X\x01\x00\x00\x00a", tensor, b"s")


HUGE = b"\x8a\x08" + (1 << 62).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (one_tensor(), None),
        (one_tensor(shape=b"K\x03\x85"), "a is larger than its numbers"),
        (one_tensor(offset=b"K\x01"), "a is larger than its numbers"),
        (one_tensor(shape=HUGE + b"\x85"), "a is larger than its numbers"),
        (one_tensor(shape=HUGE + HUGE + b"\x86", strides=b"K\x00K\x00\x86"), "a is larger than its numbers"),
        (one_tensor(shape=b"J\xff\xff\xff\xff\x85"), "a tensor with impossible sizes"),
        (one_tensor(shape=b"X\x01\x00\x00\x00x\x85"), "a tensor with impossible sizes"),
        (one_tensor(shape=b"K\x01K\x02\x86"), "a tensor that is none"),
        (one_tensor(key=b"X\x01\x00\x00\x009"), "the numbers of a are not there"),
        (one_tensor(key=b"K\x00"), "refers to data in an unknown way"),
        (pickled(b"N"), "holds no dictionary of names and tensors"),
        (pickled(b"}K\x01K\x01s"), "holds no dictionary of names and tensors"),
        (pickled(b"}K\x01\x85K\x01s"), "a dictionary whose keys are no names"),
        (pickled(b"]r\xff\xff\xff\x7f0"), "uses POP"),
        (pickled(b"ctorch\nFloatStorage\n)\x81"), "uses NEWOBJ"),
        (pickled(b"ctorch\nFloatStorage\n)R"), r"calls torch FloatStorage"),
        (pickled(b"K\x01)R"), "calls what is no function"),
        (pickled(b"(cos\nsystem\n"), r"asks for os\.system"),
        (pickled(b"(X\x02\x00\x00\x00osios\nsystem\n"), "uses INST"),
        (pickled(b"K\x01Q"), "its pickle is damaged"),
        (pickled(b"s"), "its pickle is damaged"),
        (pickled(b"h\x05"), "its pickle is damaged"),
        (b"\x80\x02}", "its pickle is damaged|has no end"),
        (b"", "its pickle is damaged|has no end"),
        (b"\xff\xff", "its pickle is damaged"),
    ],
)
def test_strange_pickles(tmp_path, small_config, content, message):
    file = save({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    replaced(file, {"data.pkl": content, "data/0": np.ones(2, "f4").tobytes(), ".data/serialization_id": None})
    if message is None:
        assert open_weights(file, small_config)["a"].tolist() == [1, 1]
        return
    with pytest.raises(WeightError, match=message):
        open_weights(file, small_config)


def test_nested_tuples_do_not_take_for_ever(tmp_path, small_config):
    """2 ** 200 leaves, each shared: as a dictionary's key they would never be hashed."""
    nested = b"K\x01" + b"".join(b"q\x00h\x00\x86" for _ in range(200))
    file = save({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    replaced(file, {"data.pkl": pickled(b"}", nested, b"K\x01s")})
    with pytest.raises(WeightError, match="a dictionary whose keys are no names"):
        open_weights(file, small_config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"byteorder": b"big"}, "was saved by a big-endian machine"),
        ({"data.pkl": None}, "is a zip archive, but not one of torch.save"),
        ({"data/0": None}, "the numbers of a are not there"),
        ({"data/0": b"1234"}, "a is larger than its numbers"),
    ],
)
def test_changed_archives(tmp_path, small_config, changes, message):
    file = save({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightError, match=message):
        open_weights(replaced(file, changes), small_config)


def test_a_zip_bomb(tmp_path, small_config):
    file = save({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightError, match="holds compressed or encrypted parts"):
        open_weights(replaced(file, {"data/0": bytes(1 << 24)}, zipfile.ZIP_DEFLATED), small_config)


def test_a_plain_pickle(tmp_path, small_config):
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(pickle.dumps({"a": 1}, protocol=2))
    with pytest.raises(WeightError, match=r"is no file of torch\.save"):
        open_weights(file, small_config)
