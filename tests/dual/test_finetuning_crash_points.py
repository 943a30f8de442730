"""Runs that are killed at each of their calls: never a false end, and resumed to the same one."""

import json
import shutil

import numpy as np
import pytest

from deberta_dual.finetuning import TrainingOptions
from deberta_dual.finetuning.folder import METRICS, PROGRESS, STATE, RunFolder
from deberta_dual.finetuning.run import Run
from deberta_dual.finetuning.schedule import Schedule
from tests.crash_points import Killed, content, stopping

SCORES = {2: 0.1, 4: 0.3, 6: 0.2}  # of the model after so many steps: the second is the best
MODEL, VOCABULARY = "model.safetensors", "spm.model"


def train(output, *, resume=False, force=False):
    """A run whose model is the number of steps it has learnt from; what it ends with."""
    folder = RunFolder(output, resume=resume, force=force)
    if folder.is_finished():
        return folder.read_metrics()
    options = TrainingOptions(batch_size=4, epochs=2, evaluate_every=2)
    features = [{"input_ids": [1, 2, 3]}] * 10
    sizes = {"batch_size": 4, "accumulation": 1, "epochs": 2, "seed": 0}
    schedule = Schedule(features, lambda rows: {"x": np.zeros(len(rows))}, len, **sizes)
    model = 0

    def save(folder):
        (folder / MODEL).write_text(f"model {model}")
        (folder / VOCABULARY).write_text(f"vocabulary {model}")

    def write_state(folder):
        (folder / "state.pt").write_text(str(model))

    def evaluate():
        return {"f1": SCORES[model]}

    folder.begin()
    with Run(schedule, options, {}, folder, {"seed": 0}, evaluate, "f1", save, lambda row: None) as run:
        if run.first_step:
            model = int((folder.state_folder / "state.pt").read_text())
        for step in range(run.first_step, run.steps):
            model += 1
            run.step_done(step, float(step), 4, 1)
            if run.ends_interval(step):
                run.finish_interval(step, write_state)
    folder.finish([*run.rows, {"test_f1": 1.0}])
    return [*run.rows, {"test_f1": 1.0}]


def numbers(rows):
    return [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]


def check_state(output, old):
    """What a folder says of itself is true: its model, scores and state are of one moment."""
    state = json.loads((output / PROGRESS).read_text())
    there = {name: (output / name).read_text() for name in (MODEL, VOCABULARY) if (output / name).exists()}
    if state["step"] == 0:
        assert there == old  # the model that was there is not touched before there is a new one
        return state["status"]
    best = 2 if state["step"] == 2 else 4
    assert there == {MODEL: f"model {best}", VOCABULARY: f"vocabulary {best}"}
    rows = [json.loads(line) for line in (output / METRICS).read_text().splitlines()]
    assert [row["step"] for row in rows if "step" in row] == list(range(2, state["step"] + 1, 2))
    if state["status"] == "finished":
        assert (state["step"], rows[-1]) == (6, {"test_f1": 1.0})
        assert not (output / STATE / "state.pt").exists()
    else:
        assert (output / STATE / "state.pt").read_text() == str(state["step"])
    return state["status"]


def prepare(folder, old):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    if old == "checkpoint":
        (folder / "one").mkdir()
        for name in (MODEL, VOCABULARY):
            (folder / "one" / name).write_text("old")
        (folder / "one" / "tf_model.h5").write_text("old")
    elif old == "run":
        train(folder / "one")


@pytest.mark.parametrize(
    ("exchange", "every"),
    [
        pytest.param(True, 3, id="exchange"),
        pytest.param(True, 1, id="exchange, all points", marks=pytest.mark.slow),
        pytest.param(False, 1, id="journal, all points", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("old", ["nothing", "checkpoint", "run"])
def test_killed(tmp_path, old, exchange, every):
    folder, output = tmp_path / "x", tmp_path / "x" / "one"
    prepare(folder, old)
    before = {name: (output / name).read_text() for name in (MODEL, VOCABULARY) if output.exists()}
    force = old != "nothing"
    with stopping(None, exchange=exchange) as calls:
        expected = numbers(train(output, force=force))
    after, total = content(output), len(calls.names)
    seen = set()
    for point in range(1, total + 1, every):
        prepare(folder, old)
        with stopping(point, exchange=exchange) as calls, pytest.raises(Killed):
            train(output, force=force)
        RunFolder(output, resume=True, force=True)  # completes what was stopped, as every reader does
        if output.exists() and (output / PROGRESS).exists():
            seen.add(status := check_state(output, before))
            begun = (output / PROGRESS).read_text() != _OLD.get(old, "")
        else:
            assert old != "run"
            assert {name: (output / name).read_text() for name in before} == before
            begun, status = False, None
        # A run that had not begun has left the folder to the one before.
        rows = train(output, resume=begun, force=force and not begun)
        assert numbers(rows) == expected, (point, status)
        there = content(output)
        assert {*there} == {*after}, point
        assert [there[name] for name in (MODEL, VOCABULARY)] == [after[name] for name in (MODEL, VOCABULARY)]
        assert json.loads(there[PROGRESS]) == {"status": "finished", "step": 6}
        assert [path.name for path in folder.iterdir()] == ["one"], point
    assert seen == {"running", "finished"}
    print(f"fine-tuning over {old}: {total} points, one in {every} tried")


# What the state says of a folder in which the new run has not begun.
_OLD = {"run": json.dumps({"status": "finished", "step": 6})}
