"""Trains a small model of ours with transformers' Trainer, in an environment that has it; prints lines of JSON.

The models are given to it as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import accelerate
import numpy as np
import torch
import transformers

from deberta_core import DebertaV2TokenizerFast
from deberta_core.errors import ConfigError
from deberta_torch import (
    DebertaConfig,
    DebertaForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForQuestionAnswering,
    DebertaV2ForSequenceClassification,
    DebertaV2ForTokenClassification,
)
from tools.clients.report import report

ENVIRONMENTS = ("hf4", "hf5")
TEXTS = ["a film that never loses its nerve", "two hours I would like to have back", "it is good", "so very bad"] * 8
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
VERSION = int(transformers.__version__.split(".")[0])


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Examples as a map-style data set."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def make_tokenizer() -> Any:
    """A small vocabulary."""
    return DebertaV2TokenizerFast.train(TEXTS, vocab_size=320, hard_vocab_limit=False)


def arguments(folder: Path, **options: Any) -> transformers.TrainingArguments:
    """Eight steps on the CPU, saved every four."""
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 8,
        "num_train_epochs": 2,
        "learning_rate": 5e-3,
        "save_strategy": "steps",
        "save_steps": 4,
        "eval_strategy": "steps",
        "eval_steps": 4,
        "load_best_model_at_end": True,
        "logging_steps": 2,
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 0,
    }
    return transformers.TrainingArguments(**settings | options)


def accuracy(prediction: Any) -> dict[str, float]:
    """The share of right classes, of those that count."""
    right = prediction.predictions.argmax(-1) == prediction.label_ids
    return {"accuracy": float(right[prediction.label_ids != -100].mean())}


def train(model: Any, rows: list[dict[str, Any]], collate: Any, folder: Path, **options: Any) -> Any:
    """Trains, evaluates, predicts with and without labels, resumes, and saves; asserts what each gives."""
    # Trainer takes the labels away for label smoothing, and of a tuple without a loss it drops the first entry.
    sees_logits = "label_smoothing_factor" not in options
    metrics = accuracy if sees_logits and "start_positions" not in rows[0] else None
    make = {"train_dataset": Rows(rows), "eval_dataset": Rows(rows), "data_collator": collate}
    trainer = transformers.Trainer(model, arguments(folder, **options), compute_metrics=metrics, **make)
    before = trainer.evaluate()
    done = trainer.train()
    after = trainer.evaluate()
    assert done.global_step == 8
    assert after["eval_loss"] < before["eval_loss"] < 10
    predicted = trainer.predict(Rows(rows))
    assert predicted.metrics["test_loss"] == after["eval_loss"]
    bare = [
        {k: v for k, v in row.items() if k not in ("label", "labels", "start_positions", "end_positions")}
        for row in rows
    ]
    without = trainer.predict(Rows(bare)).predictions
    for one, other in zip(_arrays(predicted.predictions), _arrays(without), strict=sees_logits):
        np.testing.assert_array_equal(one, other)
    resumed = transformers.Trainer(type(model)(model.config), arguments(folder, **options), **make)
    resumed.train(resume_from_checkpoint=str(folder / "checkpoint-4"))
    assert resumed.state.global_step == 8
    return trainer


def check_saved(trainer: Any, folder: Path) -> None:
    """`save_model` writes the weights alone of a model that is not transformers' own: a configuration is missing."""
    model = trainer.model
    trainer.save_model(str(folder))
    try:
        type(model).from_pretrained(folder)
    except ConfigError as problem:
        message = str(problem)
    assert "config.save_pretrained" in message
    with_config = type(model).from_pretrained(folder, config=model.config)
    model.config.save_pretrained(folder)
    loaded = type(model).from_pretrained(folder)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
        assert torch.equal(with_config.state_dict()[name], value), name


def _arrays(predictions: Any) -> list[Any]:
    return list(predictions) if isinstance(predictions, tuple) else [predictions]


def sequences(folder: Path) -> None:
    """Sequence classification with transformers' DataCollatorWithPadding and our tokenizer."""
    tokenizer = make_tokenizer()
    config = DebertaV2Config(vocab_size=len(tokenizer), position_buckets=8, max_position_embeddings=64, **SIZES)
    rows = [{**tokenizer(text), "label": number % 2} for number, text in enumerate(TEXTS)]
    collate = transformers.DataCollatorWithPadding(tokenizer)
    trainer = train(DebertaV2ForSequenceClassification(config), rows, collate, folder)
    check_saved(trainer, folder / "saved")


def smoothed(folder: Path) -> None:
    """Label smoothing, of which no logits are seen in evaluation; v1; gradient checkpointing and accumulation."""
    tokenizer = make_tokenizer()
    config = DebertaConfig(vocab_size=len(tokenizer), relative_attention=True, pos_att_type=("c2p", "p2c"), **SIZES)
    rows = [{**tokenizer(text), "label": number % 2} for number, text in enumerate(TEXTS)]
    collate = transformers.DataCollatorWithPadding(tokenizer)
    options = {"label_smoothing_factor": 0.1, "gradient_checkpointing": True, "gradient_accumulation_steps": 1}
    trainer = train(DebertaForSequenceClassification(config), rows, collate, folder, **options)
    assert trainer.model.is_gradient_checkpointing


def tokens(folder: Path) -> None:
    """Token classification with transformers' DataCollatorForTokenClassification and our tokenizer."""
    tokenizer = make_tokenizer()
    config = DebertaV2Config(vocab_size=len(tokenizer), num_labels=3, **SIZES)
    rows = [dict(tokenizer(text)) for text in TEXTS]
    rows = [{**row, "labels": [number % 3 for number in row["input_ids"]]} for row in rows]
    collate = transformers.DataCollatorForTokenClassification(tokenizer)
    train(DebertaV2ForTokenClassification(config), rows, collate, folder)


def answers(folder: Path) -> None:
    """Question answering: two arrays of logits and two of labels; outputs as a plain tuple and with hidden states."""
    tokenizer = make_tokenizer()
    config = DebertaV2Config(vocab_size=len(tokenizer), **SIZES)
    rows = [dict(tokenizer(text)) | {"start_positions": 1, "end_positions": 2} for text in TEXTS]
    train(DebertaV2ForQuestionAnswering(config), rows, transformers.DataCollatorWithPadding(tokenizer), folder)


def prepared(folder: Path) -> None:
    """prepare, backward, gather_for_metrics, save_state, load_state, unwrap_model, save_pretrained(state_dict=...)."""
    tokenizer = make_tokenizer()
    model = DebertaV2ForSequenceClassification(DebertaV2Config(vocab_size=len(tokenizer), **SIZES))
    accelerator = accelerate.Accelerator(cpu=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    rows = [{**tokenizer(text), "labels": number % 2} for number, text in enumerate(TEXTS)]
    loader = torch.utils.data.DataLoader(
        Rows(rows), batch_size=8, collate_fn=transformers.DataCollatorWithPadding(tokenizer)
    )
    prepared_model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    for batch in loader:
        outputs = prepared_model(**batch)
        accelerator.backward(outputs.loss)
        optimizer.step()
        optimizer.zero_grad()
    gathered = accelerator.gather_for_metrics(outputs)
    assert type(gathered) is type(outputs)
    bare = accelerator.unwrap_model(prepared_model)
    assert bare is model
    bare.save_pretrained(
        folder, is_main_process=accelerator.is_main_process, state_dict=accelerator.get_state_dict(prepared_model)
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    accelerator.save_state(folder / "state")
    with torch.no_grad():
        model.classifier.weight.zero_()
    accelerator.load_state(folder / "state")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    loaded = type(model).from_pretrained(folder)
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in model.state_dict().items())


CHECKS: dict[str, Callable[[Path], None]] = {
    "sequence classification, DataCollatorWithPadding: train, evaluate, predict, resume, save_model": sequences,
    "label smoothing, gradient checkpointing, v1": smoothed,
    "token classification, DataCollatorForTokenClassification": tokens,
    "question answering": answers,
}


def main() -> None:
    """Runs every check."""
    for check in CHECKS.values():
        with tempfile.TemporaryDirectory() as folder:
            check(Path(folder))
    report("transformers", [f"Trainer: {name}" for name in CHECKS])
    with tempfile.TemporaryDirectory() as folder:
        prepared(Path(folder))
    report("accelerate", [prepared.__doc__ or ""])


if __name__ == "__main__":
    main()
