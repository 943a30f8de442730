"""`deberta pretrain` and bad input: one sentence, in both frameworks, and nothing is left."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from deberta_dual.cli import main
from deberta_dual.pretraining.run import PretrainingRun

SIZES = ["hidden_size=32", "num_hidden_layers=2", "num_attention_heads=2", "attention_head_size=null"]
SIZES += ["intermediate_size=48", "max_position_embeddings=64", "position_buckets=8"]
FRESH = ["--preset", "deberta-v3-xsmall", "--config", *SIZES]
RUN = ["--batch-size", "4", "--max-length", "32", "--workers", "0"]
WORDS = "deberta.embeddings.word_embeddings"


@pytest.fixture(scope="module", params=["torch", pytest.param("tf", marks=pytest.mark.slow)])
def framework(request):
    pytest.importorskip({"torch": "torch", "tf": "tensorflow"}[request.param])
    return request.param


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Sentences of real words."""
    words = Path(json.__file__).read_text().split() + Path(os.__file__).read_text().split()
    file = tmp_path_factory.mktemp("corpus") / "texts.txt"
    file.write_text("\n\n".join(" ".join(words[start : start + 40]) for start in range(0, 2400, 40)))
    return file


@pytest.fixture(scope="module")
def pair(framework, corpus, tmp_path_factory):
    """A discriminator with its generator, of one step."""
    folder = tmp_path_factory.mktemp(framework) / "pair"
    words = ["pretrain", "--objective", "rtd", "--corpus", str(corpus), *FRESH, "--vocabulary", "train:350", *RUN]
    assert main([*words, "--steps", "1", "--held-out", "0", "--framework", framework, "--output", str(folder)]) == 0
    return folder


@pytest.fixture
def refused(framework, corpus, tmp_path, capsys):
    """Runs the command with more words, which has to fail; the error, which is one line."""

    def run(*words):
        given = ["pretrain", "--objective", "rtd", "--corpus", str(corpus), *RUN, "--steps", "2", *words]
        capsys.readouterr()
        assert main([*given, "--framework", framework, "--output", str(tmp_path / "out")]) == 1
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        assert not (tmp_path / "out").exists()
        return error

    return run


def test_a_corpus_with_odd_files(framework, corpus, pair, tmp_path, capsys):
    """No UTF-8 is named by line and byte, or passed over; an empty file and a line of 50 MB are no matter."""
    folder = tmp_path / "texts"
    folder.mkdir()
    shutil.copy(corpus, folder / "c.txt")
    (folder / "a.txt").write_text("")
    (folder / "b.txt").write_bytes(b"good\nbad \xff line\n")
    with (folder / "d.txt").open("w") as file:
        file.writelines("one long line of words " * 1_000 for _ in range(2_200))
    assert (folder / "d.txt").stat().st_size > 50e6
    words = ["pretrain", "--objective", "mlm", "--corpus", str(folder), *FRESH, "--vocabulary", str(pair), *RUN]
    words += ["--held-out", "0", "--shuffle", "0", "--framework", framework, "--output", str(tmp_path / "out")]
    words += ["--steps", "2"]
    assert main(words) == 1
    assert "b.txt, line 2: the line is no UTF-8: byte 0xff at byte 5 of the line" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--on-error", "skip"]) == 0
    assert capsys.readouterr().err.count("b.txt, line 2") == 1


def test_one_table_is_not_trained_in_two_steps(refused):
    message = "embedding_sharing='es' has one table for both losses"
    assert message in refused(*FRESH, "--vocabulary", "train:350", "--embedding-sharing", "es")


def test_another_vocabulary(refused, pair, tmp_path, small_tokenizer):
    small_tokenizer.save_pretrained(tmp_path / "other")
    assert "the vocabulary is not that of" in refused("--model", str(pair), "--vocabulary", str(tmp_path / "other"))


def test_a_generator_of_another_width(refused, pair, tmp_path):
    shutil.copytree(pair / "generator", tmp_path / "generator")
    config = tmp_path / "generator" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "hidden_size": 16}))
    error = refused("--model", str(pair), "--generator", str(tmp_path / "generator"))
    assert "the widths of the embeddings, which are shared, must be the same" in error


def test_a_difference_without_its_table(refused, pair, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in pair.iterdir():
        if file.is_file() and "generator" not in file.name:
            shutil.copy(file, alone)
    arrays = load_file(alone / "model.safetensors")
    arrays[f"{WORDS}._weight"] = arrays.pop(f"{WORDS}.weight")
    save_file(arrays, alone / "model.safetensors")
    assert "A difference to a generator's table (_weight) is no table" in refused("--model", str(alone))


def test_weights_that_break_unseen_are_not_saved(framework, corpus, pair, tmp_path, capsys, monkeypatch):
    """By the last step before a save, whose own loss is a number, and with no held-out text to tell."""
    words = [
        "pretrain",
        "--objective",
        "rtd",
        "--updates",
        "joint",
        "--corpus",
        str(corpus),
        "--model",
        str(pair),
        *RUN,
    ]
    words += ["--steps", "6", "--evaluate-every", "2", "--held-out", "0", "--framework", framework]
    rate = PretrainingRun.rate
    monkeypatch.setattr(PretrainingRun, "rate", lambda run, step: np.inf if step == 3 else rate(run, step))
    assert main([*words, "--output", str(tmp_path / "out")]) == 1
    assert "the weights are no longer finite after step 4" in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "training.json").read_text())["step"] == 2


def test_a_loss_that_is_not_finite_and_going_on(framework, corpus, pair, tmp_path, capsys, monkeypatch):
    """It stops at the step with the last good state; from there it goes on with the same options and corpus alone."""
    own = tmp_path / "texts.txt"
    shutil.copy(corpus, own)
    words = ["pretrain", "--objective", "mlm", "--corpus", str(own), *FRESH, "--vocabulary", str(pair), *RUN]
    words += ["--steps", "6", "--evaluate-every", "2", "--held-out", "0.2", "--framework", framework]
    words += ["--output", str(tmp_path / "out")]
    rate = PretrainingRun.rate
    with monkeypatch.context() as patched:
        patched.setattr(PretrainingRun, "rate", lambda run, step: np.inf if step == 3 else rate(run, step))
        assert main(words) == 1
    assert "the loss on the evaluation data is nan after step 4" in capsys.readouterr().err
    state = tmp_path / "out" / "training.json"
    assert json.loads(state.read_text())["step"] == 2
    assert main([*words, "--resume", "--learning-rate", "1e-3", "--seed", "3"]) == 1
    assert "learning_rate=0.0001, this one 0.001; seed=0, this one 3" in capsys.readouterr().err
    text, times = own.read_text(), own.stat()
    own.write_text(f"{text}\n\nmore")
    assert main([*words, "--resume"]) == 1
    assert "the corpus changed" in capsys.readouterr().err
    own.write_text(text)
    os.utime(own, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert main([*words, "--resume"]) == 0
    assert [json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()][-1] == 6
