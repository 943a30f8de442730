"""model.weights.h5 and .keras: our own reader and writer, which build no model, against Keras' save and load."""

from __future__ import annotations

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest

import deberta_tf
from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.checkpoint import load_weights, save_weights
from deberta_core.parameters import expand
from deberta_core.tasks import TASKS, task_spec
from deberta_tf.weights import parameter_variables
from tests.crash_points import stop_everywhere

SIZES = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20}
# Between them, every row of the parameter table.
CONFIGS = {
    "v1": DebertaConfig(**SIZES, pos_att_type="c2p|p2c", relative_attention=True, talking_head=True, type_vocab_size=2),
    "v2": DebertaV2Config(
        **SIZES,
        pos_att_type="c2p|p2c",
        relative_attention=True,
        position_buckets=4,
        norm_rel_ebd="layer_norm",
        conv_kernel_size=3,
        embedding_size=12,
    ),
}
CASES = [(name, task, True) for name in CONFIGS for task in (None, *TASKS)]
CASES += [(name, "masked_lm", False) for name in CONFIGS]


def build(config, task, **options):
    family = type(config).__name__.removesuffix("Config")
    return getattr(deberta_tf, f"TF{family}{task_spec(task).class_suffix}")(config, **options)


def datasets(file):
    """Arrays, and the attributes of everything, by path."""
    arrays, attributes = {}, {}

    def visit(path, item):
        attributes[path] = dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            arrays[path] = item[()]

    with h5py.File(file) as handle:
        handle.visititems(visit)
    return arrays, attributes


def numbers(model):
    return {name: np.asarray(variable) for name, variable in parameter_variables(model).items()}


@pytest.mark.parametrize(("name", "task", "legacy"), CASES)
def test_every_task_both_ways(tmp_path, random_weights, name, task, legacy):
    config = CONFIGS[name].replace(legacy=legacy)
    table = expand(config, task)
    model = build(config, task)
    model.save_weights(tmp_path / "model.weights.h5")
    expected = numbers(model)
    with load_weights(tmp_path, config, task) as loaded:
        assert list(loaded.weights) == list(table)
        for key, array in loaded.weights.items():
            np.testing.assert_array_equal(table[key].kind.convert(array), expected[key], err_msg=key)

    weights = random_weights(config, task)
    ours = save_weights(tmp_path / "ours", config, task, weights, "keras")
    theirs, their_attributes = datasets(tmp_path / "model.weights.h5")
    arrays, attributes = datasets(ours)
    assert arrays.keys() == theirs.keys()
    assert {path: found for path, found in attributes.items() if found} == {
        path: found for path, found in their_attributes.items() if found and path in attributes
    }
    model.load_weights(ours)
    for key, array in numbers(model).items():
        np.testing.assert_array_equal(array, table[key].kind.convert(weights[key]), err_msg=key)


@pytest.mark.parametrize(("name", "task"), [("v1", "masked_lm"), ("v2", None), ("v2", "multiple_choice")])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_archive_of_ours_is_a_model_for_keras(tmp_path, random_weights, name, task, dtype):
    config = CONFIGS[name]
    weights = random_weights(config, task, dtype)
    ours = save_weights(tmp_path, config, task, weights, "keras-archive")
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    model = keras.models.load_model(ours)
    assert type(model) is type(build(config, task))
    assert model.config == config
    assert model.dtype_policy.name == dtype
    for key, array in numbers(model).items():
        np.testing.assert_array_equal(array, expand(config, task)[key].kind.convert(weights[key]), err_msg=key)
    model.save(tmp_path / "model.keras")
    with load_weights(tmp_path, config, task) as loaded:
        for key, array in loaded.weights.items():
            np.testing.assert_array_equal(array, weights[key], err_msg=key)


def test_half_precision(tmp_path):
    config = CONFIGS["v2"]
    model = build(config, None, dtype="bfloat16")
    model.save_weights(tmp_path / "model.weights.h5")
    with load_weights(tmp_path, config, None) as loaded:
        weights = dict(loaded.weights)
        assert {array.dtype for array in weights.values()} == {np.dtype(ml_dtypes.bfloat16)}
    ours = save_weights(tmp_path / "ours", config, None, weights, "keras")
    again = build(config, None, dtype="bfloat16")
    again.load_weights(ours)
    for (key, one), other in zip(numbers(model).items(), numbers(again).values(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=key)


def test_keras_archive(tmp_path):
    config = CONFIGS["v2"]
    model = build(config, "question_answering")
    model.compile("adam")
    model.save(tmp_path / "model.keras")
    with load_weights(tmp_path / "model.keras", config, "question_answering") as loaded:
        table = expand(config, "question_answering")
        for key, array in numbers(model).items():
            np.testing.assert_array_equal(table[key].kind.convert(loaded.weights[key]), array, err_msg=key)


def test_save_pretrained_and_load(tmp_path):
    model = build(CONFIGS["v1"], None)
    model.save_pretrained(tmp_path, format="keras")
    again = type(model).from_pretrained(tmp_path)
    for (key, one), other in zip(numbers(model).items(), numbers(again).values(), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=key)


@pytest.mark.parametrize("format", ["safetensors", "keras"])
def test_a_model_that_is_killed_while_it_is_saved(tmp_path, format):
    config = CONFIGS["v2"]
    build(config.replace(hidden_act="relu"), None).save_pretrained(tmp_path / "old", None, format)
    model = build(config, None)

    def load(folder):
        found = deberta_tf.TFDebertaV2Model.from_pretrained(folder)
        return found.config.hidden_act, [np.asarray(variable).tobytes() for variable in found.weights]

    def save(folder):
        model.save_pretrained(folder, None, format)

    every = {"safetensors": 11, "keras": 60}[format]
    stop_everywhere(tmp_path / "x", tmp_path / "old", save, load, every=every)
