"""The fuzzer: every target runs, the same seed gives the same inputs, and planted faults are found."""

import io
import json
import sys
import zipfile
from pathlib import Path
from random import Random

import h5py
import pytest

from tools.fuzz.__main__ import main
from tools.fuzz.campaign import changed, fuzz, make_corpus, replay
from tools.fuzz.changes.hdf5 import change_hdf5
from tools.fuzz.table import add_to
from tools.fuzz.targets import target_names
from tools.fuzz.worker import Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and measures of Linux are used")
INPUTS = 40  # of each target
FOUND = Path(__file__).parent / "fuzz_inputs"
PLANTED = "tests.tools.planted_fuzz_target"


@pytest.mark.parametrize("name", target_names())
def test_every_target_reads_and_refuses(name, tmp_path):
    pytest.importorskip("torch") if name == "bin-legacy" else None
    summary = fuzz(name, 60.0, 0, tmp_path, most=INPUTS)
    assert summary.inputs == INPUTS
    assert summary.kinds["read"] > 0
    assert summary.kinds["refused"] > 0 or name == "run"  # which reports each line's error and goes on
    assert not summary.failures


@pytest.mark.parametrize("name", target_names())
def test_inputs_follow_from_the_seed(name, tmp_path):
    pytest.importorskip("torch") if name == "bin-legacy" else None
    folders = [tmp_path / "one", tmp_path / "two"]
    found = []
    for folder in folders:
        folder.mkdir()
        corpus = make_corpus(name, folder)
        found.append([changed(name, f"{name} 3 {number}", corpus) for number in range(40)])
    assert found[0] == found[1]
    assert found[0] != [changed(name, f"{name} 4 {number}", corpus) for number in range(40)]


def test_planted_faults_are_found_once_each(tmp_path, capsys):
    arguments = [PLANTED, "--seconds", "4", "--seed", "1", "--out", str(tmp_path), "--json", str(tmp_path / "table")]
    status = main(arguments)
    printed = capsys.readouterr().out
    saved = sorted((tmp_path / PLANTED).iterdir())
    assert {folder.name.split("-")[1] for folder in saved} == {"crash", "memory", "effect", "exception"}
    assert status == len(saved) == 4
    for folder in saved:
        kind = folder.name.split("-")[1]
        assert (folder / "input" / "file").read_text() == kind
        assert replay(PLANTED, folder).kind == kind
    assert " inputs, " in printed.splitlines()[-1]
    (row,) = json.loads((tmp_path / "table").read_text())
    assert row["failures"] == 4
    assert row["distinct refusals"] == 1


def test_what_never_answers_is_ended(tmp_path):
    make_corpus(PLANTED, tmp_path)
    worker = Worker(PLANTED, tmp_path, mebibytes=300, seconds=0.5)
    assert worker.run("key", {"file": b"hang"}).kind == "hang"
    assert worker.run("key", {"file": b"read"}).kind == "read"  # by a new process
    worker.close()


def test_tables_add_up(tmp_path, capsys):
    file = tmp_path / "table.json"
    file.write_text("[]")
    row = {"target": "a", "inputs": 1000, "distinct refusals": 2, "failures": 0, "slowest (s)": 0.5}
    row |= {"largest (MiB)": 3.0}
    add_to(file, [row])
    add_to(file, [{**row, "slowest (s)": 1.5, "inputs": 500}])
    assert main(["--table", str(file)]) == 0
    assert "| a | 1,500 | 2 | 0 | 1.5 | 3.0 |" in capsys.readouterr().out


def test_targets_are_named(capsys):
    assert main(["--list"]) == 0
    assert {"safetensors", "bin", "tokenizer-json", "config"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize("file", sorted(FOUND.glob("*.zip")), ids=lambda file: file.stem)
def test_what_was_found_once_is_refused(file, tmp_path):
    """Inputs that raised another exception than ours: one of each kind that was ever found."""
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path)
    assert replay(file.stem.rpartition("-")[0], tmp_path).kind == "refused"


def test_a_huge_dataset_does_not_stop_the_fuzzer():
    """One change may make a dataset that the next cannot fill."""
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("a", shape=(2**40,), dtype="S4")
    for seed in range(60):
        assert change_hdf5(Random(seed), stream.getvalue())
