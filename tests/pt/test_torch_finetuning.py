"""The PyTorch training loop: pieces, processes, resuming, mixed precision, heads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, InputError
from deberta_core.errors import DebertaWarning
from deberta_dual import pipeline
from deberta_dual.finetuning import Start, TrainingOptions, finetune
from deberta_torch import DebertaV2ForSequenceClassification
from tests.finetuning_data import QUIET, SIZES, small_start, write_examples

TRAINING = {"epochs": 3, "batch_size": 4, "learning_rate": 1e-3}
TASK = "text-classification"


@pytest.fixture
def file(tmp_path, prose):
    return write_examples(tmp_path, TASK, prose)


@pytest.fixture
def start(tmp_path, small_tokenizer):
    return small_start(tmp_path / "tokenizer", small_tokenizer)


def run(file, output, start, *, task=TASK, report=None, resume=False, max_length=None, **training):
    return finetune(
        task,
        file,
        output,
        start,
        TrainingOptions(**{**TRAINING, **training}),
        eval_data=file,
        framework="torch",
        device="cpu",
        report=report,
        resume=resume,
        max_length=max_length,
    )


def weights(folder):
    return DebertaV2ForSequenceClassification.from_pretrained(folder).state_dict()


def without_times(rows):
    return [{name: value for name, value in row.items() if name != "tokens_per_second"} for row in rows]


def close(left, right, quantity="training curve, AdamW"):
    for one, other in zip(left, right, strict=True):
        assert_close(np.array([one["loss"]]), np.array([other["loss"]]), quantity=quantity, name="loss")


def test_the_same_settings_give_the_same_model(file, start, tmp_path):
    rows = [run(file, tmp_path / name, start) for name in "ab"]
    assert without_times(rows[0]) == without_times(rows[1])
    first, second = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_gives_another_model(file, start, tmp_path):
    rows = [run(file, tmp_path / str(seed), start, seed=seed) for seed in (0, 1)]
    assert rows[0][0]["loss"] != rows[1][0]["loss"]


def test_a_killed_run_goes_on_to_the_same_end(file, start, tmp_path):
    """Dropout is on: its random numbers must go on as well."""
    whole = run(file, tmp_path / "whole", start, evaluate_every=3)

    class Killed(BaseException):
        pass

    def kill(row):
        if row["step"] == 6:
            raise Killed

    with pytest.raises(Killed):
        run(file, tmp_path / "killed", start, evaluate_every=3, report=kill)
    assert (tmp_path / "killed" / "training").is_dir()
    resumed = run(file, tmp_path / "killed", start, evaluate_every=3, resume=True)
    assert without_times(resumed) == without_times(whole)
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not (tmp_path / "killed" / "training").exists()


def test_a_run_is_not_resumed_with_other_settings(file, start, tmp_path):
    def kill(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(file, tmp_path / "killed", start, report=kill)
    with pytest.raises(InputError, match=r"learning_rate=0\.001, this one 0\.01"):
        run(file, tmp_path / "killed", start, learning_rate=1e-2, resume=True)


@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
def test_pieces_change_nothing(task, prose, tmp_path, small_tokenizer):
    """Also where they hold different numbers of labels."""
    file = write_examples(tmp_path, task, prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    close(
        run(file, tmp_path / "one", start, task=task, batch_size=6),
        run(file, tmp_path / "three", start, task=task, batch_size=6, accumulation=3),
    )


def in_two_processes(task, file, output, start, *more):
    """Runs the command in two processes that `torchrun` starts; the rows that it prints."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command += ["-m", "deberta_dual.cli", "finetune", f"--task={task}", f"--data={file}", *more]
    command += [f"--output={output}", "--framework=torch", "--device=cpu"]
    command += ["--preset=deberta-v3-small", f"--tokenizer={start.tokenizer}"]
    command += [f"--{name.replace('_', '-')}={value}" for name, value in TRAINING.items()]
    command += ["--config", *(f"{name}={value}" for name, value in {**SIZES, **QUIET}.items())]
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_two_processes_learn_what_one_does(prose, tmp_path, small_tokenizer):
    """15 examples in steps of 4: the last step leaves one process with a smaller part than the other."""
    task = "token-classification"
    file = write_examples(tmp_path, task, prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    one = run(file, tmp_path / "one", start, task=task)
    two = in_two_processes(task, file, tmp_path / "two", start, f"--eval-data={file}")
    close(one, two)
    assert [row["step"] for row in two] == [row["step"] for row in one]
    assert (tmp_path / "two" / "model.safetensors").exists()


def test_two_processes_make_the_folds_of_one(file, tmp_path, small_tokenizer):
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    settings = {"folds": 3, "framework": "torch", "device": "cpu"}
    one = finetune(TASK, file, tmp_path / "one", start, TrainingOptions(**TRAINING), **settings)
    two = in_two_processes(TASK, file, tmp_path / "two", start, "--folds=3")
    assert two[-1]["folds"] == 3
    assert two[-1]["mean"]["eval_accuracy"] == one[-1]["mean"]["eval_accuracy"]
    answers = ((tmp_path / name / "predictions.jsonl").read_text().splitlines() for name in ("one", "two"))
    for own, other in zip(*(map(json.loads, lines) for lines in answers), strict=True):
        assert (own["line"], own["fold"]) == (other["line"], other["fold"])
        found, wanted = ({one["label"]: one["score"] for one in row["labels"]} for row in (other, own))
        scores = (np.array([row[name] for name in sorted(wanted)]) for row in (found, wanted))
        assert_close(*scores, quantity="training curve, AdamW", name=f"line {own['line']}")


def test_early_stopping_keeps_the_best(file, start, tmp_path):
    rows = run(file, tmp_path / "out", start, epochs=50, evaluate_every=1, patience=3, learning_rate=0.0)
    assert len(rows) == 4  # the first is the best, since the model does not change
    assert not (tmp_path / "out" / "training").exists()


def test_layers_learn_by_their_height(file, start, tmp_path):
    """With no rate below the head, only the head moves."""
    start_weights = run_untrained(file, start, tmp_path / "before")
    run(file, tmp_path / "after", start, layer_decay=0.0)
    after = weights(tmp_path / "after")
    moved = {name for name in after if not torch.equal(after[name], start_weights[name])}
    assert moved == {"pooler.dense.weight", "pooler.dense.bias", "classifier.weight", "classifier.bias"}


def run_untrained(file, start, output):
    run(file, output, start, epochs=1, learning_rate=0.0, weight_decay=0.0)
    return weights(output)


def test_mixed_precision_learns(file, start, tmp_path):
    rows = run(file, tmp_path / "out", start, dtype="bfloat16", epochs=6)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert next(iter(weights(tmp_path / "out").values())).dtype == torch.float32


def test_other_classes_get_a_new_classifier(file, start, tmp_path, capsys):
    """Of a model with as many classes under other names, and of one with other numbers; its own names are kept."""
    run(file, tmp_path / "first", start, epochs=1, learning_rate=0.0)
    first = weights(tmp_path / "first")
    again = run(file, tmp_path / "again", Start(model=tmp_path / "first"), epochs=1, learning_rate=0.0)
    assert again
    assert torch.equal(weights(tmp_path / "again")["classifier.weight"], first["classifier.weight"])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    names = {"long": "lang", "short": "kurz", "even": "gerade"}
    file.write_text("\n".join(json.dumps({**line, "label": names[line["label"]]}) for line in lines))
    with pytest.warns(DebertaWarning, match=r"has no classifier.*They start fresh"):
        run(file, tmp_path / "other", Start(model=tmp_path / "first"), epochs=1, learning_rate=0.0)
    other = weights(tmp_path / "other")
    assert not torch.equal(other["classifier.weight"], first["classifier.weight"])
    assert torch.equal(other["pooler.dense.weight"], first["pooler.dense.weight"])
    assert DebertaV2Config.from_pretrained(tmp_path / "other").id2label == {0: "gerade", 1: "kurz", 2: "lang"}


def test_the_pipeline_answers_with_what_was_learnt(file, start, tmp_path):
    rows = run(file, tmp_path / "out", start, epochs=40, learning_rate=3e-3, max_length=128)
    examples = [json.loads(line) for line in file.read_text().splitlines()]
    classify = pipeline(TASK, tmp_path / "out", framework="torch", device="cpu", max_length=128)
    found = classify([{name: example[name] for name in ("text", "text_pair")} for example in examples])
    right = np.mean([answer["label"] == example["label"] for answer, example in zip(found, examples, strict=True)])
    assert right == max(row["eval_accuracy"] for row in rows)
    assert right > 0.8
