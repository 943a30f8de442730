"""What a conversion can change on the way: types, files, heads; and sources that are one file."""

import json
import shutil

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from conformance.convert.convert import Options, convert, dry_run
from deberta_core.checkpoint import FORMATS, load_config, load_weights, save_weights
from deberta_core.errors import ConfigError, InputError, WeightError
from deberta_core.parameters import expand

TASK = "sequence_classification"
HEAD = ("classifier.bias", "classifier.weight", "pooler.dense.bias", "pooler.dense.weight")


@pytest.fixture
def source(tmp_path, small_config, random_weights):
    folder = tmp_path / "source"
    small_config.replace(extra={"architectures": ["DebertaV2ForSequenceClassification"]}).save_pretrained(folder)
    save_weights(folder, small_config, TASK, random_weights(small_config, TASK))
    return folder


def stored(folder):
    return safetensors.numpy.load_file(folder / "model.safetensors")


def change(folder, name, index, value):
    weights = stored(folder)
    weights[name][index] = value
    safetensors.numpy.save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("to", ["safetensors", "bin", "keras"])
def test_dtypes_are_rounded_correctly(tmp_path, source, small_config, random_weights, to, dtype):
    change(source, "classifier.bias", slice(3), [1.00390625, 1.01171875, -1.00391])  # two ties and almost one
    convert(source, tmp_path / "target", to, options=Options(dtype=dtype))
    with load_weights(tmp_path / "target", small_config, TASK) as loaded:
        for name, array in stored(source).items():
            found = loaded.weights[name]
            assert found.dtype == np.dtype(dtype)
            assert found.tobytes() == array.astype(dtype).tobytes(), name
        if dtype == "bfloat16":  # to the even neighbour of two that are as near
            assert loaded.weights["classifier.bias"].astype(float).tolist() == [1.0, 1.015625, -1.0078125]


def test_back_to_float32(tmp_path, source):
    convert(source, tmp_path / "half", "safetensors", options=Options(dtype="bfloat16"))
    convert(tmp_path / "half", tmp_path / "h5", "h5", options=Options(dtype="float32"))
    convert(tmp_path / "h5", tmp_path / "back", "safetensors")
    for name, array in stored(source).items():
        assert np.array_equal(stored(tmp_path / "back")[name], array.astype(ml_dtypes.bfloat16).astype("f4")), name


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_h5_holds_float32_only(tmp_path, source, dtype):
    with pytest.raises(WeightError, match=rf"tf_model\.h5 holds float32 only, not {dtype}\. Leave --dtype out"):
        convert(source, tmp_path / "target", "h5", options=Options(dtype=dtype))
    with pytest.raises(WeightError, match="dtype='int8' is unknown"):
        convert(source, tmp_path / "target", "bin", options=Options(dtype="int8"))
    assert not (tmp_path / "target").exists()


def test_overflow_is_an_error_and_infinity_is_not(tmp_path, source):
    change(source, "classifier.bias", 0, -np.inf)
    convert(source, tmp_path / "infinite", "bin", options=Options(dtype="float16"))
    change(source, "classifier.bias", 1, 70000.0)
    with pytest.raises(WeightError, match=r"classifier\.bias holds 70000, which is too large for float16\. Choose bfl"):
        convert(source, tmp_path / "target", "bin", options=Options(dtype="float16"))
    assert not (tmp_path / "target").exists()
    convert(source, tmp_path / "target", "bin", options=Options(dtype="bfloat16"))


@pytest.mark.parametrize("to", FORMATS)
def test_nan_is_reported_and_kept(tmp_path, source, small_config, to):
    assert convert(source, tmp_path / "clean", to).not_numbers == ()
    change(source, "deberta.encoder.layer.1.output.dense.weight", (3, 4), np.nan)
    change(source, "classifier.bias", 0, np.inf)
    done = convert(source, tmp_path / "target", to)
    assert done.not_numbers == ("deberta.encoder.layer.1.output.dense.weight",)
    with load_weights(tmp_path / "target", small_config, TASK) as loaded:
        assert np.isnan(loaded.weights["deberta.encoder.layer.1.output.dense.weight"][3, 4])
    assert dry_run(source, to).not_numbers == ()


@pytest.mark.parametrize("to", ["safetensors", "bin", "h5"])
def test_several_files(tmp_path, source, to):
    planned = dry_run(source, to, Options(max_shard_size="4KB"))
    done = convert(source, tmp_path / "there", to, options=Options(max_shard_size="4KB"))
    assert planned == done
    parts = [file for file in (tmp_path / "there").iterdir() if file.suffix != ".json"]
    assert len(parts) == done.files > 3
    assert (tmp_path / "there" / FORMATS[to].index_name).is_file()
    convert(tmp_path / "there", tmp_path / "back", "safetensors")
    assert (tmp_path / "back/model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert sorted(file.name for file in (tmp_path / "back").iterdir()) == ["config.json", "model.safetensors"]
    with pytest.raises(InputError, match="max_shard_size='much' is no size"):
        convert(source, tmp_path / "other", to, options=Options(max_shard_size="much"))
    assert not (tmp_path / "other").exists()


# Heads


def test_a_dropped_head(tmp_path, source, small_config):
    done = convert(source, tmp_path / "target", "safetensors", options=Options(task=None))
    assert done.dropped == HEAD
    assert done.task is None
    assert stored(tmp_path / "target").keys() == expand(small_config, None).keys()
    assert json.loads((tmp_path / "target/config.json").read_text())["architectures"] == ["DebertaV2Model"]
    for name, array in stored(tmp_path / "target").items():
        assert np.array_equal(array, stored(source)[f"deberta.{name}"])


def test_an_added_head_is_drawn_only_when_asked(tmp_path, source, small_config):
    options = Options(task="question_answering")
    message = r"would be new: qa_outputs\.bias, qa_outputs\.weight\. Pass --initialize SEED"
    with pytest.raises(WeightError, match=message):
        dry_run(source, "h5", options)
    with pytest.raises(WeightError, match=message):
        convert(source, tmp_path / "target", "h5", options=options)
    options = Options(task="question_answering", initialize=7)
    for name in ("one", "two"):
        done = convert(source, tmp_path / name, "safetensors", options=options)
    convert(source, tmp_path / "three", "safetensors", options=Options(task="question_answering", initialize=8))
    assert done.added == ("qa_outputs.bias", "qa_outputs.weight")
    assert done.dropped == HEAD
    one, two, three = (stored(tmp_path / name) for name in ("one", "two", "three"))
    assert one.keys() == expand(small_config, "question_answering").keys()
    assert np.array_equal(one["qa_outputs.weight"], two["qa_outputs.weight"])
    assert not np.array_equal(one["qa_outputs.weight"], three["qa_outputs.weight"])
    assert 0 < np.abs(one["qa_outputs.weight"]).max() < 5 * small_config.initializer_range
    assert not one["qa_outputs.bias"].any()
    assert load_config(None, tmp_path / "one", None).extra["architectures"] == ["DebertaV2ForQuestionAnswering"]


def test_a_missing_backbone_parameter_is_never_new(tmp_path, source):
    weights = stored(source)
    del weights["deberta.encoder.layer.0.output.dense.bias"]
    safetensors.numpy.save_file(weights, source / "model.safetensors")
    with pytest.raises(WeightError, match=r"missing \(1\): deberta\.encoder\.layer\.0\.output\.dense\.bias"):
        convert(source, tmp_path / "target", "h5", options=Options(task="question_answering", initialize=7))


def test_the_head_that_is_there_is_kept(tmp_path, source):
    convert(source, tmp_path / "target", "safetensors", options=Options(task=TASK))
    assert (tmp_path / "target/model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert (tmp_path / "target/config.json").read_bytes() == (source / "config.json").read_bytes()


# Sources


@pytest.mark.parametrize("format", FORMATS)
def test_a_single_file(tmp_path, source, format):
    convert(source, tmp_path / "there", format)
    file = tmp_path / "there" / FORMATS[format].file_name
    convert(file, tmp_path / "back", "safetensors")
    assert (tmp_path / "back/model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    shutil.move(file, lonely / file.name)
    with pytest.raises(ConfigError, match=r"lonely.*config\.save_pretrained\(folder\)"):
        convert(lonely / file.name, tmp_path / "again", "safetensors")
    convert(lonely / file.name, tmp_path / "again", "safetensors", options=Options(config=source / "config.json"))
    assert (tmp_path / "again/config.json").read_bytes() == (source / "config.json").read_bytes()
    assert (tmp_path / "again/model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()


def test_every_byte_is_counted(tmp_path, source):
    seen = []
    done = convert(source, tmp_path / "target", "bin", count=seen.append)
    assert sum(seen) == done.size == sum(array.nbytes for array in stored(source).values())
