"""What is seen of a run: the status line, the curve, TensorBoard's files, the plot, the search for a learning rate."""

import io
import json
import struct

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_dual import finetune
from deberta_dual.backends import get_backend
from deberta_dual.finetuning.curve import POINTS, LossCurve
from deberta_dual.finetuning.events import EventFile
from deberta_dual.finetuning.plots import training_plot
from deberta_dual.finetuning.rate_search import HIGHEST, LOWEST, SKIPPED, STEPS, suggest_rate
from deberta_dual.progress import Speed, memory_words, peak_memory
from tests.conftest import PROSE
from tests.finetuning_data import QUIET, SIZES, write_examples

FRAMEWORKS = ("torch", "tf")
PNG = b"\x89PNG\r\n\x1a\n"


class Killed(Exception):
    """What ends a process in a test."""


def numbers_of(folder):
    """What TensorFlow's own reader finds in event files: tag -> [(step, number)]."""
    import tensorflow as tf

    found = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            assert event.wall_time > 1e9
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


@pytest.fixture(scope="module")
def train(tmp_path_factory, small_tokenizer):
    """Fine-tunes a small model; rows."""
    folder = tmp_path_factory.mktemp("runs")
    file = write_examples(folder, "text-classification", PROSE)
    small_tokenizer.save_pretrained(folder / "tokenizer")
    config = {**SIZES, "num_hidden_layers": 1, **QUIET}

    def call(output, **options):
        about = {"preset": "deberta-v3-small", "config": config, "tokenizer": str(folder / "tokenizer")}
        about |= {"framework": "torch", "device": "cpu", "batch_size": 4, "learning_rate": 1e-3}
        return finetune("text-classification", file, folder / output, **{**about, **options})

    call.folder = folder
    return call


def test_tensorflow_reads_our_event_files(tmp_path):
    events = EventFile(tmp_path)
    events.write(3, {"train/loss": 0.5, "eval/accuracy": 0.25})
    events.write(2**40, {"größe": -1e30})
    found = numbers_of(tmp_path)
    assert found["train/loss"] == [(3, 0.5)]
    assert found["eval/accuracy"] == [(3, 0.25)]
    assert found["größe"] == [(2**40, struct.unpack("<f", struct.pack("<f", -1e30))[0])]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_tensorboard_gets_loss_rate_and_scores(train, framework):
    rows = train(framework, framework=framework, tensorboard=True, eval_share=0.3, epochs=2)
    found = numbers_of(train.folder / framework / "tensorboard")
    assert sorted(found) == ["eval/accuracy", "eval/f1", "train/learning_rate", "train/loss"]
    steps = rows[-1]["step"]
    assert [step for step, _ in found["train/loss"]] == [*range(1, steps + 1)]
    assert [step for step, _ in found["eval/accuracy"]] == [row["step"] for row in rows]
    assert [score for _, score in found["eval/f1"]] == [np.float32(row["eval_f1"]) for row in rows]
    first = rows[0]["step"]
    counts = [4, 4, 3]  # of 11 examples
    losses = np.average([loss for _, loss in found["train/loss"][:first]], weights=counts)
    assert_close(np.array([losses]), np.array([rows[0]["loss"]]), quantity="loss", name="mean of the points")


def test_a_run_that_goes_on_adds_to_what_is_there(train):
    def kill(row):
        if row.get("step") == 3:
            raise Killed

    options = {"tensorboard": True, "epochs": 2, "eval_share": 0.3}
    whole = train("whole", **options)
    with pytest.raises(Killed):
        train("killed", **options, report=kill)
    assert train("killed", **options, resume=True)[-1]["step"] == whole[-1]["step"]
    found, expected = (numbers_of(train.folder / name / "tensorboard") for name in ("killed", "whole"))
    assert found["train/loss"] == expected["train/loss"]
    plots = [(train.folder / name / "training.png").read_bytes() for name in ("killed", "whole")]
    assert plots[0] == plots[1]
    assert plots[0].startswith(PNG)
    train("killed", force=True)  # without TensorBoard: the old files are no longer of this model
    assert not (train.folder / "killed" / "tensorboard").exists()


def test_a_curve_has_few_points_and_goes_on_from_its_state():
    random = np.random.default_rng(0)
    losses, counts = random.random(1000), random.integers(1, 9, 1000).tolist()
    whole, parts = LossCurve(1000), LossCurve(1000)
    for step, (loss, count) in enumerate(zip(losses.tolist(), counts, strict=True)):
        whole.add(step, loss, count, step / 1000)
        parts.add(step, loss, count, step / 1000)
        if step % 77 == 0:
            parts = LossCurve(1000, json.loads(json.dumps(parts.state())))
    assert whole.points == parts.points
    assert len(whole.points) == POINTS
    assert whole.points[1].step == 10
    assert_close(
        np.array([whole.points[1].loss]),
        np.array([np.average(losses[5:10], weights=counts[5:10])]),
        quantity="loss",
        name="point",
    )


def test_a_plot_shows_loss_and_score():
    points = LossCurve(4)
    for step in range(4):
        points.add(step, 1.0 / (step + 1), 2, 1e-3)
    drawn = training_plot(points.points, [{"step": 4, "eval_f1": 0.5}], "f1")
    assert drawn.startswith(PNG)
    assert drawn != training_plot(points.points, [{"step": 4}], "f1")


def test_without_matplotlib_it_is_said(train, monkeypatch):
    monkeypatch.setattr("deberta_dual.finetuning.train.can_plot", lambda: False)
    notes = []
    train("plain", epochs=1, note=notes.append)
    assert any("training.png is not drawn: it needs matplotlib. Use pip install" in note for note in notes)
    assert not (train.folder / "plain" / "training.png").exists()


def test_speed_and_time_left():
    speed = Speed(100)
    for _ in range(4):
        speed.add(8, 60.0)
    assert speed.words() == ["0.1 examples/s", "1:36:00 left"]
    assert memory_words(None) == []
    assert memory_words(2_340_000_000) == ["2.3 GB"]
    count = peak_memory()
    assert count is None or 1e7 < count < 1e12


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_status_line(train, framework, monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("deberta_dual.progress.INTERVAL", 0.0)
    train(f"line-{framework}", framework=framework, epochs=1)
    line = stream.getvalue().split("\r")[2]
    for part in ("step 2 of 4", "loss ", "learning rate 7.50e-04", " examples/s", "0:00:0", " left", " GB"):
        assert part in line


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_search_for_a_learning_rate(train, framework):
    """It starts from the weights that training starts from, rises to the end or to divergence, and is used."""
    notes = []
    options = {"framework": framework, "learning_rate_search": True, "epochs": 1, "note": notes.append}
    rows = train(f"search-{framework}", **options)
    folder = train.folder / f"search-{framework}"
    found = [json.loads(line) for line in (folder / "learning_rate_search.jsonl").read_text().splitlines()]
    assert (folder / "learning_rate_search.png").read_bytes().startswith(PNG)
    rates = np.array([row["learning_rate"] for row in found])
    assert rates[0] == LOWEST
    assert SKIPPED < len(found) <= STEPS
    expected = np.geomspace(LOWEST, HIGHEST, STEPS)[: len(found)]
    assert_close(np.log(rates), np.log(expected), quantity="loss", name="rates")
    suggestion = suggest_rate(found)
    assert any(f"learning rate {suggestion:.2e}: a tenth of the rate of the lowest loss" in note for note in notes)
    again = train(f"given-{framework}", framework=framework, epochs=1, learning_rate=suggestion)
    assert [row.get("loss") for row in rows] == [row.get("loss") for row in again]


def test_a_resumed_run_has_the_rate_that_was_found(train, monkeypatch):
    def kill(row):
        raise Killed

    options = {"learning_rate_search": True, "epochs": 2}
    whole = train("found", **options)
    with pytest.raises(Killed):
        train("cut", **options, report=kill)
    monkeypatch.setattr("deberta_dual.finetuning.job.search_rate", None)  # it is not searched again
    resumed = train("cut", **options, resume=True)
    assert [row.get("loss") for row in resumed] == [row.get("loss") for row in whole]
    assert (train.folder / "cut" / "learning_rate_search.jsonl").exists()


def test_the_rule_of_the_suggestion():
    rows = [{"learning_rate": 10.0**-power, "smoothed_loss": loss} for power, loss in ((6, 0.1), *[(5, 0.9)] * 9)]
    rows += [{"learning_rate": 2.34e-4, "smoothed_loss": 0.2}, {"learning_rate": 1e-3, "smoothed_loss": 0.5}]
    assert suggest_rate(rows) == 2.3e-5  # not at the beginning, where little is smoothed


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_memory_is_the_accelerator_s_or_unknown(framework, small_config, tmp_path):
    backend = get_backend(framework)
    model, *_ = backend.trainable_model(small_config, "sequence_classification", None, "float32", "cpu")
    assert backend.peak_memory(model) is None
