"""A run and its folder, with a trainer that only counts: when it judges, saves, stops and goes on."""

import json

import numpy as np
import pytest

from deberta_core import InputError, WeightError
from deberta_dual.finetuning import TrainingOptions
from deberta_dual.finetuning.folder import METRICS, PROGRESS, STATE, TENSORBOARD, RunFolder
from deberta_dual.finetuning.run import Run
from deberta_dual.finetuning.schedule import Schedule
from deberta_dual.processes import is_main

WEIGHTS = "model.safetensors"
EXAMPLES = 10  # in batches of 4: 3 steps an epoch
IDENTITY = {
    "task": "text-classification",
    "seed": 0,
    "config": {"hidden_size": 8, "num_labels": 2},
    "data": {"training": "a", "evaluation": "b"},
}


class Killed(Exception):
    """What ends a process in a test."""


class Trainer:
    """A framework's loop, whose model is the number of steps it has learnt from."""

    def __init__(self, run, kill_at=None):
        self.model, self._run, self._kill_at = 0, run, kill_at

    loss = staticmethod(float)

    def train(self):
        run = self._run
        if run.first_step:
            self.model = int((run.folder.state_folder / "state.pt").read_text())
        run.start_clock()
        for step in range(run.first_step, run.steps):
            if run.has_stopped or step == self._kill_at:
                break
            tokens = sum(piece.tokens for piece in run.pieces(step))
            self.model += 1
            run.step_done(step, self.loss(step), run.schedule.examples(step), tokens)
            if run.ends_interval(step):
                run.finish_interval(step, lambda folder: (folder / "state.pt").write_text(str(self.model)))


@pytest.fixture
def output(tmp_path):
    return tmp_path / "runs" / "one"


@pytest.fixture
def train(output):
    """Trains: the rows, and what was reported."""

    def call(scores=None, *, resume=False, force=False, identity=IDENTITY, kill_at=None, save=None, **options):
        folder = RunFolder(output, resume=resume, force=force)
        options = TrainingOptions(batch_size=4, epochs=2, **options)
        features = [{"input_ids": [1, 2, 3]}] * EXAMPLES
        schedule = Schedule(
            features, lambda rows: {"x": np.zeros(len(rows))}, len, batch_size=4, accumulation=1, epochs=2, seed=0
        )
        reported = []
        judge = None if scores is None else lambda: {"f1": scores[trainer.model], "loss": -1.0}
        write = save or (lambda path: (path / WEIGHTS).write_text(str(trainer.model)))
        run = Run(schedule, options, {}, folder, identity, judge, "f1", write, reported.append)
        with folder.begun(), run:
            trainer = Trainer(run, kill_at)
            trainer.train()
        if kill_at is None:
            folder.finish(run.rows)
        return run.rows, reported

    return call


def weights(output):
    return int((output / WEIGHTS).read_text())


def written(output):
    return [json.loads(line) for line in (output / METRICS).read_text().splitlines()]


def numbers(rows):
    """Without what depends on the clock."""
    return [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]


def test_a_run(train, output):
    rows, reported = train({3: 0.5, 6: 0.7})
    assert rows == reported == written(output)
    assert [(row["step"], row["epoch"], row["eval_f1"]) for row in rows] == [(3, 1, 0.5), (6, 2, 0.7)]
    # The losses of steps are their numbers, of 4, 4 and 2 examples.
    assert [row["loss"] for row in rows] == [(0 * 4 + 1 * 4 + 2 * 2) / 10, (3 * 4 + 4 * 4 + 5 * 2) / 10]
    assert all(row["tokens_per_second"] > 0 for row in rows)
    assert rows[0]["learning_rate"] > rows[1]["learning_rate"] > 0
    assert sorted(path.name for path in output.iterdir()) == [METRICS, WEIGHTS, PROGRESS]
    assert json.loads((output / PROGRESS).read_text()) == {"status": "finished", "step": 6}
    assert RunFolder(output, resume=True, force=False).is_finished()
    assert RunFolder(output, resume=True, force=False).read_metrics() == rows


def test_without_evaluation_the_last_is_kept(train, output):
    rows, _ = train()
    assert weights(output) == 6
    assert [sorted(row) for row in rows] == [["epoch", "learning_rate", "loss", "step", "tokens_per_second"]] * 2


@pytest.mark.parametrize(
    ("scores", "best"), [([0.1, 0.2, 0.3], 6), ([0.1, 0.3, 0.2], 4), ([0.3, 0.3, 0.1], 2), ([0.0, 0.0, 0.0], 2)]
)
def test_the_best_is_kept_the_first_of_equals(train, output, scores, best):
    train(dict(zip((2, 4, 6), scores, strict=True)), evaluate_every=2)
    assert weights(output) == best


@pytest.mark.parametrize(("every", "steps"), [(1, [1, 2, 3, 4, 5, 6]), (4, [4, 6]), (6, [6]), (99, [6])])
def test_intervals(train, every, steps):
    rows, _ = train(evaluate_every=every)
    assert [row["step"] for row in rows] == steps
    losses = np.arange(6.0) * [4, 4, 2, 4, 4, 2]
    assert sum(row["loss"] * count for row, count in zip(rows, example_counts(steps), strict=True)) == losses.sum()


def example_counts(steps):
    return [sum([4, 4, 2, 4, 4, 2][first:last]) for first, last in zip([0, *steps], steps, strict=False)]


@pytest.mark.parametrize(
    ("patience", "last"), [(1, 3), (2, 6), (3, 6), (None, 6)], ids=["one", "two, not in a row", "three", "none"]
)
def test_patience(train, output, patience, last):
    scores = {1: 0.3, 2: 0.4, 3: 0.2, 4: 0.5, 5: 0.1, 6: 0.5}
    rows, _ = train(scores, evaluate_every=1, patience=patience)
    assert rows[-1]["step"] == last
    assert weights(output) == (2 if last == 3 else 4)


@pytest.mark.parametrize("kill_at", range(6))
def test_a_run_that_was_killed_goes_on_to_the_same_end(train, output, tmp_path, kill_at):
    """Also what depends on all evaluations so far: the best, and how many have been worse since."""
    scores, options = {1: 0.3, 2: 0.5, 3: 0.2, 4: 0.4, 5: 0.1, 6: 0.9}, {"evaluate_every": 1, "patience": 3}
    expected, _ = train(scores, **options)
    assert (expected[-1]["step"], weights(output)) == (5, 2)
    output.rename(tmp_path / "whole")
    train(scores, **options, kill_at=kill_at)
    rows, reported = train(scores, **options, resume=True)
    assert numbers(rows) == numbers(written(output)) == numbers(expected)
    assert len(reported) == 5 - kill_at
    assert weights(output) == 2


def test_what_stopped_stays_stopped(train):
    scores = {step: 1.0 - step / 10 for step in range(7)}
    rows, _ = train(scores, evaluate_every=1, patience=2, kill_at=6)
    assert [row["step"] for row in rows] == [1, 2, 3]
    rows, reported = train(scores, evaluate_every=1, patience=2, resume=True)
    assert ([row["step"] for row in rows], reported) == ([1, 2, 3], [])


def killing(number, real):
    """`real`, but for the call of a number, from 1."""
    calls = []

    def call(*arguments):
        calls.append(arguments)
        if len(calls) == number:
            raise Killed
        return real(*arguments)

    return call


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("moment", ["save_model", "save"])
def test_killed_while_writing(train, output, monkeypatch, moment, number):
    """It is no finished run then, and goes on to the same end, be it the first thing that is written."""
    scores = {2: 0.1, 4: 0.2, 6: 0.3}
    expected, _ = train(scores, evaluate_every=2)
    with monkeypatch.context() as patch:
        save = None
        if moment == "save_model":
            save = killing(number, lambda path: (path / WEIGHTS).write_text("0"))
        else:
            patch.setattr(RunFolder, moment, killing(number, getattr(RunFolder, moment)))
        with pytest.raises(Killed):
            train(scores, evaluate_every=2, force=True, save=save)
    assert not RunFolder(output, resume=True, force=False).is_finished()
    rows, reported = train(scores, evaluate_every=2, resume=True)
    assert numbers(rows) == numbers(written(output)) == numbers(expected)
    assert len(reported) == 4 - number
    assert weights(output) == 6


def test_a_state_is_whole_or_as_it_was(train, output):
    train(kill_at=3)
    folder, before = RunFolder(output, resume=True, force=False), (output / PROGRESS).read_text()

    def fail(path):
        (path / "state.pt").write_text("half")
        raise Killed

    with pytest.raises(Killed):
        folder.save({"step": 99}, [], fail, None)
    assert (output / PROGRESS).read_text() == before
    assert (output / STATE / "state.pt").read_text() == "3"
    assert not list(output.rglob(".*"))


CHANGED = {
    "seed": (1, "has seed=0, this one 1. Resume with the same settings and data, or begin anew with --force"),
    "config": (
        {"hidden_size": 16, "num_labels": 3},
        "has config.hidden_size=8, this one 16; config.num_labels=2, this one 3. Resume",
    ),
    "data": ({"training": "a", "evaluation": "c"}, "has data.evaluation='b', this one 'c'. Resume"),
    "framework": ("tf", "has framework=None, this one 'tf'"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_run_with_other_settings_does_not_go_on(train, output, name):
    value, message = CHANGED[name]
    train(kill_at=4)
    with pytest.raises(InputError, match=message):
        train(resume=True, identity=IDENTITY | {name: value})
    assert weights(output) == 3  # nothing is lost
    rows, _ = train(force=True, identity=IDENTITY | {name: value})
    assert [row["step"] for row in rows] == [3, 6]


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_broken_state_is_named(train, output, content):
    train(kill_at=4)
    (output / PROGRESS).write_text(content)
    with pytest.raises(InputError, match=rf"{PROGRESS} .*Begin anew with --force"):
        train(resume=True)


def test_a_state_without_its_settings(train, output):
    train(kill_at=4)
    (output / PROGRESS).write_text("{}")
    with pytest.raises(InputError, match="has task=None, this one 'text-classification'"):
        train(resume=True)


def test_a_file_is_no_output(output):
    output.parent.mkdir()
    output.write_text("mine")
    for options in ({}, {"resume": True}, {"force": True}):
        with pytest.raises(InputError, match=r"output='.*one' is a file. Give a folder"):
            RunFolder(output, **{"resume": False, "force": False, **options})


def test_a_used_folder(output):
    output.mkdir(parents=True)
    RunFolder(output, resume=False, force=False)  # an empty one may be used
    (output / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"is not empty. Pass --force to replace it, or another name"):
        RunFolder(output, resume=False, force=False)
    with pytest.raises(InputError, match=r"holds something, but no run to resume. Give another name"):
        RunFolder(output, resume=True, force=False)
    for resume in (False, True):
        with pytest.raises(InputError, match=r"one is no checkpoint folder.*it holds thesis.txt"):
            RunFolder(output, resume=resume, force=True)
    assert (output / "thesis.txt").read_text() == "mine"


def test_an_unfinished_run_is_not_replaced_unasked(train, output):
    train(kill_at=4)
    with pytest.raises(InputError, match=r"is not empty. Pass --resume to go on with it, --force to replace it"):
        train()
    train(force=True)
    assert weights(output) == 6


def test_a_loss_that_is_not_finite_ends_the_run(train, output, monkeypatch):
    monkeypatch.setattr(Trainer, "loss", staticmethod(lambda step: np.nan if step == 4 else 0.0))
    with pytest.raises(WeightError, match=r"the loss of step 5 is nan. Lower the learning rate"):
        train()
    assert weights(output) == 3


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a model"])
def test_what_fails_before_its_first_save_leaves_nothing(train, output, there):
    if there != "nothing":
        output.mkdir(parents=True)
    if there == "a model":
        (output / WEIGHTS).write_text("7")

    def fail(path):
        (output / TENSORBOARD).mkdir()  # which is written to before
        raise Killed

    with pytest.raises(Killed):
        train(save=fail, force=there == "a model")
    if there == "a model":  # with the mark of a run that has to begin anew
        assert (weights(output), json.loads((output / PROGRESS).read_text())["step"]) == (7, 0)
    elif there == "an empty folder":
        assert not any(output.iterdir())
    else:
        assert not output.parent.exists()
    train(resume=True)
    assert weights(output) == 6


def test_one_process_writes(output, monkeypatch):
    assert is_main()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert not is_main()
    output.mkdir(parents=True)
    (output / "model").write_text("of the main process")
    other = RunFolder(output, resume=False, force=False, is_main=False)  # does not look
    other.begin()
    other.finish([])
    assert (output / "model").exists()
