"""The golden files are the ones their recipe made."""

import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys

import pytest
from safetensors.numpy import load_file

from conformance.suite.compare import assert_close
from conformance.suite.golden import OWN
from deberta_core.checkpoint import load_weights
from deberta_core.config import DebertaV2Config

REGENERATED = "unshared-c2p"  # a case without TensorFlow
ORACLE = "4.57.1"  # of transformers
LARGEST = 150_000  # bytes of one folder


def test_hashes():
    text = (OWN / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", text, re.MULTILINE))
    actual = {
        file.relative_to(OWN).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in OWN.glob("*/*")
        if file.is_file()
    }
    assert listed == actual
    assert len(actual) >= 6 * 4


def test_folders_are_small():
    for case in OWN.glob("*/case.json"):
        assert sum(file.stat().st_size for file in case.parent.iterdir()) < LARGEST, case.parent.name


def test_tf_files_hold_the_same_weights():
    """Files that transformers' TensorFlow classes wrote are read, bit for bit, as what its PyTorch classes wrote."""
    found = sorted(OWN.glob("*/tf_model.h5"))
    assert len(found) >= 2
    for file in found:
        expected = load_file(file.parent / "model.safetensors")
        config = DebertaV2Config.from_pretrained(file.parent)
        head = json.loads((file.parent / "case.json").read_text(encoding="utf-8"))["head"]
        task = None if head == "Model" else "sequence_classification"
        with load_weights(file, config, task) as loaded:
            assert set(loaded.weights) == set(expected)
            for name, values in expected.items():
                assert_close(loaded.weights[name], values, quantity="exact", name=name)


def test_the_recipe_makes_them_again(root, tmp_path):
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"transformers is not installed here; conformance/golden/README.md says how to run {ORACLE}")
    if version != ORACLE:
        pytest.skip(f"transformers {version} is installed, but the recipe needs {ORACLE}")
    script = root / "tools" / "make_golden.py"
    command = [sys.executable, str(script), REGENERATED, "--to", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    made, kept = tmp_path / REGENERATED, OWN / REGENERATED
    assert {file.name for file in made.iterdir()} == {file.name for file in kept.iterdir()}
    assert (made / "config.json").read_text() == (kept / "config.json").read_text()
    assert (made / "model.safetensors").read_bytes() == (kept / "model.safetensors").read_bytes()
    again, before = (load_file(folder / "expected.safetensors") for folder in (made, kept))
    assert again.keys() == before.keys()
    for name, values in before.items():
        assert_close(again[name], values, quantity="golden", name=name)
