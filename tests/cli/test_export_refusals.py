"""What `deberta export` says where it cannot do what is asked: one sentence, and nothing half-written."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from deberta_core import DebertaV2Config
from deberta_core.errors import InputError
from deberta_dual import export
from deberta_dual.backends import get_backend
from deberta_dual.cli import main
from deberta_dual.exporting.packages import OLDEST
from deberta_dual.exporting.targets import TARGETS

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
deberta_torch = pytest.importorskip("deberta_torch")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A classifier with absolute positions, of a few megabytes."""
    folder = tmp_path_factory.mktemp("models") / "classifier"
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=60,
        hidden_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=384,
        position_buckets=8,
        pos_att_type=("p2c", "c2p"),
        max_position_embeddings=16,
    )
    deberta_torch.DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    return folder


def refused(capsys, *words):
    """The one line on standard error of a command that fails."""
    assert main(["export", *map(str, words)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_an_unknown_opset(checkpoint, tmp_path, capsys):
    target = tmp_path / "exported"
    assert "opset=99" in refused(capsys, checkpoint, target, "--to", "onnx", "--opset", 99)
    assert "opset=21 is not for to='litert'" in refused(capsys, checkpoint, target, "--to", "litert", "--opset", 21)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opset", [20, 21, 22])
def test_every_opset_gives_the_same(checkpoint, tmp_path, opset):
    import onnx

    done = export(checkpoint, tmp_path / "exported", opset=opset, verify=True)
    assert done.passed
    model = onnx.load(done.file)
    onnx.checker.check_model(model, full_check=True)
    assert [one.version for one in model.opset_import] == [opset]


@pytest.mark.parametrize("change", [{"hidden_act": "quick_gelu"}, {"model_type": "llama"}])
def test_an_unsupported_configuration(checkpoint, tmp_path, capsys, change):
    config = json.loads((checkpoint / "config.json").read_text()) | change
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    assert repr(next(iter(change.values()))) in refused(capsys, tmp_path / "other", tmp_path / "out", "--to", "onnx")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("to", "package"), [(to, name) for to, row in TARGETS.items() for name, _ in row.needs])
def test_a_runtime_is_missing(checkpoint, tmp_path, capsys, monkeypatch, to, package):
    find = importlib.util.find_spec
    present = {name: (lambda *_: None) if name == package else None for name, _ in TARGETS[to].needs}
    spec = find("json")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None if present.get(name) else spec)
    line = refused(capsys, checkpoint, tmp_path / "out", "--to", to)
    assert re.search(rf"{package} is not installed. Use pip install 'deberta-dual\[\w+\]'\.", line)
    assert not (tmp_path / "out").exists()


def test_a_runtime_is_too_old(checkpoint, tmp_path, capsys, monkeypatch):
    known = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.9.0" if name == "onnxruntime" else known(name))
    line = refused(capsys, checkpoint, tmp_path / "out", "--to", "onnx")
    assert "onnxruntime 1.9.0 is too old: 1.18 is needed. Use pip install --upgrade 'deberta-dual[onnx]'." in line
    assert not (tmp_path / "out").exists()


def test_the_extras_ask_for_the_oldest_versions():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = {name.partition(">=")[0]: name.partition(">=")[2] for extra in extras.values() for name in extra}
    assert {name: asked[name] for name in OLDEST} == OLDEST


def test_a_converter_fails(checkpoint, tmp_path, capsys, monkeypatch):
    tf_export = pytest.importorskip("deberta_dual.backends.tf_export")

    def write(source, file, dtype):
        file.write_bytes(b"half")
        raise ValueError("Unrecognized format=litert.\nMore of it.")

    monkeypatch.setattr(tf_export, "write_litert", write)
    line = refused(capsys, checkpoint, tmp_path / "out", "--to", "litert")
    assert "litert/model.tflite cannot be written: Unrecognized format=litert." in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", TARGETS)
def test_the_disk_is_full(checkpoint, tmp_path, to):
    for package, _ in TARGETS[to].needs:
        pytest.importorskip(package)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    command = [sys.executable, "-m", "deberta_dual.cli", "export", str(checkpoint), str(tmp_path / "out"), "--to", to]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("deberta: error: ")]
    assert len(said) == 1, done.stderr
    assert "cannot be written" in said[0]
    assert list(tmp_path.iterdir()) == []


def test_a_text_is_longer_than_the_positions(checkpoint, tmp_path):
    export(checkpoint, tmp_path / "exported")
    backend = get_backend("onnx")
    arrays = backend.array_model(backend.load_model(tmp_path / "exported", "sequence_classification"))
    ids = np.ones((1, 17), dtype=np.int64)
    with pytest.raises(InputError, match="the text has 17 tokens, but max_position_embeddings=16"):
        arrays.run({"input_ids": ids, "attention_mask": ids}, None)


def test_a_tampered_file(checkpoint, tmp_path, capsys):
    import onnx
    from onnx import numpy_helper

    target = tmp_path / "exported"
    file = export(checkpoint, target).file
    words = ["export", str(checkpoint), str(target), "--to", "onnx", "--verify-only"]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "verified"
    model = onnx.load(file)
    weight = next(one for one in model.graph.initializer if one.name == "classifier.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(model, file)
    before = file.read_bytes()
    assert main(words) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(rf"NOT the same, logits of model.onnx by \S+ where \S+ is allowed: do not use {target}", last)
    assert file.read_bytes() == before
    file.write_bytes(before[:1000])
    assert "model.onnx cannot be run" in refused(capsys, *words[1:])
    file.unlink()
    assert "model.onnx does not exist. Export the model first." in refused(capsys, *words[1:])
