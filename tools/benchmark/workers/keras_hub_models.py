"""keras-hub, which reads no checkpoints of transformers for DeBERTa: its weights are its own."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub

from tools.benchmark.inputs import Batches
from tools.benchmark.workers import keras_steps
from tools.benchmark.workers.keras_steps import DROPOUT, Call, Settings, config, named


def backbone(settings: Settings) -> Any:
    """A model of the checkpoint's shape."""
    found = config(settings)
    return keras_hub.models.DebertaV3Backbone(
        vocabulary_size=found["vocab_size"],
        num_layers=found["num_hidden_layers"],
        num_heads=found["num_attention_heads"],
        hidden_dim=found["hidden_size"],
        intermediate_dim=found["intermediate_size"],
        dropout=DROPOUT,
    )


def predicting(settings: Settings, batches: Batches) -> Call:
    """Calls of `predict_on_batch`."""
    inputs = named(batches, "token_ids", "padding_mask")
    return keras_steps.predicting(keras, backbone(settings), inputs, settings["jit"])


def training(settings: Settings, batches: Batches) -> Call:
    """Steps of `train_on_batch`."""
    assert batches.labels
    model = keras_hub.models.DebertaV3TextClassifier(backbone(settings), num_classes=2, dropout=DROPOUT)
    inputs = named(batches, "token_ids", "padding_mask")
    return keras_steps.training(keras, model, inputs, batches.labels[0], settings["jit"])


SUBJECTS = {"predicting": predicting, "training": training}
