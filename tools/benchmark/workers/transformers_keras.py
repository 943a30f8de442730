"""transformers 4 in TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras
from transformers import TFAutoModel, TFAutoModelForSequenceClassification, TFDebertaV2Model  # noqa: F401

from tools.benchmark.inputs import Batches
from tools.benchmark.workers import keras_steps
from tools.benchmark.workers.keras_steps import Call, Settings, named, outputs

__all__ = ["SUBJECTS", "outputs"]


def load(kind: Any, settings: Settings) -> Any:
    """A model of an Auto class, from the tf_model.h5 beside the checkpoint."""
    return kind.from_pretrained(Path(settings["folder"]) / "h5")


def function(settings: Settings, batches: Batches) -> Call:
    """Inference in a `tf.function`, with XLA if `jit`; faster than its `predict_on_batch`."""
    model = load(TFAutoModel, settings)
    inputs = {name: tf.constant(value) for name, value in named(batches, "input_ids", "attention_mask").items()}

    @tf.function(jit_compile=settings["jit"])
    def forward(inputs: Any) -> Any:
        return model(inputs, training=False).last_hidden_state

    return lambda: forward(inputs).numpy()


def training(settings: Settings, batches: Batches) -> Call:
    """Steps of `train_on_batch`."""
    assert batches.labels
    model = load(TFAutoModelForSequenceClassification, settings)
    inputs = named(batches, "input_ids", "attention_mask")
    return keras_steps.training(tf_keras, model, inputs, batches.labels[0], settings["jit"])


def loading(settings: Settings, batches: Batches) -> Call:
    """Loads a checkpoint and answers once, without a graph."""
    inputs = named(batches, "input_ids", "attention_mask")
    return lambda: load(TFAutoModel, settings)(inputs).last_hidden_state.numpy()


SUBJECTS = {"function": function, "training": training, "loading": loading}
