"""Keras' export formats, each run by its own runtime and compared with the model.

Run with TensorFlow, openvino and this library installed; prints one line of JSON for each format.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from deberta_core.errors import InputError
from deberta_tf import (
    DebertaConfig,
    DebertaV2Config,
    TFDebertaForSequenceClassification,
    TFDebertaV2ForTokenClassification,
)
from tools.clients.report import report

ENVIRONMENTS = ("keras",)
SIZES: dict[str, Any] = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 40, "relative_attention": True, "pos_att_type": "c2p|p2c", "initializer_range": 0.1}
MODELS = (
    lambda: TFDebertaForSequenceClassification(DebertaConfig(**SIZES)),
    lambda: TFDebertaV2ForTokenClassification(DebertaV2Config(**SIZES, position_buckets=8, norm_rel_ebd="layer_norm")),
)
LENGTHS = ((1, 5), (3, 24))  # of any B and L
Run = Callable[[dict[str, np.ndarray]], np.ndarray]


def saved_model(folder: Path, model: Any) -> Run:
    """By plain TensorFlow."""
    import tensorflow as tf

    model.export(folder, verbose=False)
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return lambda inputs: serve(**{name: tf.constant(value) for name, value in inputs.items()})["logits"].numpy()


def litert(folder: Path, model: Any) -> Run:
    """By TensorFlow Lite's interpreter."""
    import tensorflow as tf

    model.export(folder / "model.tflite", format="litert", verbose=False)
    interpreter = tf.lite.Interpreter(model_path=str(folder / "model.tflite"))
    (name,) = interpreter.get_signature_list()

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        found = interpreter.get_signature_runner(name)(**inputs)
        return next(iter(found.values()))

    return run


def openvino(folder: Path, model: Any) -> Run:
    """By OpenVINO on a CPU, in float32."""
    import openvino

    model.export(folder / "model.xml", format="openvino", verbose=False)
    compiled = openvino.compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda inputs: next(iter(compiled(inputs).values()))


FORMATS: dict[str, tuple[str, Callable[[Path, Any], Run]]] = {
    "tf_saved_model": ("tensorflow-cpu", saved_model),
    "litert": ("tensorflow-cpu", litert),
    "openvino": ("openvino", openvino),
}


def inputs_of(rows: int, length: int) -> dict[str, np.ndarray]:
    """Ids and a mask with padding, both `[B, L]`."""
    ids = np.arange(rows * length).reshape(rows, length) % 49 + 1
    mask = np.ones((rows, length))
    mask[-1, length // 2 :] = 0
    return {"input_ids": ids.astype(np.int32), "attention_mask": mask.astype(np.int32)}


def check(format: str) -> None:
    """Exports, runs and compares the logits of real tokens."""
    package, export = FORMATS[format]
    worst = 0.0
    for make in MODELS:
        model = make()
        with tempfile.TemporaryDirectory() as folder:
            run = export(Path(folder), model)
            for size in LENGTHS:
                inputs = inputs_of(*size)
                expected, found = np.asarray(model(inputs).logits), run(inputs)
                kept = inputs["attention_mask"].astype(bool) if found.ndim == 3 else slice(None)
                worst = max(worst, float(np.abs(found - expected)[kept].max()))
    assert worst < 2e-5, worst
    report(f"export {format}", [f"any length, within {worst:.0e}"], package=package)


def refused() -> None:
    """What is not written says why."""
    for format in ("onnx", "torch"):
        with pytest.raises(InputError, match="is not written"):
            MODELS[0]().export("nowhere", format=format)
    report("export onnx, torch", ["refused with the reason"], package="keras")


if __name__ == "__main__":
    for name in sys.argv[1:] or FORMATS:
        check(name)
    refused()
