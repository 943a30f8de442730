"""`pretrain` on text: runs end alike however they are cut, and their models are ordinary ones."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from conformance.suite.compare import assert_close
from conformance.suite.loops import check_loop
from deberta_core.errors import DebertaError, DebertaWarning, InputError, WeightError
from deberta_dual import finetune, pipeline, pretrain
from deberta_dual.pretraining.run import PretrainingRun


def framework(name, package, *marks):
    missing = pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"needs {package}")
    return pytest.param(name, marks=[missing, *marks])


# Keras needs many seconds to trace the graphs of a run; one test of it is always run.
both_frameworks = pytest.mark.parametrize("framework", [framework("torch", "torch"), framework("tf", "tensorflow")])
each_framework = pytest.mark.parametrize(
    "framework", [framework("torch", "torch"), framework("tf", "tensorflow", pytest.mark.slow)]
)
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "attention_head_size": None,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "position_buckets": 8,
}
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
RUN = {
    "preset": "deberta-v3-xsmall",
    "vocab_size": 400,
    "config": SIZES,
    "steps": 6,
    "batch_size": 4,
    "max_length": 32,
    "learning_rate": 1e-3,
    "evaluate_every": 2,
    "held_out": 0.2,
    "workers": 0,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Sentences of real words, 60 documents."""
    file = tmp_path_factory.mktemp("corpus") / "texts.txt"
    words = Path(json.__file__).read_text().split() + Path(os.__file__).read_text().split()
    lines = [" ".join(words[start : start + 40]) for start in range(0, 4800, 80)]
    file.write_text("\n\n".join(lines))
    return file


class Stopped(Exception):
    """A run that was stopped."""


def weights(folder):
    found = {}
    for file in sorted(folder.rglob("*.safetensors")):
        found |= {f"{file.relative_to(folder)}:{name}": array for name, array in load_file(file).items()}
    return found


def assert_same(first, second):
    ours, theirs = weights(first), weights(second)
    assert ours
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        assert np.array_equal(array, theirs[name]), name


def settings_of(folder):
    """The files beside the weights, but for those that hold times."""
    timed = ("metrics.jsonl", "README.md")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in timed]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.suffix != ".safetensors"}


def scores(rows):
    timed = ("tokens_per_second", "flop_utilisation")
    return [{name: value for name, value in row.items() if name not in timed} for row in rows]


@both_frameworks
@pytest.mark.parametrize("objective", ["rtd", pytest.param("mlm", marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(corpus, tmp_path, framework, objective):
    # Of a graph of Keras each layer takes seconds to trace, in each of three runs.
    run = {**RUN, "config": {**SIZES, "num_hidden_layers": 1 if framework == "tf" else 2}}
    whole = pretrain(corpus, tmp_path / "whole", objective=objective, framework=framework, **run)
    assert [row["step"] for row in whole] == [2, 4, 6]

    def stop(row):
        if row["step"] == 4:
            raise Stopped

    with pytest.raises(Stopped):
        pretrain(corpus, tmp_path / "cut", objective=objective, framework=framework, report=stop, **run)
    rest = pretrain(corpus, tmp_path / "cut", objective=objective, framework=framework, resume=True, **run)
    for ours, theirs in zip(whole, rest, strict=True):  # Keras evaluates its first batches op by op, others in a graph
        judged = {name for name in ours if name.startswith("eval_")}
        assert_close(
            *(np.array([row.pop(name) for name in judged]) for row in (theirs, ours)), quantity="loss", name="scores"
        )
    assert scores(rest) == scores(whole)
    assert_same(tmp_path / "whole", tmp_path / "cut")
    assert settings_of(tmp_path / "whole") == settings_of(tmp_path / "cut")
    assert {"eval_loss", "eval_accuracy"} <= judged
    assert ("eval_rtd_f1" in judged) == (objective == "rtd")


@each_framework
def test_its_models_are_ordinary_ones(corpus, tmp_path, framework):
    pretrain(corpus, tmp_path / "pair", objective="rtd", framework=framework, **RUN)
    filled = pipeline("fill-mask", tmp_path / "pair" / "generator", framework=framework)("the [MASK] of")
    assert len(filled) == 5
    examples = tmp_path / "train.csv"
    examples.write_text("text,label\n" + "\n".join(f"return value {n},{'ab'[n % 2]}" for n in range(8)))
    start = {"model": tmp_path / "pair", "framework": framework, "epochs": 1}
    with pytest.warns(DebertaWarning, match="They start fresh"):
        finetune("text-classification", examples, tmp_path / "fine", **start)
    assert pipeline("text-classification", tmp_path / "fine", framework=framework)("value")[0]["label"] in "ab"
    # And pretraining goes on with both.
    options = {name: value for name, value in RUN.items() if name not in ("preset", "vocab_size", "config")}
    pretrain(corpus, tmp_path / "more", model=tmp_path / "pair", objective="rtd", framework=framework, **options)
    before, after = load_file(tmp_path / "pair/model.safetensors"), load_file(tmp_path / "more/model.safetensors")
    moved = np.abs(before["mask_predictions.dense.weight"] - after["mask_predictions.dense.weight"]).max()
    assert 0 < moved < 0.1


@each_framework
def test_a_discriminator_alone_gets_a_generator(corpus, tmp_path, framework):
    pretrain(corpus, tmp_path / "pair", objective="rtd", framework=framework, **RUN)
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in (tmp_path / "pair").iterdir():
        if file.is_file() and "generator" not in file.name:
            (alone / file.name).write_bytes(file.read_bytes())
    options = {name: value for name, value in RUN.items() if name not in ("preset", "vocab_size", "config")}
    with pytest.warns(DebertaWarning, match="generator"):
        pretrain(corpus, tmp_path / "more", model=alone, objective="rtd", framework=framework, **options)
    assert (tmp_path / "more" / "generator" / "model.safetensors").exists()


@each_framework
@pytest.mark.parametrize("updates", ["decoupled", "joint"])
def test_pieces_add_up(corpus, tmp_path, framework, updates):
    quiet = {**RUN, "config": {**SIZES, **QUIET}, "steps": 1, "held_out": 0.0}
    # Draws would differ between the pieces: a temperature near 0 draws the likeliest token.
    quiet |= {"objective": "rtd", "updates": updates, "temperature": 1e-3, "framework": framework}
    one = pretrain(corpus, tmp_path / "one", **quiet)
    two = pretrain(corpus, tmp_path / "two", accumulation=2, **quiet)
    for name in ("mlm_loss", "rtd_loss"):
        assert_close(np.array(two[0][name]), np.array(one[0][name]), quantity="loss", name=name)


@pytest.mark.parametrize(
    "chosen",
    [
        {"objective": "mlm", "steps": 10},
        pytest.param({"objective": "rtd", "steps": 30}, marks=pytest.mark.slow),
        pytest.param({"objective": "rtd", "steps": 10, "updates": "joint"}, marks=pytest.mark.slow),
    ],
    ids=["mlm", "rtd", "rtd joint"],
)
def test_frameworks_learn_alike(corpus, tmp_path, chosen):
    pytest.importorskip("torch")
    pytest.importorskip("tensorflow")
    # At a temperature near 0 both draw the likeliest token.
    quiet = {**RUN, "config": {**SIZES, **QUIET}, "evaluate_every": 1, "temperature": 1e-3, "held_out": 0.0, **chosen}
    check_loop(
        f"pretraining {' '.join(map(str, chosen.values()))}",
        lambda name: pretrain(corpus, tmp_path / name, framework=name, **quiet),
        chosen["steps"],
    )


@each_framework
@pytest.mark.parametrize("sharing", ["es", "none"])
def test_other_sharings_are_reproducible(corpus, tmp_path, framework, sharing):
    """The same seed gives the same files, those of tables that nobody reads too."""
    options = {**RUN, "objective": "rtd", "embedding_sharing": sharing, "updates": "joint", "framework": framework}
    for name in ("first", "second"):
        pretrain(corpus, tmp_path / name, **options)
    assert_same(tmp_path / "first", tmp_path / "second")
    words = "deberta.embeddings.word_embeddings.weight"
    found, other = (
        load_file(tmp_path / "first" / name) for name in ("model.safetensors", "model.generator.safetensors")
    )
    assert np.array_equal(found[words], other[words]) == (sharing == "es")
    assert "deberta.embeddings.word_embeddings._weight" not in found


def test_torchrun_is_not_for_keras(corpus, tmp_path, monkeypatch):
    pytest.importorskip("tensorflow")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="is told of its processes by TF_CONFIG, and this is one of 2 of torchrun"):
        pretrain(corpus, tmp_path / "run", framework="tf", objective="mlm", **RUN)


def in_two_processes(folder, corpus, options, stop_after=None):
    """Pretrains in two processes, of torchrun or of TF_CONFIG; they may die after a step. Status and errors of both."""
    program = folder / "two.py"
    program.write_text(
        f"from deberta_dual import pretrain\n"
        f"def stop(row):\n    assert row['step'] != {stop_after!r}\n"
        f"if __name__ == '__main__':\n    pretrain({str(corpus)!r}, report=stop, **{options!r})\n"
    )
    run = partial(subprocess.Popen, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True)
    if options["framework"] == "torch":
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone", str(program)]
        processes = [run(command, env=environment())]
    else:
        places = [f"127.0.0.1:{free_port()}" for _ in range(2)]
        told = [{"cluster": {"worker": places}, "task": {"type": "worker", "index": number}} for number in range(2)]
        processes = [
            run([sys.executable, str(program)], env=environment() | {"TF_CONFIG": json.dumps(one)}) for one in told
        ]
    errors = [process.communicate(timeout=400)[1] for process in processes]
    return max(abs(process.returncode) for process in processes), "".join(errors)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# Without dropout, and with logits so far apart that both processes draw what one draws.
ALIKE = {"config": {**SIZES, **QUIET, "initializer_range": 0.5}, "temperature": 1e-3}
TWO_KERAS = [
    ("mlm", {"objective": "mlm"}),
    ("rtd", {"objective": "rtd", "accumulation": 2}),
    ("joint", {"objective": "rtd", "updates": "joint"}),
]


@pytest.mark.parametrize(
    "chosen",
    [
        {"objective": "rtd"},
        {"objective": "rtd", "fully_shard": True, "accumulation": 2},
        pytest.param({"objective": "mlm", "fully_shard": True}, marks=pytest.mark.slow),
        pytest.param({"objective": "rtd", "fully_shard": True, "updates": "joint"}, marks=pytest.mark.slow),
        pytest.param({"objective": "rtd", "updates": "joint", "embedding_sharing": "es"}, marks=pytest.mark.slow),
        pytest.param(
            {"objective": "rtd", "fully_shard": True, "updates": "joint", "embedding_sharing": "es"},
            marks=pytest.mark.slow,
        ),
        pytest.param({"objective": "rtd", "fully_shard": True, "gradient_checkpointing": True}, marks=pytest.mark.slow),
        *(pytest.param({"framework": "tf", **chosen}, marks=pytest.mark.slow) for _, chosen in TWO_KERAS),
    ],
    ids=[
        "rtd",
        "rtd sharded",
        "mlm sharded",
        "joint sharded",
        "es",
        "es sharded",
        "checkpointing sharded",
        *(f"Keras {name}" for name, _ in TWO_KERAS),
    ],
)
def test_two_processes_learn_like_one(corpus, tmp_path, chosen):
    """The losses and the weights, with a stop on the way."""
    quiet = {**RUN, **ALIKE, "framework": "torch", **chosen}
    pytest.importorskip("torch" if quiet["framework"] == "torch" else "tensorflow")
    one = pretrain(corpus, tmp_path / "one", **{**quiet, "fully_shard": False})
    quiet["output"] = str(tmp_path / "two")
    assert in_two_processes(tmp_path, corpus, quiet, stop_after=4)[0] != 0
    status, errors = in_two_processes(tmp_path, corpus, {**quiet, "resume": True})
    assert status == 0, errors[-2000:]
    two = [json.loads(line) for line in (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in two] == [2, 4, 6]
    for row, other in zip(one, two, strict=True):
        for name in {"loss", "mlm_loss", "rtd_loss"} & row.keys():
            assert_close(np.array(other[name]), np.array(row[name]), quantity="training curve, AdamW", name=name)
    ours, theirs = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert_close(theirs[name], array, quantity="training curve, AdamW", name=name)


def test_one_process_cannot_be_sharded(corpus, tmp_path):
    with pytest.raises(InputError, match=r"fully_shard spreads .* torchrun --nproc-per-node N"):
        pretrain(corpus, tmp_path / "run", fully_shard=True, **RUN)


def test_other_options_and_another_corpus_are_refused(corpus, tmp_path):
    framework = "torch" if importlib.util.find_spec("torch") else "tf"

    def stop(row):
        raise Stopped

    with pytest.raises(Stopped):
        pretrain(corpus, tmp_path / "run", objective="mlm", framework=framework, report=stop, **RUN)
    other = {**RUN, "learning_rate": 1e-4, "seed": 3, "held_out": 0.1, "documents": "line"}
    message = r"documents='paragraph', this one 'line'; held_out=0.2, this one 0.1; "
    message += r"learning_rate=0.001, this one 0.0001; seed=0, this one 3"
    with pytest.raises(InputError, match=message):
        pretrain(corpus, tmp_path / "run", objective="mlm", framework=framework, resume=True, **other)
    longer = tmp_path / "other.txt"
    longer.write_text(corpus.read_text() + "\n\nmore text")
    with pytest.raises(InputError, match="the corpus changed"):
        pretrain(longer, tmp_path / "run", objective="mlm", framework=framework, resume=True, **RUN)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_sharing": "es"}, "updates='joint'"),
        ({"objective": "clm"}, "objective='clm'"),
        ({"max_length": 128}, "max_length=128 is more than max_position_embeddings=64"),
        ({"warmup_steps": 100}, "warmup_steps=100 is more than steps=6"),
        ({"stepz": 5}, "option='stepz'"),
    ],
)
def test_what_is_refused_leaves_nothing(corpus, tmp_path, options, message):
    with pytest.raises(DebertaError, match=message):
        pretrain(corpus, tmp_path / "run", **{"objective": "rtd", **RUN, **options})
    assert not (tmp_path / "run").exists()


@each_framework
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_state(corpus, tmp_path, framework, monkeypatch):
    rate = PretrainingRun.rate
    monkeypatch.setattr(PretrainingRun, "rate", lambda run, step: np.inf if step == 3 else rate(run, step))
    with pytest.raises(WeightError, match="the loss on the evaluation data is nan after step 4"):
        pretrain(corpus, tmp_path / "run", objective="mlm", framework=framework, **RUN)
    assert json.loads((tmp_path / "run" / "training.json").read_text())["step"] == 2


@pytest.mark.slow
@each_framework
def test_killed_at_any_moment_it_ends_alike(corpus, tmp_path, framework):
    """Kills 20 times, each a random time behind a row that this process wrote: in a step, an evaluation or a save."""
    options = {**RUN, "objective": "rtd", "framework": framework, "steps": 200}
    pretrain(corpus, tmp_path / "whole", **options)
    program = tmp_path / "run.py"
    program.write_text(
        f"from deberta_dual import pretrain\n"
        f"if __name__ == '__main__':\n"
        f"    pretrain({str(corpus)!r}, {str(tmp_path / 'cut')!r}, resume=True, **{options!r})\n"
    )
    command = {"args": [sys.executable, str(program)], "cwd": Path(__file__).parents[2], "env": environment()}
    random, state = np.random.default_rng(0), tmp_path / "cut" / "training.json"
    steps = set()
    for _ in range(20):
        process = subprocess.Popen(**command)
        before = at = last_saved_step(state)
        while at == before:
            assert process.poll() is None, f"it ended at step {before} by itself"
            time.sleep(0.002)
            at = last_saved_step(state)
        time.sleep(float(random.exponential(0.2)))
        process.kill()
        process.wait()
        steps.add(last_saved_step(state))
    assert len(steps) == 20  # every process went on from where the one before was
    subprocess.run(**command, check=True)
    assert_same(tmp_path / "whole", tmp_path / "cut")


def last_saved_step(state):
    """That of a run's state, which may be replaced while it is read; None before the first."""
    try:
        return json.loads(state.read_text())["step"]
    except (FileNotFoundError, NotADirectoryError):
        return None


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}


def test_a_vocabulary_that_is_not_the_model_s_is_refused(corpus, tmp_path):
    pretrain(corpus, tmp_path / "model", **{**RUN, "steps": 1})
    pretrain(corpus, tmp_path / "other", **{**RUN, "steps": 1, "vocab_size": 350})
    options = {name: value for name, value in RUN.items() if name not in ("preset", "vocab_size", "config")}
    with pytest.raises(InputError, match=r"the vocabulary is not that of .*model: '.*' has the id \d+ there and"):
        pretrain(corpus, tmp_path / "more", model=tmp_path / "model", tokenizer=str(tmp_path / "other"), **options)
    assert not (tmp_path / "more").exists()
    same = {**options, "steps": 1, "tokenizer": str(tmp_path / "model")}
    pretrain(corpus, tmp_path / "more", model=tmp_path / "model", **same)
