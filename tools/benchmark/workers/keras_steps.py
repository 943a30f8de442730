"""What the Keras libraries share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tools.benchmark.inputs import Batches

Settings = dict[str, Any]
Call = Callable[[], Any]
LEARNING_RATE = 1e-5
DROPOUT = 0.1


def config(settings: Settings) -> dict[str, Any]:
    """The checkpoint's config.json."""
    found: dict[str, Any] = json.loads((Path(settings["folder"]) / "config.json").read_text(encoding="utf-8"))
    return found


def predicting(keras: Any, model: Any, inputs: Any, jit: Any) -> Call:
    """Calls of `predict_on_batch`."""
    model.compile(jit_compile=jit)
    return lambda: model.predict_on_batch(inputs)


def training(keras: Any, model: Any, inputs: Any, labels: Any, jit: Any) -> Call:
    """Steps of `train_on_batch` with AdamW and cross-entropy."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(LEARNING_RATE), loss, jit_compile=jit)
    return lambda: model.train_on_batch(inputs, labels)


def named(batches: Batches, ids: str, mask: str) -> dict[str, Any]:
    """The first batch, its inputs under the names a library has for them."""
    return {ids: batches.ids[0].astype(np.int32), mask: batches.masks[0].astype(np.int32)}


def outputs(result: Any) -> list[np.ndarray[Any, Any]]:
    """The hidden states of the one batch."""
    result = getattr(result, "last_hidden_state", result)
    return [np.asarray(result, dtype=np.float32)]
