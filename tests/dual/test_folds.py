"""Dividing examples into folds, and training one model for each, or for each seed."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.suite.compare import assert_close
from deberta_core import DebertaWarning, InputError
from deberta_dual import evaluate, finetune, load_data, pipeline
from deberta_dual.finetuning.folds import fold_numbers
from tests.conftest import PROSE
from tests.finetuning_data import QUIET, SIZES, small_start, write_examples

QUICK = {"num_hidden_layers": 1, **QUIET}
TRAINING = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3}
FOLDS = 3


class Killed(Exception):
    """What ends a process in a test."""


def kill(part, value, step=None):
    """A report that ends the process at a row."""

    def report(row):
        if row.get(part) == value and (step is None or row.get("step") == step):
            raise Killed

    return report


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=5, max_size=60), st.integers(2, 5), st.integers(0, 99))
def test_every_fold_has_its_share_of_each_class(classes, folds, seed):
    numbers = fold_numbers([None] * len(classes), classes, folds, seed)
    for chosen in (*("abc"), None):
        own = Counter(number for number, one in zip(numbers.tolist(), classes, strict=True) if chosen in (None, one))
        sizes = [own[fold] for fold in range(folds)]
        assert max(sizes) - min(sizes) <= 1
    assert (numbers == fold_numbers([None] * len(classes), classes, folds, seed)).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=20, max_size=60).filter(lambda groups: len({*groups}) >= 4))
def test_groups_are_not_divided(groups):
    numbers = fold_numbers([str(group) for group in groups], [None] * len(groups), 4, 0)
    assert all(len({*numbers[np.array(groups) == group]}) == 1 for group in groups)
    sizes = Counter(numbers.tolist())
    assert len(sizes) == 4
    assert max(sizes.values()) - min(sizes.values()) <= max(Counter(groups).values())


def test_other_seeds_are_other_folds():
    found = {tuple(fold_numbers([None] * 30, ["a", "b"] * 15, 5, seed).tolist()) for seed in range(5)}
    assert len(found) == 5
    with pytest.raises(InputError, match=r"folds=4 is more than the 3 examples, or groups of them. Lower it"):
        fold_numbers([None] * 3, ["a"] * 3, 4, 0)


@pytest.fixture(scope="module")
def place(tmp_path_factory, small_tokenizer):
    """A folder with examples and a tokenizer."""
    folder = tmp_path_factory.mktemp("folds")
    write_examples(folder, "text-classification", PROSE)
    small_tokenizer.save_pretrained(folder / "tokenizer")
    return folder


@pytest.fixture(scope="module")
def train(place):
    """Fine-tunes with folds in a framework; rows."""

    def call(output, framework="torch", **options):
        file = place / "text-classification.jsonl"
        about = {"preset": "deberta-v3-small", "config": {**SIZES, **QUICK}, "tokenizer": str(place / "tokenizer")}
        options = {"framework": framework, "device": "cpu", **about, **TRAINING, **options}
        return finetune("text-classification", file, place / output, **options)

    return call


@pytest.fixture(scope="module")
def rows(train):
    """The rows of whole cross-validations, by framework."""
    return {framework: train(framework, framework, folds=FOLDS) for framework in ("torch", "tf")}


def lines(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_out_of_fold_predictions_are_in_order_and_of_the_right_model(rows, place):
    file, output = place / "text-classification.jsonl", place / "torch"
    found, given = lines(output / "predictions.jsonl"), lines(file)
    assert [row["line"] for row in found] == [*range(1, len(given) + 1)]
    assert [row["input_label"] for row in found] == [row["label"] for row in given]
    assert {row["fold"] for row in found} == {*range(FOLDS)}
    ask = {
        fold: pipeline("text-classification", output / f"fold-{fold}", framework="torch", device="cpu")
        for fold in range(FOLDS)
    }
    for row, record in zip(found, given, strict=True):
        texts = {name: record[name] for name in ("text", "text_pair")}
        expected = ask[row["fold"]](texts, top_k=None, truncation=True)
        assert [one["label"] for one in row["labels"]] == [one["label"] for one in expected]
        scores = (np.array([one["score"] for one in own]) for own in (row["labels"], expected))
        assert_close(*scores, quantity="pipeline", name=f"line {row['line']}")
    # The scores of a fold are those of its records, and of evaluate.
    for fold in range(FOLDS):
        right = [row["labels"][0]["label"] == row["input_label"] for row in found if row["fold"] == fold]
        assert rows["torch"][fold]["eval_accuracy"] == np.mean(right)


def test_mean_and_spread(rows, place):
    *folds, total = rows["torch"]
    assert [row["fold"] for row in folds] == [0, 1, 2]
    values = np.array([row["eval_accuracy"] for row in folds])
    assert (total["folds"], total["best"]) == (FOLDS, f"fold-{values.argmax()}")
    assert total["mean"]["eval_accuracy"] == values.mean()
    assert total["spread"]["eval_accuracy"] == values.std(ddof=1)
    assert lines(place / "torch" / "metrics.jsonl") == rows["torch"]
    card = (place / "torch" / "README.md").read_text()
    assert "# DeBERTa for text-classification, 3 folds" in card
    assert f"| eval_accuracy | {values.mean():.4f} | {values.std(ddof=1):.4f} | {values[0]:.4f} |" in card
    assert "* fold: 1, of 0 to 2" in (place / "torch" / "fold-1" / "README.md").read_text()


def test_both_frameworks_find_the_same(rows, place):
    """Folds, scores, and the ensemble of the folds, each computed in its own framework."""
    assert [row["eval_accuracy"] for row in rows["tf"][:-1]] == [row["eval_accuracy"] for row in rows["torch"][:-1]]
    found, expected = (lines(place / name / "predictions.jsonl") for name in ("tf", "torch"))
    assert [row["fold"] for row in found] == [row["fold"] for row in expected]
    scores = [
        evaluate(
            "text-classification",
            [place / "torch" / f"fold-{fold}" for fold in range(FOLDS)],
            place / "text-classification.jsonl",
            framework=framework,
            device="cpu",
        ).metrics
        for framework in ("torch", "tf")
    ]
    assert scores[0].keys() == scores[1].keys()
    for name, value in scores[0].items():
        assert_close(np.array([scores[1][name]]), np.array([value]), quantity="pipeline", name=name)


@pytest.mark.parametrize("when", [("fold", 0, 3), ("fold", 1, 3), ("folds", FOLDS)])
def test_a_killed_job_goes_on_to_the_same_end(train, rows, place, when):
    """Also when only the summary was missing; folds that are at their end are not trained again."""
    output = f"killed-{when[1]}-{when[-1]}"
    with pytest.raises(Killed):
        train(output, folds=FOLDS, report=kill(*when))
    with pytest.raises(InputError, match=r"has folds=3, this one 2. Resume with the same"):
        train(output, folds=2, resume=True)
    reported = []
    resumed = train(output, folds=FOLDS, resume=True, report=reported.append)
    assert resumed == rows["torch"]
    done = FOLDS if when[0] == "folds" else when[1]
    assert {row["fold"] for row in reported if "fold" in row} == {*range(done, FOLDS)}
    files = ("predictions.jsonl", "fold-0/model.safetensors", "fold-2/model.safetensors", "fold-1/training.png")
    for name in files:
        assert (place / output / name).read_bytes() == (place / "torch" / name).read_bytes()
    with pytest.warns(DebertaWarning, match="is at its end"):
        assert train(output, folds=FOLDS, resume=True) == resumed


def test_a_new_job_leaves_nothing_of_an_old_one(train, place):
    train("again", folds=4)
    with pytest.raises(InputError, match="is not empty"):
        train("again", folds=2)
    train("again", folds=2, force=True)
    assert sorted(path.name for path in (place / "again").glob("fold-*")) == ["fold-0", "fold-1"]
    train("again", force=True)
    assert sorted(path.name for path in (place / "again").iterdir() if path.is_dir()) == []
    assert not (place / "again" / "predictions.jsonl").exists()
    train("again", seeds=2, force=True)
    assert not (place / "again" / "model.safetensors").exists()


def test_seeds(train, place):
    *seeds, total = train("seeds", seeds=2, seed=5, eval_share=0.4)
    assert [row["seed"] for row in seeds] == [5, 6]
    assert total["seeds"] == 2
    assert total["best"] in ("seed-5", "seed-6")
    alone = train("alone", seed=5, eval_share=0.4)
    best = max(row["eval_accuracy"] for row in alone)
    assert seeds[0]["eval_accuracy"] == best
    weights = [(place / name / "model.safetensors").read_bytes() for name in ("alone", "seeds/seed-5", "seeds/seed-6")]
    assert weights[0] == weights[1] != weights[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "folds=1 is not allowed. Give an int of 2 or more"),
        ({"folds": 99}, "folds=99 is more than the 15 examples"),
        ({"folds": 2, "seeds": 2}, "folds=2 hold out the evaluation data themselves. Leave out other ones, and seeds"),
        ({"folds": 2, "eval_share": 0.1}, "folds=2 hold out the evaluation data themselves"),
        ({"seeds": 2, "seed": 2**32 - 1}, "leaves no 2 seeds up to"),
        ({"epoch": 2}, "option='epoch' is unknown. Use one of: config, model"),
    ],
)
def test_what_does_not_go_together(train, place, options, message):
    with pytest.raises(InputError, match=message):
        train("refused", **options)
    assert not (place / "refused").exists()


@pytest.mark.parametrize("task", ["token-classification", "question-answering", "multiple-choice", "ranking"])
def test_the_other_tasks(task, tmp_path, small_tokenizer):
    """One answer a record, in order; a query's documents are in one fold."""
    file = write_examples(tmp_path, task, PROSE)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUICK)
    settings = {"folds": 2, "framework": "torch", "device": "cpu", "epochs": 1, "learning_rate": 1e-3}
    *_, total = finetune(task, file, tmp_path / "out", start, **settings)
    assert total["folds"] == 2
    found = lines(tmp_path / "out" / "predictions.jsonl")
    records = load_data(task, file)
    assert [row["line"] for row in found] == [record.line for record in records]
    if task == "ranking":
        folds = {}
        for row, record in zip(found, records, strict=True):
            folds.setdefault(record.values["query"], set()).add(row["fold"])
        assert all(len(own) == 1 for own in folds.values())
