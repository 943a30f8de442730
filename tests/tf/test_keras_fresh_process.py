"""What is saved here is loaded elsewhere: .keras, .weights.h5 and SavedModels, in fresh processes, on real text."""

from __future__ import annotations

import functools
import json

import keras
import numpy as np
import pytest

import deberta_tf
from conformance.suite.compare import assert_close
from deberta_tf.weights import parameter_variables

SUFFIXES = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)
CLASSES = [f"TF{version}{suffix}" for version in ("Deberta", "DebertaV2") for suffix in SUFFIXES]


@pytest.fixture(scope="module")
def models(tiny_config, tiny_v1_config):
    """A model of every class, none of them called yet."""
    keras.utils.set_random_seed(0)
    configs = {name: tiny_config if "V2" in name else tiny_v1_config for name in CLASSES}
    return {name: getattr(deberta_tf, name)(config) for name, config in configs.items()}


@pytest.fixture(scope="module")
def reloaded(models, tiny_config, batch, run_script, tmp_path_factory):
    """What a fresh process makes of the files, and the model that was saved in mid-training."""
    folder = tmp_path_factory.mktemp("saved")
    tiny_config.save_pretrained(folder)
    np.savez(folder / "batch.npz", **batch)
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    models["TFDebertaV2ForSequenceClassification"].save_weights(folder / "model.weights.h5")
    trained = deberta_tf.TFDebertaV2ForSequenceClassification(tiny_config)
    trained.compile(optimizer=keras.optimizers.Adam(3e-3), run_eagerly=True)
    trained.train_on_batch(batch, np.arange(len(batch["input_ids"])) % 3)
    trained.save(folder / "trained.keras")
    done = run_script("fresh_process.py", folder)
    assert done.returncode == 0, done.stderr
    with np.load(folder / "outputs.npz") as file:
        return {name: file[name] for name in file.files}, trained


def inputs_of(model, batch):
    if not model.spec.folds_choices:
        return batch
    return {name: np.stack([values, values[::-1]], axis=1) for name, values in batch.items()}


@pytest.mark.parametrize("name", CLASSES)
def test_keras_file(models, reloaded, batch, name):
    model = models[name]
    np.testing.assert_array_equal(reloaded[0][name], next(iter(model(inputs_of(model, batch)))).numpy())


def test_weights_file(models, reloaded, batch):
    expected = models["TFDebertaV2ForSequenceClassification"](batch).logits
    np.testing.assert_array_equal(reloaded[0]["weights"], expected.numpy())


def test_training_goes_on_where_it_was(reloaded, batch):
    """Adam's second step depends on its moments: they are in the file."""
    found, trained = reloaded
    trained.train_on_batch(batch, np.arange(len(batch["input_ids"])) % 3)
    for name, variable in parameter_variables(trained).items():
        np.testing.assert_array_equal(found[f"step/{name}"], variable.numpy(), err_msg=name)


# Every kind of input and of output is quick once: the backbone, one array a text, two of them, choices, token types.
# The heads that are marked slow have those of a text.
SERVED = ("TFDebertaV2Model", "TFDebertaV2ForQuestionAnswering", "TFDebertaV2ForMultipleChoice", "typed")
SERVED_SLOWLY = tuple(name for name in CLASSES if "V2" in name and name not in SERVED)


@pytest.fixture(scope="module")
def exported(models, tiny_v1_config, batch, run_script, tmp_path_factory):
    """Gives the folder of some SavedModels, the models, their inputs, and what plain TensorFlow made of them."""
    keras.utils.set_random_seed(1)
    typed = deberta_tf.TFDebertaForSequenceClassification(tiny_v1_config.replace(type_vocab_size=2))

    @functools.cache
    def export(names):
        folder, calls = tmp_path_factory.mktemp("exported"), {}
        chosen = {name: typed if name == "typed" else models[name] for name in names}
        for name, model in chosen.items():
            model.export(folder / name, verbose=False)
            calls[name] = serving_calls(model, batch)
            flat = {f"{key}/{part}": array for key, inputs in calls[name].items() for part, array in inputs.items()}
            np.savez(folder / f"{name}.inputs.npz", **flat)
        done = run_script("served.py", folder)
        assert done.returncode == 0, done.stderr
        return folder, chosen, calls

    return export


def serving_calls(model, batch):
    """Inputs per signature: one text, all of them, and texts of three times the length, longer than any before."""
    short = {name: values[:1, :5] for name, values in batch.items()}
    long = {name: np.tile(values[:3], (1, 3)) for name, values in batch.items()}
    calls = {f"serving_default/{number}": inputs for number, inputs in enumerate((short, batch, long))}
    calls |= {"serving_int64/0": batch, "serving_without_mask/0": {"input_ids": batch["input_ids"]}}
    for key, inputs in calls.items():
        named = inputs_of(model, inputs)
        if model.config.type_vocab_size:
            named = {**named, "token_type_ids": named["input_ids"] % 2}
        dtype = np.int64 if "int64" in key else np.int32
        calls[key] = {name: values.astype(dtype) for name, values in named.items()}
    return calls


@pytest.mark.parametrize("name", [*SERVED, *(pytest.param(name, marks=pytest.mark.slow) for name in SERVED_SLOWLY)])
def test_saved_model(exported, name):
    folder, chosen, calls = exported(SERVED if name in SERVED else SERVED_SLOWLY)
    model = chosen[name]
    with np.load(folder / f"{name}.outputs.npz") as file:
        outputs = {key: file[key] for key in file.files}
    seen = set()
    for call, inputs in calls[name].items():
        for output, expected in model(inputs).items():
            seen.add(f"{call}/{output}")
            kind = "logits" if output.endswith("logits") else "hidden"
            assert_close(outputs[f"{call}/{output}"], np.asarray(expected), quantity=kind, name=f"{call}/{output}")
    assert seen == set(outputs)


def test_saved_models_hold_the_names_of_the_labels(exported):
    folder, chosen, _ = exported(SERVED)
    kept = json.loads((folder / "typed" / "assets.extra" / "config.json").read_text(encoding="utf-8"))
    assert kept["id2label"] == {str(number): label for number, label in chosen["typed"].config.id2label.items()}


def test_another_signature_is_left_to_keras(models, tmp_path):
    models["TFDebertaV2Model"].export(
        tmp_path / "one", verbose=False, input_signature=[keras.InputSpec(shape=(None, 8), dtype="int32", name="ids")]
    )
    assert (tmp_path / "one" / "saved_model.pb").is_file()
    assert not (tmp_path / "one" / "assets.extra").exists()
