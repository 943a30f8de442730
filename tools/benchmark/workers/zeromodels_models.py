"""ZeroModels, with weights of its own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from zeromodels.models.deberta_v3.deberta_v3_model import DebertaV3Model, DebertaV3SequenceClassify

from tools.benchmark.inputs import Batches
from tools.benchmark.workers import keras_steps
from tools.benchmark.workers.keras_steps import DROPOUT, Call, Settings, config, named


def build(kind: Any, settings: Settings, **options: Any) -> Any:
    """A model of the checkpoint's shape."""
    found = config(settings)
    return kind(
        vocab_size=found["vocab_size"],
        embed_dim=found["hidden_size"],
        num_layers=found["num_hidden_layers"],
        num_heads=found["num_attention_heads"],
        mlp_dim=found["intermediate_size"],
        dropout=DROPOUT,
        attention_dropout=DROPOUT,
        **options,
    )


def with_types(batches: Batches) -> dict[str, Any]:
    """The first batch, and the token types it asks for."""
    inputs = named(batches, "input_ids", "attention_mask")
    return {**inputs, "token_type_ids": np.zeros_like(inputs["input_ids"])}


def predicting(settings: Settings, batches: Batches) -> Call:
    """Calls of `predict_on_batch`."""
    return keras_steps.predicting(keras, build(DebertaV3Model, settings), with_types(batches), settings["jit"])


def training(settings: Settings, batches: Batches) -> Call:
    """Steps of `train_on_batch`."""
    assert batches.labels
    model = build(DebertaV3SequenceClassify, settings, num_classes=2)
    return keras_steps.training(keras, model, with_types(batches), batches.labels[0], settings["jit"])


SUBJECTS = {"predicting": predicting, "training": training}
