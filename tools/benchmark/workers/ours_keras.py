"""This library in Keras."""

from __future__ import annotations

import keras

import deberta_tf
from tools.benchmark.inputs import Batches
from tools.benchmark.workers import keras_steps
from tools.benchmark.workers.keras_steps import Call, Settings, named, outputs

__all__ = ["SUBJECTS", "outputs"]


def predicting(settings: Settings, batches: Batches) -> Call:
    """Calls of `predict_on_batch`."""
    model = deberta_tf.TFAutoModel.from_pretrained(settings["folder"])
    return keras_steps.predicting(keras, model, named(batches, "input_ids", "attention_mask"), settings["jit"])


def training(settings: Settings, batches: Batches) -> Call:
    """Steps of `train_on_batch`."""
    assert batches.labels
    model = deberta_tf.TFAutoModelForSequenceClassification.from_pretrained(settings["folder"])
    inputs = named(batches, "input_ids", "attention_mask")
    return keras_steps.training(keras, model, inputs, batches.labels[0], settings["jit"])


def loading(settings: Settings, batches: Batches) -> Call:
    """Loads a checkpoint and answers once, without a graph."""
    inputs = named(batches, "input_ids", "attention_mask")
    load = deberta_tf.TFAutoModel.from_pretrained
    return lambda: keras.ops.convert_to_numpy(load(settings["folder"])(inputs).last_hidden_state)


SUBJECTS = {"predicting": predicting, "training": training, "loading": loading}
