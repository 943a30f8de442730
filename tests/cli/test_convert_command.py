import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from conformance.convert import verify
from deberta_core import DebertaConfig
from deberta_core.checkpoint import save_weights
from deberta_core.parameters import expand
from deberta_dual.cli import main

TASK = "sequence_classification"
FRAMEWORKS = ("torch", "keras", "tensorflow")


@pytest.fixture
def source(tmp_path, small_config, random_weights):
    small_config.save_pretrained(tmp_path / "source")
    save_weights(tmp_path / "source", small_config, TASK, random_weights(small_config, TASK))
    return tmp_path / "source"


@pytest.fixture
def masked_lm(tmp_path, random_weights):
    """A v1 masked LM as published ones are: `legacy` is not in config.json, and another head is there too."""
    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = DebertaConfig(**sizes, intermediate_size=20, legacy=False, relative_attention=True, pos_att_type="c2p")
    folder = tmp_path / "masked_lm"
    file = config.save_pretrained(folder)
    values = json.loads(file.read_text())
    del values["legacy"]
    file.write_text(json.dumps(values))
    weights = random_weights(config, "masked_lm")
    safetensors.numpy.save_file(
        weights | {"mask_predictions.classifier.bias": np.zeros(1, "f4")}, folder / "model.safetensors"
    )
    return folder


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_converts(tmp_path, source, small_config, capsys):
    assert main(["convert", str(source), str(tmp_path / "target"), "--to", "h5"]) == 0
    assert listing(tmp_path / "target") == ["config.json", "tf_model.h5"]
    out = capsys.readouterr().out
    assert (
        f"{source}/model.safetensors -> {tmp_path}/target/tf_model.h5: {len(expand(small_config, TASK))} arrays" in out
    )
    assert "copied: config.json" in out


def test_dry_run_prints_the_plan(tmp_path, source, capsys):
    assert main(["convert", str(source), str(tmp_path / "target"), "--to", "h5", "--dry-run"]) == 0
    assert listing(tmp_path) == ["source"]
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("classifier.weight"))
    assert "axes reversed" in line
    assert line.endswith("classifier/tf_deberta_v2_for_sequence_classification/classifier/kernel:0 (16, 3)")


def test_another_type_in_several_files_without_a_head(tmp_path, source, capsys):
    command = ["convert", str(source), str(tmp_path / "target"), "--to", "bin", "--max-shard-size", "2KB"]
    assert main([*command, "--dtype", "bfloat16", "--drop-head"]) == 0
    files = listing(tmp_path / "target")
    assert files[0] == "config.json"
    assert files[1].startswith("pytorch_model-00001-of-000")
    assert files[-1] == "pytorch_model.bin.index.json"
    out = capsys.readouterr().out
    assert f"target/pytorch_model.bin.index.json and {len(files) - 2} files: " in out
    assert "left out, not used by this model: classifier.bias, classifier.weight, pooler.dense.bias, pooler" in out


def test_a_new_head_is_named(tmp_path, source, capsys):
    command = ["convert", str(source), str(tmp_path / "target"), "--to", "h5", "--add-head", "question_answering"]
    assert main(command) == 1
    assert "These parameters would be new: qa_outputs.bias, qa_outputs.weight. Pass" in capsys.readouterr().err
    assert main([*command, "--initialize", "3"]) == 0
    assert "new, train them before use: qa_outputs.bias, qa_outputs.weight\n" in capsys.readouterr().out


def test_nan_is_said(tmp_path, source, capsys):
    file = source / "model.safetensors"
    weights = safetensors.numpy.load_file(file)
    weights["classifier.bias"][0] = np.nan
    safetensors.numpy.save_file(weights, file)
    assert main(["convert", str(file), str(tmp_path / "target"), "--to", "keras", "--config", str(source)]) == 0
    assert "hold NaN, kept as they are: classifier.bias\n" in capsys.readouterr().out


def test_what_is_left_out_is_said(tmp_path, masked_lm, capsys):
    assert main(["convert", str(masked_lm), str(tmp_path / "target"), "--to", "h5"]) == 0
    assert "left out, not used by this model: mask_predictions.classifier.bias\n" in capsys.readouterr().out
    file = masked_lm / "model.safetensors"
    weights = {
        name.replace("lm_predictions.lm_head.bias", "cls.predictions.bias").replace(
            "lm_predictions.lm_head", "cls.predictions.transform"
        ): array
        for name, array in safetensors.numpy.load_file(file).items()
    }
    weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"].copy()
    safetensors.numpy.save_file(weights, file)
    assert main(["convert", str(masked_lm), str(tmp_path / "legacy"), "--to", "h5"]) == 0
    assert "second copies of tied parameters: cls.predictions.decoder.bias\n" in capsys.readouterr().out


def test_existing_target_and_force(tmp_path, source, capsys):
    command = ["convert", str(source), str(tmp_path / "target"), "--to", "h5"]
    assert main(command) == 0
    assert main(command) == 1
    assert capsys.readouterr().err == (
        f"deberta: error: {tmp_path}/target exists already. Choose another name, or pass --force to replace it.\n"
    )
    assert main([*command, "--force"]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: SRC, DST, --to"),
        (["a", "b", "--to", "onnx"], "argument --to: invalid choice: 'onnx'"),
        (["a", "b", "--to", "h5", "--fast"], "unrecognized arguments: --fast"),
        (
            ["a", "b", "--to", "h5", "--drop-head", "--verify"],
            "--verify compares with the source as it is, so it does not go",
        ),
        (["a", "b", "--to", "h5", "--drop-head", "--add-head", "masked_lm"], "argument --add-head: not allowed with"),
    ],
)
def test_bad_usage_is_one_line_and_2(arguments, message, capsys):
    assert main(["convert", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"deberta: error: {message}")
    assert error.endswith("Try: deberta convert --help\n")
    assert error.count("\n") == 1


def test_missing_source(tmp_path, capsys):
    assert main(["convert", str(tmp_path / "none"), str(tmp_path / "target"), "--to", "h5"]) == 1
    assert capsys.readouterr().err.startswith(f"deberta: error: {tmp_path}/none is no folder.")


@pytest.mark.parametrize(("passed", "status", "text"), [(True, 0, "verified"), (False, 1, "NOT the same")])
def test_verify_decides_the_status(tmp_path, source, capsys, monkeypatch, passed, status, text):
    monkeypatch.setattr("deberta_dual.commands.convert.verify", lambda source, target: passed)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")  # restored at the end
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    assert main(["convert", str(source), str(tmp_path / "target"), "--to", "h5", "--verify"]) == status
    assert text in capsys.readouterr().out


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in FRAMEWORKS), reason="needs torch and tensorflow"
)
# Every task of both versions is verified in this process by tests/convert/test_verify.py.
@pytest.mark.parametrize("kind", [pytest.param("source", marks=pytest.mark.slow), "masked_lm"])
def test_verify_with_both_frameworks(tmp_path, kind, request):
    """The whole command as a user runs it, in its own process."""
    source = request.getfixturevalue(kind)
    code = "import sys; from deberta_dual.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["convert", str(source), str(tmp_path / "target"), "--to", "h5", "--verify"]
    environment = {name: value for name, value in os.environ.items() if name not in ("KERAS_BACKEND",)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("torch ") == done.stdout.count("tensorflow ") == 2
    assert done.stdout.endswith("verified\n")


def test_converting_needs_no_framework(tmp_path, source):
    code = f"""
import sys
for name in {FRAMEWORKS}:
    sys.modules[name] = None
from deberta_dual.cli import main
sys.exit(main(["convert", {str(source)!r}, {str(tmp_path / "target")!r}, "--to", "h5"]))
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_verify_without_a_framework_writes_nothing(tmp_path, source, capsys, monkeypatch):
    monkeypatch.setattr(verify, "RUNNERS", {"torch": verify._torch})
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["convert", str(source), str(tmp_path / "target"), "--to", "h5", "--verify"]) == 1
    assert "torch is not installed" in capsys.readouterr().err
    assert not (tmp_path / "target").exists()


def test_verify_does_not_go_with_another_config(tmp_path, source, capsys):
    flags = ["--to", "h5", "--verify", "--config", str(source / "config.json")]
    assert main(["convert", str(source), str(tmp_path / "target"), *flags]) == 2
    assert "it does not go with --config" in capsys.readouterr().err
    assert not (tmp_path / "target").exists()
