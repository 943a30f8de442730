"""One file of examples through finetune, evaluate and run: the same numbers, and an answer for every example."""

import json

import pytest

from deberta_dual.cli import main
from deberta_dual.data.results import RESULTS
from tests.finetuning_data import SIZES, write_examples

TASKS = ("text-classification", "token-classification", "question-answering", "multiple-choice", "ranking", "masked-lm")
SCORES = ("f1", "ndcg@10", "accuracy")  # of a task the first that it has
FRAMEWORKS = (
    pytest.param("torch", id="torch"),
    pytest.param("tf", id="tf", marks=pytest.mark.slow),
)


@pytest.fixture(scope="module")
def vocabulary(small_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    small_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def deberta(capfd):
    """Runs the command: its lines of JSON."""

    def call(*arguments):
        status = main(list(map(str, arguments)))
        out, err = capfd.readouterr()
        assert status == 0, err
        return [json.loads(line) for line in out.splitlines()]

    return call


@pytest.mark.filterwarnings("default::deberta_core.errors.DebertaWarning")  # a text is a token too long
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_one_file(deberta, vocabulary, prose, tmp_path, task, framework):
    pytest.importorskip("tensorflow" if framework == "tf" else "torch")
    file, model, errors = write_examples(tmp_path, task, prose), tmp_path / "model", tmp_path / "errors.jsonl"
    same = ["--task", task, "--framework", framework, "--device", "cpu", "--max-length", 96]
    config = ["--config", *(f"{name}={value}" for name, value in SIZES.items())]
    start = ["--preset", "deberta-v3-small", *config, "--tokenizer", vocabulary]
    *_, last = deberta("finetune", *same, "--data", file, "--output", model, *start, "--epochs", 2)
    (found,) = deberta("evaluate", *same, "--model", model, "--data", file, "--errors", errors, "--report", tmp_path)
    assert {name.removeprefix("train_"): value for name, value in last.items()} == {
        name.removeprefix("train_"): pytest.approx(found[name.removeprefix("train_")], abs=1e-6) for name in last
    }
    assert (found["task"], found["examples"]) == (task, len(prose))
    page = (tmp_path / "index.html").read_text()
    assert page.startswith("<!doctype html>")
    assert f"{found[next(name for name in SCORES if name in found)]:.4f}" in page
    rows = deberta("run", *same, "--model", model, "--input", file)
    assert [row["line"] for row in rows] == list(range(1, len(prose) + 1))
    assert all(RESULTS[task][0] in row for row in rows)
    if task == "text-classification":
        wanted = [json.loads(line)["label"] for line in file.read_text().splitlines()]
        right = [row["label"] == label for row, label in zip(rows, wanted, strict=True)]
        assert sum(right) / len(right) == pytest.approx(found["accuracy"])
        assert [row["input_label"] for row in rows] == wanted
        lines = {json.loads(line)["line"] for line in errors.read_text().splitlines()}
        assert lines == {row["line"] for row, ok in zip(rows, right, strict=True) if not ok}
        assert sum(map(sum, found["confusion"]["counts"])) == len(prose)


def test_a_share_is_held_out(deberta, vocabulary, prose, tmp_path):
    pytest.importorskip("torch")
    file = write_examples(tmp_path, "text-classification", prose)
    config = ["--config", *(f"{name}={value}" for name, value in SIZES.items())]
    start = ["--preset", "deberta-v3-small", *config, "--tokenizer", vocabulary]
    same = ["finetune", "--task", "text-classification", "--framework", "torch", "--device", "cpu", "--data", file]
    rows = deberta(*same, "--output", tmp_path / "model", *start, "--epochs", 1, "--eval-share", 0.25)
    assert len(rows) == 1
    assert "eval_accuracy" in rows[0]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--eval-share", "1"], "eval_share=1.0 is not allowed"),
        (["--eval-share", "0.001"], "leaves nothing for one side"),
    ],
)
def test_a_share_that_cannot_be(vocabulary, prose, tmp_path, capfd, flags, message):
    pytest.importorskip("torch")
    file = write_examples(tmp_path, "text-classification", prose)
    start = ["--preset", "deberta-v3-small", "--tokenizer", str(vocabulary), "--output", str(tmp_path / "model")]
    assert main(["finetune", "--task", "text-classification", "--data", str(file), *start, *flags]) == 1
    assert message in capfd.readouterr().err


def test_the_temperature_is_kept_with_the_model(deberta, vocabulary, prose, tmp_path, capfd):
    pytest.importorskip("torch")
    task = "text-classification"
    file, model = write_examples(tmp_path, task, prose), tmp_path / "model"
    same = ["--task", task, "--framework", "torch", "--device", "cpu"]
    config = ["--config", *(f"{name}={value}" for name, value in SIZES.items())]
    start = ["--preset", "deberta-v3-small", *config, "--tokenizer", vocabulary, "--epochs", 1]
    deberta("finetune", *same, "--data", file, "--output", model, *start)
    (found,) = deberta("evaluate", *same, "--model", model, "--data", file, "--calibrate")
    assert json.loads((model / "calibration.json").read_text()) == {"temperature": found["temperature"]}
    assert found["calibrated_loss"] <= found["loss"]
