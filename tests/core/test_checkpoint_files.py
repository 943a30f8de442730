import re
import subprocess
import sys
from pathlib import Path

import h5py
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from deberta_core import AutoConfig, DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import FORMATS, LazyWeights, find_weight_file, open_weights, save_weights
from deberta_core.checkpoint.h5_file import instance_name
from deberta_core.errors import DebertaWarning, WeightError
from deberta_core.parameters import expand

TASKS = [None, "sequence_classification"]
# All that have a tf_model.h5.
GOLDENS = {
    None: ("v1-absolute-types", "v1-base", "v1-embedding-proj", "v2-conv", "v2-embedding-proj", "v2-v3-style"),
    "masked_lm": ("v1-mlm-legacy", "v2-mlm-legacy"),
    "sequence_classification": tuple(
        f"{version}-seq-{kind}" for version in ("v1", "v2") for kind in ("single", "regression", "multilabel")
    ),
    "token_classification": ("v1-token", "v2-token"),
    "question_answering": ("v1-qa", "v1-qa-full", "v2-qa", "v2-qa-full"),
    "multiple_choice": ("v2-choice",),
}


def assert_same(actual, expected):
    assert sorted(actual) == sorted(expected)
    for name, array in expected.items():
        assert actual[name].dtype == array.dtype, name
        assert actual[name].shape == array.shape, name
        assert np.ascontiguousarray(actual[name]).tobytes() == np.ascontiguousarray(array).tobytes(), name


def h5_content(file):
    """Datasets and attributes by path, the numbers of the model instance and of unnamed dropouts cut off."""

    def plain(text):
        text = text.decode() if isinstance(text, bytes) else text
        return re.sub(r"(tf_deberta[a-z0-9_]*?|\bdropout)(_\d+)?(?=/|$)", r"\1", text)

    datasets, attributes = {}, {}

    def visit(path, item):
        if isinstance(item, h5py.Dataset):
            datasets[plain(path)] = item[()]
        for name in item.attrs:
            kind = item.attrs.get_id(name).dtype
            values = [plain(value) for value in np.atleast_1d(item.attrs[name]).tolist()]
            attributes[plain(path), name] = (kind, h5py.check_string_dtype(kind), values)

    with h5py.File(file, "r") as handle:
        visit("", handle)
        handle.visititems(visit)
    return datasets, attributes


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("format", FORMATS)
def test_round_trip_is_bit_exact(tmp_path, small_config, random_weights, task, format):
    weights = random_weights(small_config, task)
    name = next(iter(weights))
    weights[name][0, :4] = [np.nan, np.inf, -0.0, 1e-45]  # non-finite and subnormal numbers are kept
    file = save_weights(tmp_path, small_config, task, weights, format)
    assert file == tmp_path / FORMATS[format].file_name
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    canonical = {p.name: p.canonical if format == "h5" else p.name for p in expand(small_config, task).values()}
    with open_weights(tmp_path, small_config) as stored:
        assert_same(stored, {canonical[name]: array for name, array in weights.items()})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_safetensors_keeps_dtypes(tmp_path, small_config, random_weights, dtype):
    weights = random_weights(small_config, None, dtype)
    save_weights(tmp_path, small_config, None, weights)
    with open_weights(tmp_path, small_config) as stored:
        assert {entry.dtype.name for entry in stored.entries.values()} == {dtype}
        assert_same(stored, weights)


def test_bfloat16_comes_out_as_ml_dtypes(tmp_path, small_config):
    file = tmp_path / "model.safetensors"
    safetensors.numpy.save_file({"a": np.array([1.0, 3.14], dtype=ml_dtypes.bfloat16)}, file)
    with open_weights(file, small_config) as stored:
        assert stored["a"].dtype == ml_dtypes.bfloat16
        assert stored["a"].astype(np.float32).tolist() == [1.0, 3.140625]


def test_safetensors_file_is_what_its_library_reads_and_writes(tmp_path, small_config, random_weights):
    weights = random_weights(small_config, None)
    first = next(iter(weights))
    weights[first] = weights[first].astype(np.float64)  # mixed widths: wide ones come first
    file = save_weights(tmp_path, small_config, None, weights)
    assert_same(safetensors.numpy.load_file(file), weights)
    with safetensors.safe_open(file, "numpy") as handle:
        assert handle.metadata() == {"format": "pt"}
    header = int.from_bytes(file.read_bytes()[:8], "little")
    assert header % 8 == 0


def test_transposed_and_big_endian_arrays_are_stored_as_they_look(tmp_path, small_config, random_weights):
    weights = random_weights(small_config, None)
    strange = {name: np.asfortranarray(array).astype(">f4") for name, array in weights.items()}
    for format in ("h5", "safetensors"):
        save_weights(tmp_path, small_config, None, strange, format)
        with open_weights(tmp_path / FORMATS[format].file_name, small_config) as stored:
            found = {name.removeprefix("deberta."): array for name, array in stored.items()}
            assert_same(found, weights)


def test_entries_are_known_without_reading(tmp_path, small_config, random_weights, monkeypatch):
    for format in FORMATS:
        save_weights(tmp_path / format, small_config, None, random_weights(small_config, None), format)
        with open_weights(tmp_path / format, small_config) as stored:
            monkeypatch.setattr(LazyWeights, "__getitem__", lambda self, name: pytest.fail(f"{name} was read"))
            shapes = {name.removeprefix("deberta."): entry.shape for name, entry in stored.entries.items()}
            assert shapes == {name: p.shape for name, p in expand(small_config, None).items()}
            assert {entry.dtype for entry in stored.entries.values()} == {np.dtype("float32")}
            monkeypatch.undo()


def test_closed_file_is_an_error(tmp_path, small_config, random_weights):
    for format in FORMATS:
        save_weights(tmp_path / format, small_config, None, random_weights(small_config, None), format)
        with open_weights(tmp_path / format, small_config) as stored:
            name = next(iter(stored))
        with pytest.raises(WeightError, match="is closed"):
            stored[name]


def test_safetensors_wins_over_h5(tmp_path, small_config, random_weights):
    weights = random_weights(small_config, None)
    save_weights(tmp_path, small_config, None, {n: a + 1 for n, a in weights.items()}, "h5")
    assert find_weight_file(tmp_path)[1].name == "h5"
    save_weights(tmp_path, small_config, None, weights)
    with open_weights(tmp_path, small_config) as stored:
        assert_same(stored, weights)


def test_saving_beside_a_preferred_file_warns(tmp_path, small_config, random_weights):
    weights = random_weights(small_config, None)
    save_weights(tmp_path, small_config, None, weights)
    with pytest.warns(DebertaWarning, match=r"also holds model\.safetensors, which is read instead of tf_model\.h5"):
        save_weights(tmp_path, small_config, None, weights, "h5")


@pytest.mark.parametrize(
    ("config", "task", "name"),
    [
        (DebertaV2Config(), None, "tf_deberta_v2_model"),
        (DebertaV2Config(), TASKS[1], "tf_deberta_v2_for_sequence_classification"),
        (DebertaV2Config(), "masked_lm", "tf_deberta_v2_for_masked_lm"),
        (DebertaConfig(), None, "tf_deberta_model"),
        (DebertaConfig(), "question_answering", "tf_deberta_for_question_answering"),
    ],
)
def test_instance_name(config, task, name):
    assert instance_name(config, task) == name


def test_goldens_are_all(shared):
    files = (shared / "goldens").glob("*/tf_model.h5")
    assert sorted(file.parent.name for file in files) == sorted(golden for row in GOLDENS.values() for golden in row)


@pytest.mark.parametrize(("task", "golden"), [(task, golden) for task, row in GOLDENS.items() for golden in row])
def test_h5_is_hugging_faces(shared, tmp_path, task, golden):
    """Names, values, groups and attributes, their types and order included."""
    folder = shared / "goldens" / golden
    config = AutoConfig.from_pretrained(folder)
    with open_weights(folder / "model.safetensors", config) as stored:
        file = save_weights(tmp_path, config, task, stored, "h5")
        with open_weights(folder / "tf_model.h5", config) as theirs:
            assert_same({name if task else name.removeprefix("deberta."): a for name, a in theirs.items()}, stored)
    datasets, attributes = h5_content(file)
    expected_datasets, expected_attributes = h5_content(folder / "tf_model.h5")
    assert_same(datasets, expected_datasets)
    assert attributes == expected_attributes


@pytest.mark.parametrize("config", [DebertaConfig, DebertaV2Config])
def test_h5_holds_the_head_hugging_face_has_not(tmp_path, config, random_weights):
    """The masked LM there has `cls` alone, which owns the embeddings too."""
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = config(**sizes, intermediate_size=12, legacy=False)
    weights = random_weights(config, "masked_lm")
    file = save_weights(tmp_path, config, "masked_lm", weights, "h5")
    datasets, attributes = h5_content(file)
    assert attributes["", "layer_names"][2] == ["deberta", "lm_predictions"]
    assert len(datasets) == len(weights)
    for reader in (config, config.replace(legacy=True)):  # the names say it, not the configuration
        with open_weights(file, reader) as stored:
            assert_same(stored, weights)


def test_long_list_of_names_is_split_as_keras_does(tmp_path, small_config, random_weights):
    config = small_config.replace(num_hidden_layers=48)
    weights = random_weights(config, None)
    file = save_weights(tmp_path, config, None, weights, "h5")
    with h5py.File(file) as handle:
        attributes = handle["deberta"].attrs
        assert list(attributes) == ["weight_names0", "weight_names1"]
        names = [name for part in attributes for name in attributes[part]]
        assert len(names) == len(weights)
        assert all(name.decode() in handle["deberta"] for name in names)


def test_tied_copies_in_h5_are_compared(shared, tmp_path):
    folder = shared / "goldens" / "v2-mlm-legacy"
    config = DebertaV2Config.from_pretrained(folder)
    word = "deberta.embeddings.word_embeddings.weight"
    file = tmp_path / "tf_model.h5"
    file.write_bytes((folder / "tf_model.h5").read_bytes())
    with open_weights(folder / "model.safetensors", config) as torch, open_weights(file, config) as tied:
        assert np.array_equal(tied[word], torch[word])
        assert tied["cls.predictions.transform.dense.weight"].shape == (config.hidden_size, config.hidden_size)
    with h5py.File(file, "r+") as handle:
        handle["cls/tf_deberta_v2_for_masked_lm/deberta/embeddings/word_embeddings/weight:0"][0, 0] += 1
    with (
        open_weights(file, config) as broken,
        pytest.raises(WeightError, match="one parameter, with different numbers"),
    ):
        broken[word]


# Bad files


def damage(file: Path, how: str) -> None:
    data = file.read_bytes()
    file.write_bytes({"truncated": data[: len(data) // 2], "garbage": b"no weights" * 99, "empty": b""}[how])


@pytest.mark.parametrize("how", ["truncated", "garbage", "empty"])
@pytest.mark.parametrize("format", FORMATS)
def test_damaged_file(tmp_path, small_config, random_weights, format, how):
    file = save_weights(tmp_path, small_config, None, random_weights(small_config, None), format)
    damage(file, how)
    with pytest.raises(WeightError, match=rf"{file.name} is truncated, damaged or of another format: .* again\."):
        open_weights(tmp_path, small_config)


def test_missing_files(tmp_path, small_config):
    with pytest.raises(WeightError, match=r"holds no weight file\. Looked for: model\.safetensors, pytorch_model\.bin"):
        open_weights(tmp_path, small_config)
    with pytest.raises(WeightError, match="nowhere does not exist"):
        open_weights(tmp_path / "nowhere", small_config)
    (tmp_path / "weights.txt").touch()
    with pytest.raises(WeightError, match=r"weights\.txt is no weight file"):
        open_weights(tmp_path / "weights.txt", small_config)


def test_h5_of_another_layout(tmp_path, small_config):
    with h5py.File(tmp_path / "tf_model.h5", "w") as handle:
        handle["layers/kernel:0"] = np.zeros(3)
    with pytest.raises(WeightError, match="holds <layer>/<model>/<variable>"):
        open_weights(tmp_path, small_config)


def test_h5_that_points_elsewhere(tmp_path, small_config):
    path = "deberta/tf_deberta_v2_model/deberta/encoder/rel_embeddings.weight:0"
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"12345678")
    with h5py.File(tmp_path / "tf_model.h5", "w") as handle:
        handle.create_dataset(path, (2,), "f4", external=[(str(secret), 0, 8)])
    with pytest.raises(WeightError, match="in another file"):
        open_weights(tmp_path, small_config)
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource(str(secret), "x", (2,), "f4")
    with h5py.File(tmp_path / "tf_model.h5", "w") as handle:
        handle.create_virtual_dataset(path, layout)
    with pytest.raises(WeightError, match="in another file"):
        open_weights(tmp_path, small_config)
    with h5py.File(tmp_path / "tf_model.h5", "w") as handle:
        handle.create_group(path.rpartition("/")[0])[path.rpartition("/")[2]] = h5py.ExternalLink("other.h5", "x")
    with pytest.raises(WeightError, match=r"tf_model\.h5 has a link at deberta/tf_deberta_v2_model/.* instead of data"):
        open_weights(tmp_path, small_config)


# Bad weights to save


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("encoder.LayerNorm.bias"), r"missing \(1\): encoder\.LayerNorm\.bias"),
        (lambda w: w.update(stranger=np.zeros(1, "f4")), r"unexpected \(1\): stranger"),
        (
            lambda w: w.update({"encoder.LayerNorm.bias": np.zeros(3, "f4")}),
            r"another shape \(1\): encoder\.LayerNorm\.bias \(given \(3,\), model \(16,\)\)",
        ),
        (
            lambda w: w.update({"encoder.LayerNorm.bias": np.zeros(16, "i4")}),
            r"does not hold \(1\): encoder\.LayerNorm\.bias \(int32\)",
        ),
    ],
)
def test_saving_what_does_not_fit(tmp_path, small_config, random_weights, change, message):
    weights = random_weights(small_config, None)
    change(weights)
    with pytest.raises(WeightError, match=message):
        save_weights(tmp_path / "new", small_config, None, weights)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_h5_refuses_what_it_cannot_hold(tmp_path, small_config, random_weights, dtype):
    with pytest.raises(WeightError, match=rf"tf_model\.h5 does not hold \(\d+\): .*\({dtype}\).* as float32\."):
        save_weights(tmp_path, small_config, None, random_weights(small_config, None, dtype), "h5")
    assert list(tmp_path.iterdir()) == []


def test_unknown_format(tmp_path, small_config):
    with pytest.raises(
        WeightError, match=r"format='onnx' is unknown\. Use one of: safetensors, bin, keras, h5, keras-archive\."
    ):
        save_weights(tmp_path, small_config, None, {}, "onnx")


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_half_written(tmp_path, small_config, random_weights, format):
    """A failure in the middle leaves the earlier file as it was, and no litter."""
    weights = random_weights(small_config, None)
    file = save_weights(tmp_path, small_config, None, weights, format)
    before = file.read_bytes()

    class Interrupted(dict):
        reads = 0

        def __getitem__(self, name):
            Interrupted.reads += 1
            if Interrupted.reads > len(self) + 5:
                raise KeyboardInterrupt
            return super().__getitem__(name)

    with pytest.raises(KeyboardInterrupt):
        save_weights(tmp_path, small_config, None, Interrupted(weights), format)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert file.read_bytes() == before


def test_place_that_cannot_be_written(tmp_path, small_config, random_weights):
    (tmp_path / "file").touch()
    with pytest.raises(WeightError, match="cannot be made"):
        save_weights(tmp_path / "file" / "folder", small_config, None, random_weights(small_config, None))


def test_importing_needs_numpy_alone():
    code = """
import sys
for name in ("h5py", "safetensors", "ml_dtypes", "torch", "tensorflow", "keras", "sentencepiece"):
    sys.modules[name] = None
import deberta_core, deberta_core.checkpoint, deberta_dual.cli, conformance.convert.convert
"""
    subprocess.run([sys.executable, "-c", code], check=True)
