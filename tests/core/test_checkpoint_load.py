import dataclasses
import warnings

import numpy as np
import pytest
import safetensors.numpy

from deberta_core.checkpoint import LoadReport, load_weights, save_weights
from deberta_core.errors import DebertaWarning, InputError, WeightError
from deberta_core.parameters import expand

TASK = "sequence_classification"
HEAD = ("classifier.bias", "classifier.weight", "pooler.dense.bias", "pooler.dense.weight")


@pytest.fixture
def folder(tmp_path, small_config, random_weights):
    """A folder with a task checkpoint."""
    save_weights(tmp_path, small_config, TASK, random_weights(small_config, TASK))
    return tmp_path


def rewrite(folder, change):
    """Changes the names and arrays of the folder's weight file."""
    file = folder / "model.safetensors"
    weights = safetensors.numpy.load_file(file)
    changed = change(weights)
    safetensors.numpy.save_file(weights if changed is None else changed, file)


@pytest.mark.parametrize("format", ["safetensors", "h5"])
@pytest.mark.parametrize("task", [None, TASK])
def test_same_kind_loads_everything(tmp_path, small_config, random_weights, task, format):
    weights = random_weights(small_config, task)
    save_weights(tmp_path, small_config, task, weights, format)
    with load_weights(tmp_path, small_config, task) as loaded:
        assert loaded.report == LoadReport()
        assert list(loaded.weights) == list(expand(small_config, task))
        assert all(np.array_equal(loaded.weights[name], array) for name, array in weights.items())
    with pytest.raises(WeightError, match="is closed"):
        loaded.weights["classifier.bias" if task else "encoder.LayerNorm.bias"]


@pytest.mark.parametrize("format", ["safetensors", "h5"])
def test_task_checkpoint_into_a_backbone(tmp_path, small_config, random_weights, format):
    weights = random_weights(small_config, TASK)
    save_weights(tmp_path, small_config, TASK, weights, format)
    with load_weights(tmp_path, small_config, None) as loaded:
        assert loaded.report == LoadReport(dropped=HEAD)
        assert loaded.weights.keys() == expand(small_config, None).keys()
        assert all(np.array_equal(a, weights[f"deberta.{name}"]) for name, a in loaded.weights.items())


@pytest.mark.parametrize("format", ["safetensors", "h5"])
def test_bare_checkpoint_into_a_task_model(tmp_path, small_config, random_weights, format):
    weights = random_weights(small_config, None)
    save_weights(tmp_path, small_config, None, weights, format)
    with pytest.warns(DebertaWarning, match=f"has no {', '.join(HEAD)}. They start fresh") as record:
        loaded = load_weights(tmp_path, small_config, TASK)
    assert len(record) == 1
    assert loaded.report == LoadReport(missing=HEAD)
    assert all(np.array_equal(a, weights[name.removeprefix("deberta.")]) for name, a in loaded.weights.items())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_weights(tmp_path, small_config, TASK, new_head=True).report == loaded.report


def test_a_new_head_does_not_excuse_the_backbone(folder, small_config):
    rewrite(folder, lambda w: {n: a for n, a in w.items() if n != "deberta.encoder.LayerNorm.bias"})
    with pytest.raises(WeightError, match=r"missing \(1\): deberta\.encoder\.LayerNorm\.bias\."):
        load_weights(folder, small_config, TASK, new_head=True)


def test_other_heads_and_unused_names_are_dropped(folder, small_config):
    names = ["cls.predictions.bias", "deberta.embeddings.position_ids", "lm_predictions.x", "qa_outputs.weight"]
    rewrite(folder, lambda w: w.update({name: np.zeros(3, "f4") for name in names}))
    plain = small_config.replace(position_biased_input=True)
    assert load_weights(folder, plain, TASK).report == LoadReport(dropped=tuple(names))
    without = small_config.replace(position_biased_input=False)
    dropped = {*names, "deberta.embeddings.position_embeddings.weight"}
    assert load_weights(folder, without, TASK).report.dropped == tuple(sorted(dropped))


def test_an_unknown_name_of_the_own_head_is_unexpected(folder, small_config):
    rewrite(folder, lambda w: w.update({"classifier.scale": np.zeros(3, "f4")}))
    with pytest.raises(WeightError, match=r"unexpected \(1\): classifier\.scale\."):
        load_weights(folder, small_config, TASK)


def test_names_with_and_without_prefix_do_not_mix(folder, small_config):
    rewrite(folder, lambda w: w.update({"encoder.LayerNorm.bias": np.zeros(16, "f4")}))
    with pytest.raises(WeightError, match=r"unexpected \(1\): encoder\.LayerNorm\.bias\."):
        load_weights(folder, small_config, TASK)


def test_all_problems_are_in_one_message(folder, small_config):
    def change(weights):
        del weights["deberta.encoder.LayerNorm.bias"]
        weights["deberta.encoder.LayerNorm.weight"] = np.zeros(5, "f4")
        weights["deberta.encoder.conv.conv.bias"] = np.zeros(16, "i8")
        weights.update({f"stranger.{number:02}": np.zeros(1, "f4") for number in range(11)})

    rewrite(folder, change)
    with pytest.raises(WeightError) as caught:
        load_weights(folder, small_config, TASK)
    message = str(caught.value)
    assert f"{folder}/model.safetensors does not fit DebertaV2ForSequenceClassification:" in message
    assert "missing (1): deberta.encoder.LayerNorm.bias." in message
    assert "unexpected (11): stranger.00, stranger.01, " in message
    assert "stranger.07 and 3 more." in message
    assert "of another shape (1): deberta.encoder.LayerNorm.weight (file (5,), model (16,))." in message
    assert "no floating point numbers (1): deberta.encoder.conv.conv.bias (int64)." in message
    assert "stranger.08" not in message


def test_mismatched_sizes_can_be_left_out(folder, small_config):
    other = small_config.replace(num_labels=5)
    with pytest.raises(WeightError, match=r"classifier\.weight \(file \(3, 16\), model \(5, 16\)\)\. Pass ignore_mis"):
        load_weights(folder, other, TASK)
    with pytest.warns(DebertaWarning, match=r"other shapes for classifier\.bias \(file \(3,\), model \(5,\)\), class"):
        loaded = load_weights(folder, other, TASK, ignore_mismatched_sizes=True)
    assert loaded.report == LoadReport(
        mismatched=(("classifier.bias", (3,), (5,)), ("classifier.weight", (3, 16), (5, 16)))
    )
    assert "classifier.weight" not in loaded.weights


def test_a_transposed_array_is_caught(folder, small_config):
    name = "deberta.encoder.layer.0.intermediate.dense.weight"
    rewrite(folder, lambda w: w.update({name: np.ascontiguousarray(w[name].T)}))
    with pytest.raises(WeightError, match=r"dense\.weight \(file \(16, 20\), model \(20, 16\)\)"):
        load_weights(folder, small_config, TASK)


@pytest.mark.parametrize("layers", [1, 3])
def test_diagnosis_of_another_number_of_layers(folder, small_config, layers):
    with pytest.raises(WeightError, match=f"The file has 2 layers, but num_hidden_layers={layers} in the config"):
        load_weights(folder, small_config.replace(num_hidden_layers=layers), TASK)


def test_diagnosis_of_v1(folder, small_config):
    def change(weights):
        return {
            name.replace("query_proj", "in_proj"): array
            for name, array in weights.items()
            if "key_proj" not in name and "value_proj" not in name
        }

    rewrite(folder, change)
    with pytest.raises(WeightError, match=r"Found in_proj\.weight: this is a v1 checkpoint, use the Deberta classes\."):
        load_weights(folder, small_config, TASK)


def test_diagnosis_of_a_v1_golden(shared):
    from deberta_core import DebertaV2Config

    folder = shared / "goldens" / "v1-base"
    values = {"vocab_size": 130, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = DebertaV2Config(**values, intermediate_size=48)
    for file in ("model.safetensors", "tf_model.h5"):
        with pytest.raises(WeightError, match=rf"{file} does not fit .*this is a v1 checkpoint"):
            load_weights(folder / file, config, None)


def test_nan_is_kept(folder, small_config):
    rewrite(folder, lambda w: w["classifier.bias"].fill(np.nan))
    assert np.isnan(load_weights(folder, small_config, TASK).weights["classifier.bias"]).all()


def test_an_open_file_outlives_its_owner(folder, small_config, random_weights):
    array = load_weights(folder, small_config, TASK).weights["classifier.bias"]
    assert np.array_equal(array, random_weights(small_config, TASK)["classifier.bias"])


def test_report_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        LoadReport().missing = ("a",)


def test_unknown_task(folder, small_config):
    with pytest.raises(InputError, match="task='tagging' is unknown"):
        load_weights(folder, small_config, "tagging")
