"""One file of examples through finetune, evaluate and run: the same numbers, and an answer for every example."""

import csv
import json

import numpy as np
import pytest

from deberta_core import DebertaV2Config
from deberta_core.checkpoint import save_weights
from deberta_core.errors import DebertaWarning
from deberta_dual import Start, finetune
from deberta_dual.cli import main
from deberta_dual.data.results import RESULTS
from deberta_dual.finetuning import FINETUNE_TASKS
from tests.finetuning_data import SIZES, write_examples

TASKS = tuple(FINETUNE_TASKS)
SCORES = ("f1", "ndcg@10", "mrr@10", "accuracy")  # of a task the first that it has
SIZES_ALONE = {**SIZES, "position_biased_input": False}
FRAMEWORKS = (
    pytest.param("torch", id="torch"),
    pytest.param("tf", id="tf", marks=pytest.mark.slow),
)


@pytest.fixture(scope="module")
def vocabulary(small_tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    small_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def backbone(small_tokenizer, random_weights, tmp_path_factory):
    """A pretrained model as people have it: no head, and nothing said of the length of rows but in its files."""
    folder = tmp_path_factory.mktemp("backbone")
    config = DebertaV2Config.preset("deberta-v3-small", vocab_size=len(small_tokenizer), **SIZES)
    save_weights(folder, config, None, random_weights(config, None))
    config.save_pretrained(folder), small_tokenizer.save_pretrained(folder)
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


@pytest.mark.filterwarnings("default::deberta_core.errors.DebertaWarning")  # a head starts fresh
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_one_file(deberta, backbone, prose, tmp_path, task, framework):
    """With no option but those of the task, the framework, and where files are."""
    pytest.importorskip("tensorflow" if framework == "tf" else "torch")
    file, model, errors = write_examples(tmp_path, task, prose), tmp_path / "model", tmp_path / "errors.jsonl"
    same = ["--task", task, "--framework", framework]
    *_, last = deberta("finetune", *same, "--data", file, "--model", backbone, "--output", model)
    (found,) = deberta("evaluate", *same, "--data", file, "--model", model)
    assert deberta("evaluate", *same, "--data", file, "--model", model, "--errors", errors, "--report", tmp_path) == [
        found
    ]
    assert {name.removeprefix("train_"): value for name, value in last.items()} == {
        name.removeprefix("train_"): pytest.approx(found[name.removeprefix("train_")], abs=1e-6) for name in last
    }
    assert (found["task"], found["examples"]) == (task, len(prose))
    page = (tmp_path / "index.html").read_text()
    assert page.startswith("<!doctype html>")
    assert f"{found[next(name for name in SCORES if name in found)]:.4f}" in page
    rows = deberta("run", *same, "--input", file, "--model", model)
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


@pytest.mark.filterwarnings("default::deberta_core.errors.DebertaWarning")
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
    plain, calibrated = (
        deberta("run", *same, "--model", model, "--input", file, "--top-k", "all", *more)[0]["labels"]
        for more in ([], ["--calibrated"])
    )
    logits = np.log([one["score"] for one in plain]) / found["temperature"]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert [one["label"] for one in calibrated] == [one["label"] for one in plain]
    np.testing.assert_array_less(np.abs(expected - [one["score"] for one in calibrated]), 1e-5)
    (model / "calibration.json").unlink()
    main(["run", *same, "--model", str(model), "--input", str(file), "--calibrated"])
    assert "Run deberta evaluate --calibrate" in capfd.readouterr().err


def test_long_texts(deberta, vocabulary, prose, tmp_path, capfd):
    """Windows in all three commands: their mean is that of the windows by themselves."""
    pytest.importorskip("torch")
    rows = [{"text": " ".join(prose[: n + 1]), "label": ("a", "b")[n % 2]} for n in range(4)]
    file, model = tmp_path / "long.jsonl", tmp_path / "model"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    same = ["--task", "text-classification", "--framework", "torch", "--device", "cpu", "--max-length", 32]
    config = ["--config", *(f"{name}={value}" for name, value in SIZES.items())]
    start = ["--preset", "deberta-v3-small", *config, "--tokenizer", vocabulary, "--epochs", 2]
    windows = ["--long-texts", "windows"]
    *_, last = deberta("finetune", *same, *windows, "--data", file, "--output", model, *start)
    (found,) = deberta("evaluate", *same, *windows, "--model", model, "--data", file)
    assert found["accuracy"] == last["train_accuracy"]
    assert found["truncated"] == 0
    scores = {}
    for how in ("mean", "max", "first"):
        answers = deberta(
            "run", *same, *windows, "--window-scores", how, "--model", model, "--input", file, "--top-k", "all"
        )
        scores[how] = [{one["label"]: one["score"] for one in row["labels"]} for row in answers]
    right = [max(own, key=own.get) == row["label"] for own, row in zip(scores["mean"], rows, strict=True)]
    assert sum(right) / len(right) == found["accuracy"]
    assert all(own["a"] + own["b"] == pytest.approx(1) for how in ("mean", "first") for own in scores[how])
    assert all(
        top[name] >= mean[name] for top, mean in zip(scores["max"], scores["mean"], strict=True) for name in mean
    )
    assert scores["first"] != scores["mean"]
    assert main(["run", *map(str, same), "--long-texts", "error", "--model", str(model), "--input", str(file)]) == 1
    assert "tokens, and max_length=32. Shorten it" in capfd.readouterr().err
    token = ["--task", "token-classification", "--model", str(model), "--data", str(file), *windows]
    assert main(["evaluate", *token]) == 1


def test_zero_shot(deberta, small_tokenizer, random_weights, prose, tmp_path, capfd):
    pytest.importorskip("torch")
    model, file = tmp_path / "model", tmp_path / "news.csv"
    names = {0: "contradiction", 1: "entailment", 2: "neutral"}
    config = DebertaV2Config(vocab_size=len(small_tokenizer), **SIZES_ALONE, id2label=names)
    save_weights(model, config, "sequence_classification", random_weights(config, "sequence_classification"))
    config.save_pretrained(model), small_tokenizer.save_pretrained(model)
    labels = [("water", "people", "stone")[number % 3] for number in range(len(prose))]
    lines = [f"{text[:40].replace(',', ' ')},{label}" for text, label in zip(prose, labels, strict=True)]
    file.write_text("\n".join(["text,label", *lines]).replace('"', ""), encoding="utf-8")
    same = ["--task", "zero-shot-classification", "--framework", "torch", "--device", "cpu", "--model", model]
    (found,) = deberta("evaluate", *same, "--data", file, "--hypothesis-template", "It is {}.")
    asked = ["--candidate-labels", "water,people,stone", "--hypothesis-template", "It is {}."]
    answers = deberta("run", *same, "--input", file, *asked)
    right = [row["labels"][0] == row["label"] for row in answers]  # the input's label is handed on
    assert found["accuracy"] == sum(right) / len(right)
    assert found["confusion"]["labels"] == ["people", "stone", "water"]
    task = ["--task", "text-classification", "--model", str(model), "--data", str(file), "--candidate-labels", "a,b"]
    assert main(["evaluate", *task]) == 1
    assert "are for zero-shot-classification alone" in capfd.readouterr().err


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_feature_extraction(deberta, small_tokenizer, random_weights, prose, tmp_path, framework):
    """A vector for each token of each row of a table, with what the row has besides."""
    pytest.importorskip("tensorflow" if framework == "tf" else "torch")
    model, file = tmp_path / "model", tmp_path / "texts.csv"
    config = DebertaV2Config(vocab_size=len(small_tokenizer), **SIZES_ALONE)
    save_weights(model, config, None, random_weights(config, None))
    config.save_pretrained(model), small_tokenizer.save_pretrained(model)
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("id", "review"), *((f"r{number}", text) for number, text in enumerate(prose))])
    same = ["--task", "feature-extraction", "--framework", framework, "--device", "cpu"]
    rows = deberta("run", *same, "--model", model, "--input", file)
    assert [row["id"] for row in rows] == [f"r{number}" for number in range(len(prose))]
    lengths = [len(small_tokenizer(text)["input_ids"]) for text in prose]
    assert [np.shape(row["embedding"]) for row in rows] == [(length, SIZES["hidden_size"]) for length in lengths]


def test_a_head_that_starts_fresh_is_told(deberta, vocabulary, prose, tmp_path):
    """Of a backbone alone, and of a classifier of other classes; not of the same ones."""
    pytest.importorskip("torch")
    file = write_examples(tmp_path, "text-classification", prose)
    same = ["--task", "text-classification", "--framework", "torch", "--device", "cpu", "--epochs", 1, "--data"]
    config = ["--config", *(f"{name}={value}" for name, value in SIZES.items())]
    start = ["--preset", "deberta-v3-small", *config, "--tokenizer", vocabulary]
    deberta("finetune", *same, file, "--output", tmp_path / "a", *start)
    deberta("finetune", *same, file, "--output", tmp_path / "b", "--model", tmp_path / "a")
    assert main(["convert", str(tmp_path / "a"), str(tmp_path / "backbone"), "--to", "safetensors", "--drop-head"]) == 0
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"even"', '"odd"'), encoding="utf-8")
    for model, names in (("a", "classifier.bias, classifier.weight"), ("backbone", "classifier.bias")):
        with pytest.warns(DebertaWarning, match=rf"{model} has no {names}.*They start fresh"):
            finetune(
                "text-classification", file, tmp_path / f"of-{model}", Start(model=str(tmp_path / model)), device="cpu"
            )
