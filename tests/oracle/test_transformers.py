"""What we write, transformers 4.57.1 loads without a word, and computes what our reference computes."""

import json

import numpy as np
import pytest
import torch
import transformers

from conformance.tolerances import TOLERANCES
from deberta_core.checkpoint import save_weights
from deberta_core.reference.forward import forward
from deberta_core.tasks import task_spec

# Multiple choice has no TensorFlow class for v1 there.
TASKS = (None, "masked_lm", "sequence_classification", "token_classification", "question_answering")


def their_class(config, task, prefix):
    family = type(config).__name__.removesuffix("Config")
    return getattr(transformers, f"{prefix}{family}{task_spec(task).class_suffix}")


def save(folder, config, task, weights, format, max_shard_size=None):
    config.save_pretrained(folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"legacy": True}))
    save_weights(folder, config, task, weights, format, max_shard_size)


def fitted(config, task):
    """Their question answering has as many outputs as labels."""
    return config.replace(num_labels=2) if task == "question_answering" else config


def check(report, outputs, config, task, weights, inputs):
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        # The decoder there is a second name of the word embeddings; a dropout layer without name counts the models of
        # the process.
        assert [name for name in report[problem] if "decoder" not in name and "dropout" not in name] == [], problem
    expected = forward(config, {name: array.astype("float64") for name, array in weights.items()}, inputs, task)
    kept = inputs["attention_mask"].astype(bool)
    fields = ("last_hidden_state",) if task is None else ("logits", "start_logits", "end_logits")
    compared = 0
    for field in fields:
        if field not in expected:
            continue
        compared += 1
        ours, theirs = expected[field], np.asarray(outputs[field])
        if theirs.shape[:2] == kept.shape:
            ours, theirs = ours[kept], theirs[kept]
        assert np.abs(ours - theirs).max() <= TOLERANCES["converted"].limit * np.abs(ours).max(), field
    assert compared


@pytest.mark.parametrize("size", [None, "20KB"], ids=["one file", "several files"])
@pytest.mark.parametrize("task", TASKS)
def test_tensorflow(tmp_path, config, weights, inputs, task, size):
    config, weights = fitted(config, task), weights(task)
    save(tmp_path, config, task, weights, "h5", size)
    assert (tmp_path / "tf_model.h5").exists() == (size is None)
    model, report = their_class(config, task, "TF").from_pretrained(tmp_path, output_loading_info=True)
    check(report, model(inputs, training=False), config, task, weights, inputs)


@pytest.mark.parametrize("size", [None, "20KB"], ids=["one file", "several files"])
@pytest.mark.parametrize("format", ["safetensors", "bin"])
@pytest.mark.parametrize("task", TASKS)
def test_pytorch(tmp_path, config, weights, inputs, task, format, size):
    config, weights = fitted(config, task), weights(task)
    save(tmp_path, config, task, weights, format, size)
    model, report = their_class(config, task, "").from_pretrained(tmp_path, output_loading_info=True)
    with torch.no_grad():
        outputs = model.eval()(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    found = {name: value.numpy() for name, value in outputs.items() if isinstance(value, torch.Tensor)}
    check(report, found, config, task, weights, inputs)
