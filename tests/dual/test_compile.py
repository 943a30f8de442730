"""`compile`: the fastest way on this machine, told and kept; and int8 only where examples have judged it."""

import json

import numpy as np
import pytest

from deberta_core import DebertaV2Config, DebertaV2Tokenizer
from deberta_core.errors import InputError
from deberta_dual import compile, export, pipeline
from deberta_dual.cli import main
from deberta_dual.compiling import candidates, choice, job, measure
from deberta_dual.compiling.candidates import Candidate
from deberta_dual.compiling.choice import Measured, choose
from deberta_dual.compiling.race import race
from deberta_dual.exporting.cache import cache_folder
from deberta_dual.pipelines import loading

deberta_torch = pytest.importorskip("deberta_torch")
pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")

TEXTS = ["The ship left the harbour at dawn.", "Rain stopped play, and the crowd went home.", "A third text."]
TORCH, ONNX, INT8 = Candidate("torch", "float32"), Candidate("onnx", "float32", 2), Candidate("torch", "int8")


class Clock:
    """Time that passes by what calls are said to take, and by nothing else."""

    def __init__(self, seed):
        self.now, self.random, self.calls = 0.0, np.random.default_rng(seed), {}

    def __call__(self):
        return self.now

    def rest(self, seconds):
        self.now += seconds

    def loader(self, name, seconds):
        def call():
            slow = 4.0 if self.random.random() < 0.1 else 1.0  # somebody else's turn
            self.now += seconds * slow * self.random.lognormal(0.0, 0.05)
            self.calls[name] = self.calls.get(name, 0) + 1

        return lambda: call


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 0.3])
def test_the_choice_is_within_five_percent_of_the_best(scale):
    true = {"a": 1.3, "b": 1.0, "c": 1.08, "d": 2.5, "e": 1.02}
    worst = []
    for seed in range(40):
        clock = Clock(seed)
        found = race(
            {name: clock.loader(name, scale * one) for name, one in true.items()}, (), clock=clock, rest=clock.rest
        ).seconds
        worst.append(true[min(found, key=found.get)])
    assert np.mean(np.array(worst) <= 1.05) >= 0.95
    assert max(worst) <= 1.1


def test_a_busy_machine_does_not_change_the_choice():
    """Other programs slow down almost half of the turns, and the first one of the best."""
    true = {"a": 1.3, "b": 1.0, "c": 1.15, "d": 1.5}
    right = 0
    for seed in range(40):
        clock = Clock(seed)

        def loader(name, clock=clock, seed=seed):
            def call():
                clock.calls[name] = clock.calls.get(name, 0) + 1
                turn = np.random.default_rng((seed, "abcd".index(name), clock.calls[name] // 3))
                is_busy = turn.random() < 0.45 or (name == "b" and clock.calls[name] <= 4)
                clock.now += 0.005 * true[name] * (turn.uniform(1.6, 3.5) if is_busy else 1.0)

            return lambda: call

        found = race({name: loader(name) for name in true}, (), clock=clock, rest=clock.rest).seconds
        right += min(found, key=found.get) == "b"
    assert right >= 36


def test_threads_that_still_turn_do_not_slow_down_the_next():
    """As those of ONNX Runtime, which turn for 60 ms after a call."""
    clock = Clock(0)
    busy_until = {"until": 0.0, "by": ""}

    def loader(name, seconds):
        def call():
            is_slow = busy_until["by"] != name and clock.now < busy_until["until"]
            clock.now += seconds * (1.5 if is_slow else 1.0)
            if name == "turning":
                busy_until.update(until=clock.now + 0.06, by=name)

        return lambda: call

    found = race(
        {"turning": loader("turning", 0.006), "resting": loader("resting", 0.005)}, (), clock=clock, rest=clock.rest
    )
    assert found.seconds == pytest.approx({"turning": 0.006, "resting": 0.005})


def test_what_is_far_behind_is_let_go_and_a_second_is_enough():
    clock = Clock(0)
    true = {"slow": 0.05, "fast": 0.001, "near": 0.0012, "slower": 0.9}
    found = race({name: clock.loader(name, one) for name, one in true.items()}, (), clock=clock, rest=clock.rest)
    assert clock.calls["slower"] <= 4
    assert set(found.seconds) == set(true)
    assert clock.now < 1.2 + sum(4 * one * 4 for one in true.values())


def test_long_calls_are_made_no_more_often_than_they_must():
    clock = Clock(3)
    true = {"slow": 2.4, "best": 0.8, "near": 0.92}
    found = race({name: clock.loader(name, one) for name, one in true.items()}, (), clock=clock, rest=clock.rest)
    assert clock.calls["slow"] <= 6
    assert max(clock.calls.values()) <= 10
    assert min(found.seconds, key=found.seconds.get) == "best"


def test_what_fails_is_named():
    def broken():
        raise InputError("no such thing\nat all")

    found = race({"a": broken, "b": lambda: lambda: None}, (InputError,))
    assert found.failed == {"a": "no such thing"}
    assert list(found.seconds) == ["b"]


def rows(**seconds):
    names = {"torch": TORCH, "onnx": ONNX, "int8": INT8}
    return [Measured(names[name], one) for name, one in seconds.items()]


def test_exact_answers_are_preferred_where_they_are_as_fast():
    def never(row):
        raise AssertionError(row)

    assert choose("latency", rows(torch=1.0, onnx=0.98, int8=0.975), never).framework == "torch"
    assert choose("latency", rows(torch=1.0, onnx=0.9), never).threads == 2


def test_a_dtype_is_taken_only_where_it_is_judged_good():
    assert choose("latency", rows(torch=1.0, int8=0.5), lambda row: True).dtype == "int8"
    assert choose("latency", rows(torch=1.0, int8=0.5), lambda row: False).dtype == "float32"
    with pytest.raises(InputError, match="nothing here runs this model in float32"):
        choose("latency", rows(int8=0.5), lambda row: True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "model"
    tokenizer = DebertaV2Tokenizer.train(TEXTS * 20, 290)
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        position_buckets=8,
        pos_att_type=("p2c", "c2p"),
        share_att_key=True,
        position_biased_input=False,
        max_position_embeddings=64,
        id2label={0: "calm", 1: "wet"},
    )
    deberta_torch.DebertaV2ForSequenceClassification(config).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture
def never_measured(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("measured again")

    return lambda: [monkeypatch.setattr(one, "measure", refuse) for one in (job, measure)]


def test_it_is_measured_once_told_and_used(folder, never_measured, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert main(["compile", str(folder)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("latency, 1 x 16 tokens; ")
    assert out.count("\n-> ") == 1
    assert "torch float32" in out
    assert "onnx float32" in out
    assert "int8" not in out
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    never_measured()
    found = compile(folder)
    assert found.why() == out.rstrip("\n")
    run = pipeline("text-classification", folder, framework="auto")
    assert run.framework == found.framework
    wanted = pipeline("text-classification", folder, framework="torch")
    assert [one["label"] for one in run(TEXTS)] == [one["label"] for one in wanted(TEXTS)]
    with pytest.raises(AssertionError, match="measured again"):
        compile(folder, "throughput")


def test_other_weights_and_a_broken_note_are_measured_anew(folder, never_measured):
    compile(folder)
    file = next((cache_folder() / "choices").glob("*.json"))
    file.write_text("{")
    compile(folder)
    assert json.loads(file.read_text())["goal"] == "latency"
    model = deberta_torch.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.bias += 1.0
    model.save_pretrained(folder)
    never_measured()
    with pytest.raises(AssertionError, match="measured again"):
        compile(folder)


@pytest.mark.parametrize(("after", "dtype"), [(0.9, "int8"), (0.88, "float32")])
def test_examples_judge_int8(folder, monkeypatch, after, dtype):
    def fake(folder, task, goal, dtypes, **_):
        assert "int8" in dtypes
        return rows(torch=1.0, int8=0.5), None

    class Found:
        def __init__(self, accuracy):
            self.metrics, self.records = {"loss": 1.0, "accuracy": accuracy}, [None] * job.FEWEST

    monkeypatch.setattr(job, "measure", fake)
    monkeypatch.setattr(job, "evaluate", lambda *_, dtype, **__: Found(0.9 if dtype == "float32" else after))
    found = compile(folder, calibration="dev.csv")
    assert found.dtype == dtype
    note = next(row.note for row in found.measured if row.candidate == INT8)
    assert note.startswith(f"accuracy 0.9000 in float32, {after:.4f} in int8")
    assert ("worse by more than 0.005" in note) == (dtype == "float32")


def test_examples_are_read_and_must_be_many(folder, tmp_path):
    lines = [f"{TEXTS[number % 3].replace(',', '')},{('calm', 'wet')[number % 2]}" for number in range(job.FEWEST)]
    (tmp_path / "few.csv").write_text("\n".join(["text,label", *lines[:9], ""]))
    (tmp_path / "dev.csv").write_text("\n".join(["text,label", *lines, ""]))
    data = {"columns": None, "input_format": "auto"}
    row = Measured(INT8, 1.0)
    assert job._Calibration("text-classification", folder, 1.0, data=tmp_path / "dev.csv", **data).admits(row)
    assert row.note.startswith("accuracy 0.")
    with pytest.raises(InputError, match="calibration has 9 examples; a difference needs at least 100"):
        job._Calibration("text-classification", folder, 1.0, data=tmp_path / "few.csv", **data).admits(row)


def test_an_exported_folder_runs_in_a_runtime(folder, tmp_path):
    export(folder, tmp_path / "exported")
    found = compile(tmp_path / "exported", task="text-classification")
    assert found.framework in ("onnx", "openvino")
    assert pipeline("text-classification", tmp_path / "exported", framework="auto").framework == found.framework


def test_what_is_refused(folder, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="goal='speed'"):
        compile(folder, "speed")
    with pytest.raises(InputError, match="largest_drop=2"):
        compile(folder, largest_drop=2)
    with pytest.raises(InputError, match="Others have no metric"):
        compile(folder, task="zero-shot-classification", calibration="dev.csv")
    for given in ({"dtype": "int8"}, {"device": "cuda"}, {"model_kwargs": {"threads": 2}}):
        with pytest.raises(InputError, match=r"is not for framework='auto'"):
            pipeline("text-classification", folder, framework="auto", **given)
    monkeypatch.setattr(candidates.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"none of torch, onnx, openvino is installed. Use pip install"):
        list(candidates.candidates(("float32",)))


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = choose("latency", rows(torch=1.0), lambda row: True)
    with pytest.raises(InputError, match="Set XDG_CACHE_HOME"):
        choice.write_choice(cache_folder() / "choices" / "a.json", found)


def test_names_of_auto_are_goals():
    assert set(candidates.AUTOMATIC.values()) == set(candidates.GOALS)
    assert loading.AUTOMATIC is candidates.AUTOMATIC
