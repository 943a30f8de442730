"""Keras on TensorFlow as a `Backend`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

import deberta_tf
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.parameters import expand
from deberta_core.tasks import task_spec
from deberta_dual.backends.protocol import ArrayModel, Arrays
from deberta_dual.backends.tf_devices import named, on_device, policy_of, present
from deberta_dual.backends.tf_training import fit
from deberta_tf.weights import assign

if TYPE_CHECKING:
    from deberta_dual.finetuning.run import Run

# Batches a model computes op by op, before the seconds that a graph takes to make are likely to pay.
EAGER_BATCHES = 8


def is_model(model: Any) -> bool:
    """See `Backend.is_model`."""
    return isinstance(model, keras.Model) and hasattr(model, "config") and hasattr(model, "task")


def load_model(folder: Path, task: str | None, device: Any = None, dtype: Any = None, **options: Any) -> Any:
    """See `Backend.load_model`; the dtype is one, or a policy, of Keras."""
    with on_device(device):
        return _auto_class(task).from_pretrained(folder, dtype=policy_of(dtype), **options)


def place_model(model: Any, device: Any) -> Any:
    """See `Backend.place_model`: a model computes on any device it is told, and is moved nowhere."""
    with on_device(device):
        return named(device) or present()[-1]


def tensor(array: NDArray[Any]) -> Any:
    """See `Backend.tensor`."""
    return tf.convert_to_tensor(array)


def array_model(model: Any, device: Any = None) -> ArrayModel:
    """See `Backend.array_model`."""
    return ArrayModel(model.config, model.task, _Runner(model, device), compiles=bool(model.jit_compile))


def trainable_model(
    config: BaseConfig, task: str | None, folder: Path | None, dtype: str, device: Any = None
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """See `Backend.trainable_model`."""
    model_class = _auto_class(task).classes[config.model_type]
    policy = policy_of("mixed_bfloat16" if dtype == "bfloat16" else dtype)
    with on_device(device):
        if folder is None:
            return model_class(config, dtype=policy), tuple(expand(config, task)), ()
        options: dict[str, Any] = {"new_head": True, "ignore_mismatched_sizes": True, "output_loading_info": True}
        model, report = model_class.from_pretrained(folder, config, dtype=policy, **options)
    return model, report.missing, tuple(name for name, *_ in report.mismatched)


def set_parameters(model: Any, arrays: Mapping[str, NDArray[Any]]) -> None:
    """See `Backend.set_parameters`."""
    assign(model, arrays)


def is_finite(model: Any) -> bool:
    """See `Backend.is_finite`."""
    return all(bool(tf.reduce_all(tf.math.is_finite(variable.value))) for variable in model.trainable_variables)


def peak_memory(model: Any) -> int | None:
    """See `Backend.peak_memory`."""
    place = tf.DeviceSpec.from_string(model.weights[0].value.device)
    if place.device_type != "GPU":
        return None
    return int(tf.config.experimental.get_memory_info(f"GPU:{place.device_index}")["peak"])


def save_model(model: Any, folder: Path, adapter: Path | None = None) -> None:
    """See `Backend.save_model`."""
    model.save_pretrained(folder, format="safetensors", max_shard_size=None)
    if adapter is not None:
        model.save_lora_weights(adapter)


def train(model: Any, run: Run, device: Any = None) -> None:
    """See `Backend.train`; it trains with `fit`."""
    with on_device(device):
        fit(model, run)


class _Runner:
    """A model as `ArrayModel.run`: op by op at first, then as one graph for batches of any shape."""

    def __init__(self, model: Any, device: Any) -> None:
        if keras.backend.backend() != "tensorflow":
            raise InputError(f"Keras runs on {keras.backend.backend()!r}. Set KERAS_BACKEND=tensorflow.")
        self._model, self._device, self._batches = model, device, 0
        self._graph: Callable[..., dict[str, Any]] | None = None
        with on_device(device):  # an unknown one is refused here
            pass

    def __call__(self, inputs: Arrays, places: NDArray[Any] | None) -> Arrays:
        self._batches += 1
        padded = None if places is None else self._padded(places)
        with on_device(self._device):
            outputs = self._compute({name: tf.convert_to_tensor(values) for name, values in inputs.items()}, padded)
        found = {name: value.numpy().astype(np.float32) for name, value in outputs.items()}
        return found if places is None else {"logits": found["logits"][: len(places)]}

    def _padded(self, places: NDArray[Any]) -> NDArray[Any]:
        """Places; where a graph is compiled for their number, as many as a power of two, of the first token."""
        more = (1 << (len(places) - 1).bit_length()) - len(places) if self._model.jit_compile else 0
        return np.pad(places, ((0, more), (0, 0)))

    def _compute(self, inputs: dict[str, Any], places: NDArray[Any] | None) -> dict[str, Any]:
        if self._batches <= EAGER_BATCHES:
            return self._outputs(inputs, places)
        if self._graph is None:
            batch = {name: tf.TensorSpec([None] * len(x.shape), tf.int64) for name, x in inputs.items()}
            signature: list[Any] = [batch] if places is None else [batch, tf.TensorSpec([None, 2], tf.int64)]
            jits = bool(self._model.jit_compile)
            self._graph = tf.function(self._outputs, input_signature=signature, jit_compile=jits)
        return self._graph(inputs) if places is None else self._graph(inputs, places)

    def _outputs(self, inputs: dict[str, Any], places: Any = None) -> dict[str, Any]:
        if places is not None:
            return {"logits": self._model.scores_at(places, inputs)}
        return _named_tensors(self._model(inputs, return_dict=True, training=False))


def _named_tensors(output: Any) -> dict[str, Any]:
    return {name: value for name, value in output.items() if hasattr(value, "shape")}


def _auto_class(task: str | None) -> Any:
    return getattr(deberta_tf, f"TF{task_spec(task).auto_class}")
