"""Models as SavedModels and LiteRT files, by Keras."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import deberta_tf
from deberta_core.tasks import task_spec

if TYPE_CHECKING:
    from deberta_dual.exporting.source import Run, Source


def write_saved_model(source: Source, file: Path, dtype: str) -> None:
    """Writes a source as a SavedModel; `file` is its saved_model.pb."""
    _model(source).export(file.parent, verbose=False)


def write_litert(source: Source, file: Path, dtype: str) -> None:
    """Writes a source as a `.tflite` file."""
    _model(source).export(file, format="litert", verbose=False)


def load_saved_model(file: Path) -> Run:
    """The signature of int64 of a SavedModel as a function of named arrays."""
    served = tf.saved_model.load(str(file.parent)).signatures["serving_int64"]

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs = served(**{name: tf.constant(array, tf.int64) for name, array in inputs.items()})
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def load_litert(file: Path) -> Run:
    """A `.tflite` file as a function of named arrays."""
    interpreter = tf.lite.Interpreter(str(file))
    served = interpreter.get_signature_runner()

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        outputs: dict[str, NDArray[Any]] = served(**{name: np.int32(array) for name, array in inputs.items()})
        return outputs

    return run


def _model(source: Source) -> Any:
    model_class = getattr(deberta_tf, f"TF{task_spec(source.task).auto_class}").classes[source.config.model_type]
    return model_class.from_pretrained(source.folder, source.config)
