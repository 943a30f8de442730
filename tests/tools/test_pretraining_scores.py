"""What pretraining is worth: which commands are run, what is kept, and that the file has every row."""

import json
import sys

import pytest

from deberta_dual.commands import finetune, pretrain
from tools.pretraining_scores import __main__ as tool


@pytest.fixture
def commands(monkeypatch, tmp_path):
    """Runs the tool with commands that do nothing but give a row; they are noted."""
    noted = []
    monkeypatch.setattr(tool, "rows_of", lambda command: (noted.append(command), ([{"test_accuracy": 0.5}], 1))[1])
    (tmp_path / "work" / "torch" / "vocabulary").mkdir(parents=True)
    options = ["--data", str(tmp_path), "--work", str(tmp_path / "work"), "--json", str(tmp_path / "scores.json")]

    def run(*more):
        noted.clear()
        monkeypatch.setattr(sys, "argv", ["tool", *options, *more])
        tool.main()
        return noted

    return run


def test_every_row_is_run_once_and_its_commands_can_be_read(commands, tmp_path):
    noted = commands("--seeds", "0", "--pretraining", "steps=7")
    assert [name for name, *_ in noted] == ["finetune", *["pretrain", "finetune"] * 4]
    parsers = {"finetune": finetune.make_parser(), "pretrain": pretrain.make_parser()}
    chosen = [parsers[name].parse_args(words) for name, *words in noted]
    pretrained = [arguments for arguments in chosen if hasattr(arguments, "corpus")]
    assert [arguments.objective for arguments in pretrained] == ["mlm", "mlm", "rtd", "rtd"]
    assert [dict(one.config)["mlm_decoder"] for one in pretrained[:2]] == ["plain", "enhanced"]
    assert [one.embedding_sharing for one in pretrained[2:]] == ["none", "gdes"]
    assert {one.steps for one in pretrained} == {7}
    assert commands("--seeds", "0") == []
    found = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert list(found) == list(tool.ROWS)
    assert found["none"] == {"torch": {"0": {"finetuning": {"test_accuracy": 0.5}, "finetuning_seconds": 1}}}


def test_every_row_was_measured():
    found = json.loads(tool.JSON.read_text(encoding="utf-8"))
    assert list(found) == list(tool.ROWS)
    for name, runs in found.items():
        assert set(runs["torch"]) >= {"0", "1"}, name
        assert "0" in runs["tf"], name
