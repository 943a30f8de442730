"""`python -m conformance`."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from conformance.suite import command, others
from conformance.suite.adapters import FRAMEWORKS
from conformance.suite.checkpoint import SMALL, checkpoint_subject, measures_of
from conformance.suite.command import main
from conformance.suite.heatmap import colour, page
from conformance.suite.report import Measurement, rows, table, to_json
from conformance.tolerances import TOLERANCES
from deberta_core.checkpoint import load_config, load_weights, save_weights
from deberta_core.reference.forward import forward

CASE = "v2_one_token"
LIMIT = TOLERANCES["hidden"].limit
MADE = [
    Measurement("a <case>", "torch", "hidden", LIMIT / 4),
    Measurement("a <case>", "keras", "hidden", LIMIT / 2),
    Measurement("a <case>", "keras", "exact", 0.0),
    Measurement("other", "torch", "logits", math.inf),
    Measurement("other", "transformers", "loss", 1.0),
]


@pytest.fixture
def one_framework(monkeypatch):
    """PyTorch alone."""
    monkeypatch.setattr(command, "is_installed", lambda name: name == "torch")


@pytest.fixture
def off_by_a_thousandth(monkeypatch):
    """PyTorch models whose outputs are slightly wrong."""
    adapter = FRAMEWORKS["torch"]
    forward = adapter.forward

    def wrong(self, inputs):
        return {name: values * np.float32(1.001) for name, values in forward(self, inputs).items()}

    monkeypatch.setattr(adapter, "forward", wrong)


@pytest.fixture
def folder(tmp_path, small_tokenizer, small_config, random_weights):
    """A three-class model of real text with its tokenizer."""
    path = tmp_path / "classifier"
    config = small_config.replace(vocab_size=len(small_tokenizer), max_position_embeddings=64, num_hidden_layers=1)
    small_tokenizer.save_pretrained(path)
    config.save_pretrained(path)
    save_weights(path, config, "sequence_classification", random_weights(config, "sequence_classification"))
    return path


def test_table_json_and_page(tmp_path, capsys):
    files = tmp_path / "r.json", tmp_path / "r.html"
    assert main(["--only", CASE, "--json", str(files[0]), "--html", str(files[1])]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"{CASE} +hidden +\S+e-\d+ +\S+e-\d+ +{LIMIT:.0e} +[\d.]+x\n", out)
    assert "3 of 3 rows are within their bounds" in out
    told = json.loads(files[0].read_text())
    assert told["passed"] is True
    assert told["versions"]["torch"]
    assert [(row["case"], row["what"]) for row in told["rows"]] == [
        (CASE, "hidden"),
        (CASE, "attentions"),
        (f"{CASE}, explanations", "scores"),
    ]
    assert set(told["rows"][0]["errors"]) == set(FRAMEWORKS)
    assert told["rows"][0]["max_error"] == max(told["rows"][0]["errors"].values()) < LIMIT
    html = files[1].read_text()
    assert html.count("<td") == 12
    assert "all 3 rows are within their bounds" in html
    assert not re.search(r"https?:|<script|<link|<img|src=|url\(", html)


def test_a_broken_bound_fails(off_by_a_thousandth, one_framework, capsys, tmp_path):
    assert main(["--only", CASE, "--json", str(tmp_path / "r.json")]) == 1
    out = capsys.readouterr().out
    assert out.count("FAILED") == 2
    assert "1 of 3 rows" in out  # the scores are not of `forward`
    assert json.loads((tmp_path / "r.json").read_text())["passed"] is False


def test_every_measure_is_run(one_framework, capsys):
    assert main(["--only", "v1_absolute_types"]) == 0
    out = capsys.readouterr().out
    for row in (
        "v1_absolute_types +hidden",
        ", explanations +scores",
        "question_answering, gradients +gradient",
        ", invariances +exact",
    ):
        assert re.search(row, out), row


def test_a_checkpoint_with_real_text(folder, capsys):
    assert main(["--checkpoint", str(folder)]) == 0
    out = capsys.readouterr().out
    for row in ("logits", "loss", "scores", "gradient", "exact"):
        assert re.search(rf"classifier \(DebertaV2ForSequenceClassification\).* {row} ", out), row
    found = checkpoint_subject(folder)
    assert found.inputs["attention_mask"].min() == 0
    assert found.inputs["input_ids"].max() > 200  # the vocabulary's, not made up
    assert "labels" in found.inputs


def test_a_checkpoint_computed_otherwise_fails(folder, off_by_a_thousandth, one_framework, monkeypatch, capsys):
    monkeypatch.setattr(command, "measures_of", lambda found: ["values"])
    assert main(["--checkpoint", str(folder)]) == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize("golden", ["v1-qa", "v1-mlm", "v1-seq-regression", "v2-choice", "v2-token", "v2-v3-style"])
def test_every_task_of_both_versions(shared, golden, one_framework, monkeypatch):
    """Every kind of checkpoint is read, given labels that fit, and measured."""
    monkeypatch.setattr(command, "measures_of", lambda found: ["values", "invariances"])
    folder = shared / "goldens" / golden
    found = checkpoint_subject(folder)
    assert ("loss" in found.expected) == (found.task is not None)
    assert main(["--checkpoint", str(folder)]) == 0


def test_gradients_of_large_checkpoints_are_left_out(folder):
    found = checkpoint_subject(folder)
    assert measures_of(found) == ["values", "explanations", "invariances", "gradients"]
    found.params = {"embeddings": np.broadcast_to(np.float32(0), SMALL + 1)}
    assert measures_of(found) == ["values", "explanations", "invariances"]


def test_a_missing_checkpoint_is_one_line(tmp_path, capsys):
    assert main(["--checkpoint", str(tmp_path / "nothing")]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(r"conformance: error: .*config\.json.*\n", error)


@pytest.mark.parametrize("choice", ["tf", "both"])
def test_a_framework_that_is_not_installed(choice, one_framework, capsys):
    assert main(["--framework", choice]) == 1
    assert 'keras: not installed. Install with: pip install "deberta-dual[tf]"' in capsys.readouterr().err


def test_bad_usage(capsys):
    assert main(["--only", "no such case"]) == 2
    assert main(["--framework", "jax"]) == 2
    assert main(["--deep", "--only", CASE]) == 2
    assert main(["--help"]) == 0
    assert "examples:" in capsys.readouterr().out


def test_works_where_only_one_framework_is_installed():
    code = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = None
from conformance.suite.command import main
sys.exit(main(["--only", "v2_one_token"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"case +what +torch +bound", done.stdout)


def test_others_write_outputs_and_are_judged(tmp_path, monkeypatch, capsys):
    from safetensors.numpy import load_file, save_file

    own = [(CASE,), ("v2_conv", "question_answering", "spans", "left")]
    monkeypatch.setattr(others, "VALUE_RUNS", own)
    folder = tmp_path / "theirs"
    assert main(["--write-cases", str(folder)]) == 0
    assert "2 cases" in capsys.readouterr().out
    assert main(["--write-cases", str(folder)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["--judge", str(folder)]) == 1
    assert "has no CASE/outputs.safetensors" in capsys.readouterr().err
    for name in ("-".join(run) for run in own):
        place = folder / name
        config = load_config(None, place, None)
        task = "question_answering" if "question" in name else None
        assert config.extra["architectures"] == [f"DebertaV2{'ForQuestionAnswering' if task else 'Model'}"]
        with load_weights(place, config, task) as loaded:
            outputs = forward(config, dict(loaded.weights), load_file(place / "inputs.safetensors"), task)
        kept = {key: value.astype(np.float32) for key, value in outputs.items() if not key.startswith("scores")}
        save_file(kept, place / "outputs.safetensors")
    assert main(["--judge", str(folder)]) == 0
    out = capsys.readouterr().out
    assert re.search(rf"{CASE} +hidden +\S+ .*x\n", out)
    assert "theirs" in out.splitlines()[0]
    assert "FAILED" not in out
    assert "loss" in out
    kept["end_logits"] = kept["end_logits"] * np.float32(1.001)
    save_file(kept, place / "outputs.safetensors")
    assert main(["--judge", str(folder)]) == 1
    assert re.search(r"left +logits .*FAILED", capsys.readouterr().out)
    save_file({"end_logits": kept["end_logits"][:1]}, place / "outputs.safetensors")
    assert main(["--judge", str(folder)]) == 1
    assert "inf" in capsys.readouterr().out
    save_file({"logits": kept["end_logits"]}, place / "outputs.safetensors")
    assert main(["--judge", str(folder)]) == 1
    assert re.search(r"holds logits\. Outputs of this case are .*start_logits", capsys.readouterr().err)
    (place / "outputs.safetensors").write_bytes(b"1234")
    assert main(["--judge", str(folder)]) == 1
    assert "outputs.safetensors cannot be read" in capsys.readouterr().err


def test_rows_keep_the_worst_and_judge_our_frameworks_alone():
    first, exact, broken, others = rows([*MADE, Measurement("a <case>", "torch", "hidden", LIMIT / 8)])
    assert first.errors == {"torch": LIMIT / 4, "keras": LIMIT / 2}
    assert first.margin == pytest.approx(2)
    assert first.passed
    assert exact.passed
    assert exact.share("keras") == 0
    assert not broken.passed
    assert others.passed  # somebody else's error is shown, not judged
    assert ["FAILED" in line for line in table([first, exact, broken, others])] == [False, False, False, True, False]


def test_json_has_no_infinity():
    told = json.loads(to_json(rows(MADE)), parse_constant=lambda name: pytest.fail(name))
    assert told["passed"] is False
    assert told["rows"][1]["margin"] is None
    assert told["rows"][2]["max_error"] is None


def test_the_page_names_what_failed():
    html = page(rows(MADE))
    assert "a &lt;case&gt;" in html
    assert "1 of 4 rows FAILED" in html
    assert html.count('class="failed"') == 2  # the broken one, and transformers' beyond the bound
    assert f'style="background:{colour(0.25)}"' in html


def test_colours_go_by_the_logarithm():
    hues = [float(re.match(r"hsl\((\d+)", colour(share))[1]) for share in (0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0)]
    assert hues[0] == hues[1]
    steps = np.diff(hues[1:])
    assert (steps < 0).all()
    assert np.ptp(steps) <= 1
    assert colour(1.1) == colour(math.inf) not in {colour(1.0), colour(0.0)}
