import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from conformance.convert import convert as module
from conformance.convert.convert import convert, dry_run
from deberta_core.checkpoint import load_weights, save_weights
from deberta_core.errors import ConfigError, WeightError
from deberta_core.tasks import TASKS

GOLDENS = (
    *("v1-absolute-types", "v1-base", "v1-c2p-only", "v1-embedding-proj", "v1-gelu-new", "v1-mlm", "v1-mlm-legacy"),
    *("v1-no-relative", "v1-p2c-only", "v1-qa", "v1-qa-full", "v1-seq-multilabel", "v1-seq-regression"),
    *("v1-seq-single", "v1-short-span", "v1-talking-head", "v1-token"),
    *("v2-absolute-types", "v2-c2p-only", "v2-choice", "v2-conv", "v2-conv-groups", "v2-embedding-proj", "v2-mlm"),
    *("v2-mlm-legacy", "v2-no-buckets", "v2-no-relative", "v2-no-shared-key", "v2-p2c-only", "v2-qa", "v2-qa-full"),
    *("v2-relu", "v2-seq-multilabel", "v2-seq-regression", "v2-seq-single", "v2-silu", "v2-token", "v2-v3-style"),
)

CHAIN = ("h5", "safetensors", "keras", "bin", "safetensors")
# The only arrays of goldens that do not come back: no model of their configuration has them.
DROPPED = {"v2-no-relative": {"encoder.LayerNorm.bias", "encoder.LayerNorm.weight"}}
TASK = "sequence_classification"


def make(folder: Path, config, task, weights, format="safetensors") -> Path:
    suffix = "ForSequenceClassification" if task else "Model"
    config.replace(extra={"architectures": [f"DebertaV2{suffix}"]}).save_pretrained(folder)
    save_weights(folder, config, task, weights, format)
    return folder


@pytest.fixture(params=[None, TASK])
def task(request):
    return request.param


@pytest.fixture
def source(tmp_path, small_config, random_weights, task):
    return make(tmp_path / "source", small_config, task, random_weights(small_config, task))


@pytest.fixture
def classifier(tmp_path, small_config, random_weights):
    return make(tmp_path / "source", small_config, TASK, random_weights(small_config, TASK))


def golden_task(folder):
    (architecture,) = json.loads((folder / "config.json").read_text())["architectures"]
    return next((spec.name for spec in TASKS.values() if architecture.endswith(spec.class_suffix)), None)


def remove_from_config(folder, name):
    file = folder / "config.json"
    values = json.loads(file.read_text())
    del values[name]
    file.write_text(json.dumps(values))


def edit_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("declared", [True, False])
def test_there_and_back_is_bit_exact(tmp_path, source, small_config, task, declared):
    if not declared:
        edit_config(source, architectures=None)
    there = convert(source, tmp_path / "there", "h5")
    back = convert(tmp_path / "there", tmp_path / "back", "safetensors")
    assert there.task == back.task == task
    assert listing(tmp_path / "there") == ["config.json", "tf_model.h5"]
    assert listing(tmp_path / "back") == ["config.json", "model.safetensors"]
    assert (tmp_path / "back/model.safetensors").read_bytes() == (source / "model.safetensors").read_bytes()
    assert (tmp_path / "back/config.json").read_bytes() == (source / "config.json").read_bytes()


def test_the_copy_does_not_share_a_swap(tmp_path, source, small_config, random_weights, task):
    """Every parameter has its own numbers, so a round trip that swaps two and swaps them back is seen in the middle."""
    convert(source, tmp_path / "there", "h5")
    with load_weights(tmp_path / "there", small_config, task) as loaded:
        for name, array in random_weights(small_config, task).items():
            assert np.array_equal(loaded.weights[name], array), name


def test_small_files_are_carried_byte_for_byte(tmp_path, classifier):
    carried = {"spm.model": b"\x00\xff", "tokenizer_config.json": b"{ }", "merges.txt": b"a b", "README.md": b"# M"}
    left = {"model.safetensors.index.json": b"{}", "training.log": b"x", "pytorch_model.bin": b"x"}
    for name, content in (carried | left).items():
        (classifier / name).write_bytes(content)
    (classifier / "folder.json").mkdir()
    done = convert(classifier, tmp_path / "target", "h5")
    assert listing(tmp_path / "target") == sorted([*carried, "config.json", "tf_model.h5"])
    assert all((tmp_path / "target" / name).read_bytes() == content for name, content in carried.items())
    assert done.carried == tuple(sorted([*carried, "config.json"]))


def test_unused_names_are_reported(tmp_path, classifier, small_config):
    edit_config(classifier, position_biased_input=False)
    done = convert(classifier, tmp_path / "target", "h5")
    assert done.dropped == ("deberta.embeddings.position_embeddings.weight",)
    assert done.moves[-1].source == "classifier.bias"


def test_dry_run_writes_nothing(tmp_path, classifier):
    planned = dry_run(classifier, "h5")
    assert listing(tmp_path) == ["source"]
    assert planned == convert(classifier, tmp_path / "target", "h5")


@pytest.mark.parametrize("golden", GOLDENS)
def test_goldens_through_every_format_are_bit_exact(tmp_path, shared, golden):
    """New-head masked LM has no class in Hugging Face's TensorFlow; its file follows from the rule."""
    source = folder = shared / "goldens" / golden
    dropped = set()
    for number, to in enumerate(CHAIN):
        done = convert(folder, tmp_path / f"{number}-{to}", to)
        assert done.task == golden_task(source)
        dropped.update(done.dropped)
        folder = tmp_path / f"{number}-{to}"
    expected = safetensors.numpy.load_file(source / "model.safetensors")
    found = safetensors.numpy.load_file(folder / "model.safetensors")
    assert dropped == DROPPED.get(golden, set())
    assert found.keys() == expected.keys() - dropped
    assert all(found[key].tobytes() == expected[key].tobytes() for key in found)
    assert all(found[key].shape == expected[key].shape for key in found)
    assert (folder / "config.json").read_bytes() == (source / "config.json").read_bytes()


def test_a_masked_lm_without_legacy_in_its_config(tmp_path, shared):
    """The weights' names say which head it is, in every format."""
    shutil.copytree(shared / "goldens" / "v2-mlm", tmp_path / "source")
    remove_from_config(tmp_path / "source", "legacy")
    convert(tmp_path / "source", tmp_path / "h5", "h5")
    convert(tmp_path / "h5", tmp_path / "back", "safetensors")
    expected = safetensors.numpy.load_file(tmp_path / "source/model.safetensors")
    found = safetensors.numpy.load_file(tmp_path / "back/model.safetensors")
    assert found.keys() == expected.keys()
    assert all(found[key].tobytes() == array.tobytes() for key, array in expected.items())


def test_second_copies_of_tied_parameters_are_left_out(tmp_path, shared):
    shutil.copytree(shared / "goldens" / "v1-mlm-legacy", tmp_path / "source")
    file = tmp_path / "source/model.safetensors"
    original = safetensors.numpy.load_file(file)
    word = original["deberta.embeddings.word_embeddings.weight"]
    copies = {
        "cls.predictions.decoder.bias": original["cls.predictions.bias"].copy(),
        "cls.predictions.decoder.weight": word.copy(),
    }
    safetensors.numpy.save_file(original | copies, file)
    done = convert(tmp_path / "source", tmp_path / "target", "safetensors")
    assert done.tied == tuple(copies)
    assert safetensors.numpy.load_file(tmp_path / "target/model.safetensors").keys() == original.keys()
    copies["cls.predictions.decoder.weight"] = word + 1
    safetensors.numpy.save_file(original | copies, file)
    assert dry_run(tmp_path / "source", "h5").tied == done.tied  # reads no numbers
    with pytest.raises(WeightError, match=r"word_embeddings\.weight and cls\.predictions\.decoder\.weight, which are"):
        convert(tmp_path / "source", tmp_path / "other", "h5")
    assert listing(tmp_path) == ["source", "target"]


def test_an_incomplete_head_is_refused(tmp_path, classifier):
    file = classifier / "model.safetensors"
    weights = safetensors.numpy.load_file(file)
    del weights["classifier.bias"]
    safetensors.numpy.save_file(weights, file)
    with pytest.raises(WeightError, match=r"missing \(1\): classifier\.bias"):
        convert(classifier, tmp_path / "target", "h5")
    assert listing(tmp_path) == ["source"]


# Targets


def test_an_existing_target_needs_force(tmp_path, classifier):
    target = tmp_path / "target"
    target.mkdir()
    (target / "config.json").write_text("{}")
    (target / "spm.model").write_text("old")
    with pytest.raises(WeightError, match=r"target exists already\. Choose another name, or pass --force"):
        convert(classifier, target, "h5")
    assert listing(target) == ["config.json", "spm.model"]
    convert(classifier, target, "h5", force=True)
    assert listing(target) == ["config.json", "tf_model.h5"]
    assert listing(tmp_path) == ["source", "target"]


def test_force_does_not_replace_what_is_no_checkpoint(tmp_path, classifier):
    target = tmp_path / "photos"
    target.mkdir()
    (target / "a.jpg").touch()
    with pytest.raises(WeightError, match="is no checkpoint folder, so --force does not replace it"):
        convert(classifier, target, "h5", force=True)
    with pytest.raises(WeightError, match="is no checkpoint folder"):
        convert(classifier, target / "a.jpg", "h5", force=True)
    assert listing(target) == ["a.jpg"]


@pytest.mark.parametrize("target", ["source", ".", "source/../source"])
def test_the_source_is_never_replaced(tmp_path, classifier, target):
    before = listing(classifier)
    with pytest.raises(WeightError, match="is or contains the source"):
        convert(classifier, tmp_path / target, "h5", force=True)
    assert listing(classifier) == before


def test_a_place_that_cannot_be_written(tmp_path, classifier):
    (tmp_path / "file").touch()
    with pytest.raises(WeightError, match=r"cannot be made: .*Choose a place that can be written"):
        convert(classifier, tmp_path / "file" / "target", "h5")
    assert listing(tmp_path) == ["file", "source"]


def test_missing_parents_are_made(tmp_path, classifier):
    convert(classifier, tmp_path / "a" / "b", "h5")
    assert listing(tmp_path / "a") == ["b"]


@pytest.mark.parametrize("problem", [KeyboardInterrupt, OSError("No space left on device"), WeightError("broken")])
@pytest.mark.parametrize("exists", [True, False])
def test_nothing_half_written(tmp_path, classifier, monkeypatch, problem, exists):
    target = tmp_path / "target"
    if exists:
        shutil.copytree(classifier, target)
    before = {path.name: path.read_bytes() for path in target.iterdir()} if exists else None

    def fail(folder, *rest):
        (folder / "half").write_text("half")
        raise problem

    monkeypatch.setattr(module, "save_weights", fail)
    expected = WeightError if isinstance(problem, OSError) else problem
    with pytest.raises(expected if isinstance(expected, type) else type(expected)):
        convert(classifier, target, "h5", force=True)
    assert listing(tmp_path) == (["source", "target"] if exists else ["source"])
    if exists:
        assert {path.name: path.read_bytes() for path in target.iterdir()} == before


# Sources


def test_unknown_format(tmp_path, classifier):
    with pytest.raises(WeightError, match="format='onnx' is unknown"):
        convert(classifier, tmp_path / "target", "onnx")
    assert listing(tmp_path) == ["source"]


def test_sources_that_are_none(tmp_path, classifier):
    with pytest.raises(WeightError, match="nowhere is no folder"):
        convert(tmp_path / "nowhere", tmp_path / "target", "h5")
    (classifier / "model.safetensors").unlink()
    with pytest.raises(WeightError, match=r"holds no weight file\. Looked for: model\.safetensors, pytorch_model\.bin"):
        convert(classifier, tmp_path / "target", "h5")
    (classifier / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"config\.json does not exist"):
        convert(classifier, tmp_path / "target", "h5")
    assert listing(tmp_path) == ["source"]


def test_config_of_another_model(tmp_path, classifier):
    edit_config(classifier, model_type="bert")
    with pytest.raises(ConfigError, match="model_type='bert' is unknown"):
        convert(classifier, tmp_path / "target", "h5")
    assert listing(tmp_path) == ["source"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"intermediate_size": 21}, r"intermediate\.dense\.bias \(file \(20,\), model \(21,\)\)"),
        ({"conv_kernel_size": 0}, r"unexpected \(4\): deberta\.encoder\.conv\.LayerNorm\.bias"),
        ({"num_hidden_layers": 4}, r"The file has 2 layers, but num_hidden_layers=4"),
    ],
)
def test_config_that_does_not_fit(tmp_path, classifier, changes, message):
    edit_config(classifier, **changes)
    with pytest.raises(WeightError, match=message):
        convert(classifier, tmp_path / "target", "h5")
    assert listing(tmp_path) == ["source"]


def test_truncated_source(tmp_path, classifier):
    file = classifier / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(WeightError, match=r"model\.safetensors is truncated, damaged"):
        convert(classifier, tmp_path / "target", "h5")
    assert listing(tmp_path) == ["source"]


def test_bfloat16_does_not_fit_into_h5(tmp_path, small_config, random_weights):
    folder = make(tmp_path / "source", small_config, None, random_weights(small_config, None, "bfloat16"))
    with pytest.raises(WeightError, match=r"tf_model\.h5 does not hold \(\d+\): .* \(bfloat16\)"):
        convert(folder, tmp_path / "target", "h5")
    convert(folder, tmp_path / "copy", "safetensors")
    assert (tmp_path / "copy/model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert listing(tmp_path) == ["copy", "source"]
