import json

import numpy as np
import pytest
import safetensors.numpy

from conformance.convert.inspection import inspect
from deberta_core.checkpoint import FORMATS, save_weights
from deberta_core.errors import WeightError
from deberta_core.parameters import expand
from deberta_dual.cli import main

TASK = "token_classification"


@pytest.fixture
def folder(tmp_path, small_config, random_weights):
    small_config.save_pretrained(tmp_path)
    save_weights(tmp_path, small_config, TASK, random_weights(small_config, TASK))
    return tmp_path


def change(folder, how):
    weights = safetensors.numpy.load_file(folder / "model.safetensors")
    how(weights)
    safetensors.numpy.save_file(weights, folder / "model.safetensors")


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_there(tmp_path, small_config, random_weights, format):
    small_config.save_pretrained(tmp_path)
    save_weights(tmp_path, small_config, TASK, random_weights(small_config, TASK), format)
    found = inspect(tmp_path, check_values=True)
    table = expand(small_config, TASK)
    assert found.problems == {}
    assert found.format == format
    assert found.model == "DebertaV2ForTokenClassification"
    assert found.parameters == sum(parameter.size for parameter in table.values())
    assert found.size == 4 * found.parameters
    assert found.dtypes == {"float32": len(table)}
    assert {tensor.name: tensor.shape for tensor in found.tensors} == {n: p.shape for n, p in table.items()}
    names = FORMATS[format].stored_names(small_config, TASK)
    assert {tensor.name: tensor.stored for tensor in found.tensors} == names
    assert inspect(tmp_path / FORMATS[format].file_name).tensors == found.tensors


def test_several_files(shared, capsys):
    assert main(["inspect", str(shared / "goldens" / "v1-base" / "sharded")]) == 0
    out = capsys.readouterr().out
    assert "model.safetensors.index.json: safetensors, 6 files\n" in out
    assert out.endswith("no problems\n")


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        (lambda w: w.pop("classifier.bias"), ("missing", "classifier.bias")),
        (lambda w: w.update(stranger=np.zeros(1, "f4")), ("unexpected", "stranger")),
        (
            lambda w: w.update({"classifier.bias": np.zeros(7, "f4")}),
            ("of another shape", "classifier.bias: (7,), model (3,)"),
        ),
        (lambda w: w["classifier.bias"].fill(np.nan), ("holding NaN", "classifier.bias")),
    ],
)
def test_problems(folder, capsys, how, problem):
    change(folder, how)
    kind, what = problem
    assert inspect(folder, check_values=True).problems == {kind: (what,)}
    assert main(["inspect", str(folder), "--check-values"]) == 1
    assert capsys.readouterr().out.endswith(f"PROBLEM, {kind} (1): {what}\n")
    assert (main(["inspect", str(folder)]) == 0) == (kind == "holding NaN")


def test_json(folder, capsys, small_config):
    assert main(["inspect", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"] == json.loads(json.dumps(small_config.to_dict()))
    assert found["problems"] == {}
    assert found["tensors"][0].keys() == {"name", "stored", "shape", "dtype", "size"}


def test_what_is_not_there(tmp_path, folder, capsys):
    with pytest.raises(WeightError, match="nowhere does not exist"):
        inspect(tmp_path / "nowhere")
    assert main(["inspect", str(folder / "spm.model")]) == 1
    assert capsys.readouterr().err.startswith("deberta: error: ")
    assert main(["inspect"]) == 2
