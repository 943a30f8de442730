"""`deberta pretrain`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_dual.cli import main

SIZES = ["hidden_size=32", "num_hidden_layers=2", "num_attention_heads=2", "attention_head_size=null"]
SIZES += ["intermediate_size=48", "max_position_embeddings=64", "position_buckets=8"]
RUN = ["--preset", "deberta-v3-xsmall", "--config", *SIZES, "--steps", "2", "--batch-size", "4", "--max-length", "32"]
RUN += ["--held-out", "0.2", "--workers", "0"]


@pytest.fixture(params=["torch", pytest.param("tf", marks=pytest.mark.slow)])
def run(request):
    """The options of a run, in each framework; Keras needs many seconds to trace its graphs."""
    pytest.importorskip({"torch": "torch", "tf": "tensorflow"}[request.param])
    return [*RUN, "--framework", request.param]


@pytest.fixture
def corpus(tmp_path):
    """JSON lines whose text is in a column of its own name."""
    words = Path(json.__file__).read_text().split()
    file = tmp_path / "texts.jsonl"
    lines = [json.dumps({"body": " ".join(words[start : start + 30])}) for start in range(0, 1200, 30)]
    file.write_text("\n".join(lines))
    return str(file)


def test_a_run(run, corpus, tmp_path, capsys):
    words = ["pretrain", "--objective", "rtd", "--corpus", corpus, "--columns", "text=body", *run]
    words += ["--vocabulary", "train:350", "--output", str(tmp_path / "out"), "--tensorboard"]
    assert main(words) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["step"] for row in rows] == [2]
    assert {"mlm_loss", "rtd_loss", "eval_rtd_f1", "tokens_per_second", "flop_utilisation"} <= rows[0].keys()
    (events,) = (tmp_path / "out" / "tensorboard").iterdir()
    assert all(tag in events.read_bytes() for tag in (b"train/loss", b"mlm/loss", b"eval/rtd_f1"))
    assert "pretrained by replaced-token detection" in (tmp_path / "out" / "README.md").read_text()


def test_checkpointing_changes_no_loss(run, corpus, tmp_path, capsys):
    """Dropout is the same in the second pass."""
    words = ["pretrain", "--corpus", corpus, "--columns", "text=body", *run, "--vocabulary", "train:350"]
    rows = []
    for output, more in (("kept", []), ("forgotten", ["--gradient-checkpointing"])):
        assert main([*words, "--output", str(tmp_path / output), *more]) == 0
        rows += [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for name in ("mlm_loss", "rtd_loss"):
        assert_close(*(np.array(row[name]) for row in rows), quantity="training curve, AdamW", name=name)


def test_what_is_refused(run, corpus, tmp_path, capsys):
    assert main(["pretrain", "--corpus", corpus, *run, "--output", str(tmp_path / "out")]) == 1
    assert "A preset needs a vocabulary" in capsys.readouterr().err
    words = ["--vocabulary", "train:350", "--embedding-sharing", "es", "--output", str(tmp_path / "out")]
    assert main(["pretrain", "--corpus", corpus, *run, *words]) == 1
    assert "updates='joint'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            ["--held-out", "1e-9"],
            "no document in the share held_out=1e-09. Give more text, a larger share, or held_out=0",
        ),
        (["--learning-rate", "2"], "learning_rate=2.0 is not allowed. Give a number from 0 to 1."),
    ],
)
def test_one_sentence_and_nothing_is_left(run, corpus, tmp_path, capsys, chosen, message):
    words = ["pretrain", "--corpus", corpus, "--columns", "text=body", *run, "--vocabulary", "train:350", *chosen]
    assert main([*words, "--output", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_odd_files_of_a_corpus(run, corpus, tmp_path, capsys):
    """An empty file is no matter; what is no UTF-8 is named by line and byte, or passed over and told of once."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("\n\n".join(Path(json.__file__).read_text().splitlines()))
    (folder / "b.txt").write_text("")
    (folder / "c.txt").write_bytes(b"good\nbad \xff line\n")
    words = ["pretrain", "--objective", "mlm", "--corpus", str(folder), *run, "--vocabulary", "train:350"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 1
    assert "c.txt, line 2: the line is no UTF-8: byte 0xff at byte 5 of the line" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "--output", str(tmp_path / "out"), "--on-error", "skip"]) == 0
    assert capsys.readouterr().err.count("c.txt, line 2") == 1
    assert (tmp_path / "out" / "model.safetensors").exists()
