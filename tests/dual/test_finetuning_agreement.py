"""`finetune` gives the same losses and scores in both frameworks, step by step: one optimizer, one order, one loss."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core.tokenization import DebertaV2Tokenizer
from deberta_dual.finetuning import FINETUNE_TASKS, TrainingOptions, finetune
from tests.conftest import PROSE
from tests.finetuning_data import QUIET, small_start, write_examples

# Two epochs of 15 sentences, clipped, with decay by layer and a smaller batch at the end; in pieces where labels differ
# most in number. Keras traces a graph for each task, which takes seconds: two of them are for every day.
TRAINING = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "layer_decay": 0.8, "clip": 0.5, "evaluate_every": 1}
QUICK = ("token-classification", "question-answering")
# Scores that are made of logits; all others count answers, and are equal.
NUMBERS = {"eval_loss", "eval_perplexity"}
PIECES = {"token-classification": 2}


@pytest.fixture(scope="module")
def tokenizer():
    """A tokenizer trained on the sentences."""
    return DebertaV2Tokenizer.train(PROSE, 500, model_max_length=64)


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=() if task in QUICK else pytest.mark.slow) for task in FINETUNE_TASKS]
)
def test_both_frameworks_learn_alike(task, tokenizer, tmp_path):
    file = write_examples(tmp_path, task, PROSE)
    start = small_start(tmp_path / "tokenizer", tokenizer, **QUIET)
    training = TrainingOptions(**TRAINING, accumulation=PIECES.get(task, 1))
    rows = {
        framework: finetune(
            task, file, tmp_path / framework, start, training, eval_data=file, framework=framework, device="cpu"
        )
        for framework in ("torch", "tf")
    }
    losses = {framework: np.array([row["loss"] for row in own]) for framework, own in rows.items()}
    steps = len(losses["torch"])
    assert steps >= 8
    assert losses["torch"][-1] != losses["torch"][0]
    for step in range(steps):
        assert_close(
            losses["tf"][step : step + 1],
            losses["torch"][step : step + 1],
            quantity="training curve, AdamW",
            name=f"{task}, loss of step {step}",
        )
    names = [name for name in rows["torch"][-1] if name.startswith("eval_")]
    assert names
    found, wanted = ({name: rows[framework][-1][name] for name in names} for framework in ("tf", "torch"))
    for name in NUMBERS & found.keys():
        pair = (np.array([scores.pop(name)]) for scores in (found, wanted))
        assert_close(*pair, quantity="training curve, AdamW", name=f"{task}, {name}")
    assert found == wanted
