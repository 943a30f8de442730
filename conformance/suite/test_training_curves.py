"""PyTorch and Keras learn alike: with dropout off, the same weights and the same real text give the same losses."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.suite.adapters import KerasAdapter, TorchAdapter
from conformance.suite.cases import CASES, random_params
from conformance.suite.compare import assert_close
from deberta_core.config import BaseConfig
from deberta_core.tokenization import DebertaV2Tokenizer

TEXT = """
The lighthouse was built of granite in 1858, and its lamp could be seen for eighteen miles on a clear night.
Each keeper wrote a line in the log at dawn: the wind, the state of the sea, and the names of the ships that had passed.
"It isn't lonely," the last of them said, "when you've got weather like ours for company."
On the fourth of March the fog lasted for sixty hours, and two men took turns at the bell.
Supplies came once a fortnight, unless the landing was under water; then there was only bread and dried fish.
In 1931 the oil lamp was replaced by an electric one, which needed nobody to trim its wick.
Das Licht brannte jede Nacht, auch im Krieg, nur schwächer; niemand weiß heute, wer es angezündet hat.
The machine that turned the lens weighed four tons and floated on mercury, so that a child could push it round.
Birds flew against the glass in October, hundreds of them in one night, and were counted in the morning.
Since the tower was closed, a small solar panel does the work of three families.
""".strip().split("\n")
STEPS, ROWS, CLASSES = 50, 5, 3
QUIET = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
RATES = {"sgd": 0.002, "adamw": 1e-3}  # with more, SGD on masked LM overshoots, and rounding grows without bound
# Every version and every task is quick once; the rest is marked slow.
QUICK = {("v1_like", "masked_lm"), ("v3_like", "question_answering"), ("v3_like", "sequence_classification")}
RUNS = [
    pytest.param(name, task, marks=() if (name, task) in QUICK else pytest.mark.slow)
    for name in ("v1_like", "v3_like")
    for task in ("sequence_classification", "masked_lm", "question_answering")
]


@pytest.fixture(scope="module")
def tokenizer() -> DebertaV2Tokenizer:
    """A tokenizer trained on `TEXT`."""
    return DebertaV2Tokenizer.train(TEXT, 400, model_max_length=64)


def prepare(name: str, task: str, tokenizer: DebertaV2Tokenizer):
    """Configuration, task, weights, and the batches of 50 steps: real sentences, labelled by what is in them."""
    config: BaseConfig = CASES[name].config.replace(
        vocab_size=len(tokenizer), num_labels=CLASSES, num_hidden_layers=2, **QUIET
    )
    encoded = tokenizer(TEXT, padding=True, truncation=True, max_length=24, return_tensors="np")
    inputs = {name: np.asarray(encoded[name]) for name in ("input_ids", "attention_mask")}
    ids, mask, rows = inputs["input_ids"], inputs["attention_mask"] == 1, np.arange(len(TEXT))
    labels = {
        "sequence_classification": {"labels": np.array([len(text) for text in TEXT]) % CLASSES},
        "masked_lm": {"labels": np.where(mask & (ids % 4 == 0), ids, -100)},
        "question_answering": {"start_positions": rows % 7, "end_positions": rows % 7 + 2},
    }[task]
    if task == "masked_lm":
        inputs["input_ids"] = np.where(labels["labels"] >= 0, tokenizer.mask_token_id, ids)
    whole = inputs | labels
    batches = [
        {name: values[np.arange(step * ROWS, (step + 1) * ROWS) % len(TEXT)] for name, values in whole.items()}
        for step in range(STEPS)
    ]
    return config, task, random_params(config, task), batches


def torch_curve(config, task, params, batches, optimizer):
    import torch

    model = TorchAdapter(config, task, params).model.train()
    make = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer]
    options = {} if optimizer == "sgd" else {"eps": 1e-8, "weight_decay": 0.01}
    steps = make(model.parameters(), lr=RATES[optimizer], **options)
    losses = []
    for batch in batches:
        steps.zero_grad()
        loss = model(**{name: torch.from_numpy(values) for name, values in batch.items()}).loss
        loss.backward()
        steps.step()
        losses.append(loss.item())
    return np.array(losses)


def keras_curve(config, task, params, batches, optimizer):
    import keras

    model = KerasAdapter(config, task, params).model
    make = {"sgd": keras.optimizers.SGD, "adamw": keras.optimizers.AdamW}[optimizer]
    options = {} if optimizer == "sgd" else {"epsilon": 1e-8, "weight_decay": 0.01}
    model.compile(optimizer=make(RATES[optimizer], **options), jit_compile=False)  # XLA's compiler takes longer
    labels = model.spec.labels
    losses = []
    for batch in batches:
        x = {name: values for name, values in batch.items() if name not in labels}
        model.reset_metrics()  # Keras 3.8 gives the mean of the batches since
        losses.append(float(model.train_on_batch(x, {name: batch[name] for name in labels})))
    return np.array(losses)


def curves(name, task, optimizer, tokenizer):
    prepared = prepare(name, task, tokenizer)
    return (curve(*prepared, optimizer) for curve in (keras_curve, torch_curve))


@pytest.mark.parametrize(("name", "task"), RUNS)
def test_plain_sgd(name, task, tokenizer):
    actual, expected = curves(name, task, "sgd", tokenizer)
    assert expected[-len(expected) // 5 :].mean() < 0.95 * expected[: len(expected) // 5].mean()  # it does learn
    for step, (one, other) in enumerate(zip(actual, expected, strict=True)):
        assert_close(one, other, quantity="training curve", name=f"loss of step {step}")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [("v3_like", "masked_lm")])
def test_adamw(name, task, tokenizer):
    actual, expected = curves(name, task, "adamw", tokenizer)
    for step, (one, other) in enumerate(zip(actual, expected, strict=True)):
        assert_close(one, other, quantity="training curve, AdamW", name=f"loss of step {step}")
