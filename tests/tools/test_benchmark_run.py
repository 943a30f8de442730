"""The benchmarks' own machinery, with this environment alone and a model of one layer."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tools.benchmark import inputs
from tools.benchmark.libraries import LIBRARIES, Subject
from tools.benchmark.process import ROOT, Worker, WorkerError
from tools.benchmark.session import Session, make_rows, measure_cell
from tools.benchmark.worker import Subjects

OURS = Subject("ours", "ours-torch", "plain")
ABSENT = Subject("transformers 4", "transformers4", "eager")
BROKEN = Subject("broken", "ours-torch", "optimized", {"dtype": "no such type"})


@pytest.fixture
def session(tmp_path):
    return Session({"ours": sys.executable}, rounds=2, folder=tmp_path, layers=1)


def test_batches_come_back_as_they_were(tmp_path):
    batches = inputs.full(3, 5, 50, "tokens")
    found = inputs.Batches.load(batches.save(tmp_path / "inputs.npz"))
    for name in ("ids", "masks", "texts", "labels"):
        assert np.array_equal(getattr(found, name), getattr(batches, name))
    labelled = batches.labels[0] != inputs.IGNORED
    assert 0 < labelled.sum() < labelled.size
    assert np.array_equal(batches.labels[0][labelled], batches.ids[0][labelled])


def test_sorting_changes_batches_and_not_what_is_compared():
    lengths = inputs.lognormal_lengths(20, 45, 256)
    assert lengths.min() >= 4
    assert lengths.max() <= 256
    as_they_come, by_length = (inputs.padded(lengths, 8, 1000, by_length) for by_length in (False, True))
    assert sum(ids.size for ids in by_length.ids) < sum(ids.size for ids in as_they_come.ids)
    tokens = [inputs.by_text(batches, [ids[..., None] for ids in batches.ids]) for batches in (as_they_come, by_length)]
    assert tokens[0].shape == (lengths.sum(), 1)
    assert np.array_equal(*tokens)


def test_ratios_are_taken_round_by_round():
    measured = {"theirs": [2.0, 8.0, 4.0], "ours": [1.0, 2.0, 4.0]}
    rows = make_rows("v3", "1 × 16", measured, "theirs", {"ours": {"memory": 5}})
    ours = rows[1]
    assert (ours["seconds"], ours["ratio"], ours["memory"]) == (2.0, 2.0, 5)
    assert (ours["ratio_low"], ours["ratio_high"]) == (1.5, 3.0)
    assert rows[0]["ratio"] == 1


def test_without_the_baseline_there_is_no_ratio():
    assert "ratio" not in make_rows("v3", "1 × 16", {"ours": [1.0]}, "theirs", {})[0]


def test_a_cell_is_measured(session):
    pytest.importorskip("torch")
    settings = {
        "folder": session.checkpoint("v3-xsmall", 1, 100),
        "inputs": session.inputs("inputs", inputs.full(1, 8, 100)),
    }
    rows = measure_cell(session, "v3-xsmall", "1 × 8", (OURS, ABSENT, BROKEN), lambda _: settings, "ours", tokens=8)
    assert [row["subject"] for row in rows] == ["ours"]
    assert rows[0]["seconds"] > 0
    assert rows[0]["difference"] == 0
    assert rows[0]["memory"] is not None
    reasons = {entry["subject"]: entry["reason"] for entry in session.left_out}
    assert reasons.pop("transformers 4") == "no environment transformers4 was given"
    assert list(reasons) == ["broken"]


def test_emulated_bfloat16_is_left_out_where_it_takes_too_long(session, monkeypatch):
    subject = Subject("half", "ours-torch", "optimized", emulated_tokens=10)
    monkeypatch.setattr("tools.benchmark.session.features", lambda: ["AVX2"])
    assert session.possible("here", [subject], tokens=10) == [subject]
    assert session.possible("here", [subject], tokens=11) == []
    monkeypatch.setattr("tools.benchmark.session.features", lambda: ["AMX bfloat16"])
    assert session.possible("here", [subject], tokens=11) == [subject]


def test_reasons_hold_no_folders_of_this_machine(session):
    session.leave_out("here", "it", "cannot read /some/where/file.txt of it")
    assert session.left_out[0]["reason"] == "cannot read .../file.txt of it"


def test_a_run_begins_when_other_threads_are_at_rest(monkeypatch, tmp_path):
    """Those of ONNX Runtime turn for 60 ms after a call, whoever is timed next."""
    events, turning = [], 0.06
    monkeypatch.setattr("tools.benchmark.worker.time.sleep", lambda seconds: events.append(seconds))
    batches = inputs.full(1, 4, 100).save(tmp_path / "inputs.npz")
    subjects = Subjects(SimpleNamespace(SUBJECTS={"it": lambda settings, batches: lambda: events.append("call")}))
    subjects.build("a", "it", {"inputs": batches})
    monkeypatch.setattr("tools.benchmark.worker.SHORTEST", 0.0)
    subjects.run("a")
    rest, call = events
    assert rest > turning
    assert call == "call"


def test_a_worker_that_dies_says_why():
    worker = Worker([sys.executable, "-c", "raise SystemExit('out of order')"])
    try:
        with pytest.raises(WorkerError, match=r"status 1: out of order"):
            worker.ask({"do": "run"})
    finally:
        worker.close()


@pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)
def test_every_library_has_a_module(library):
    assert (ROOT / "tools/benchmark/workers" / f"{library.module}.py").is_file()
