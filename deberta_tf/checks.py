"""The boundary of a call: concrete inputs and labels are checked once, by the core's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from deberta_core.config import BaseConfig
from deberta_core.inputs import INPUT_NAMES, check_inputs, check_labels, fold_choices
from deberta_core.tasks import TaskSpec
from deberta_tf.inputs import named_labels


def check_call(config: BaseConfig, spec: TaskSpec, inputs: Mapping[str, Any]) -> None:
    """Checks the arguments of a call.

    Values are looked at where there are any: not while a graph is traced (`fit`, `predict`, the functional API,
    export), where TensorFlow on a CPU still refuses ids out of range by itself.

    Args:
        config: the model's configuration.
        spec: the row of its task.
        inputs: inputs and labels by name.

    Raises:
        InputError: what `deberta_core.inputs` refuses.
    """
    if not all(_is_concrete(value) for value in inputs.values()):
        return
    arrays = {name: _to_numpy(name, value) for name, value in inputs.items()}
    choices = 1
    if spec.folds_choices:
        folded, choices = fold_choices([arrays.get(name) for name in INPUT_NAMES])
        arrays |= {name: value for name, value in zip(INPUT_NAMES, folded, strict=True) if value is not None}
    check_labels(config, spec, arrays, check_inputs(config, arrays, spec), choices)


def check_fit_labels(config: BaseConfig, spec: TaskSpec, x: Any, y: Any) -> None:
    """Checks the labels of `fit`, `evaluate` and the on-batch methods, where labels and inputs are arrays.

    Raises:
        InputError: what `deberta_core.inputs.check_labels` refuses, but for labels at padding.
    """
    if not spec.labels or (y is None and not isinstance(x, Mapping)):
        return
    labels = named_labels(spec, x, y)
    tokens = x.get("input_ids", x.get("inputs_embeds")) if isinstance(x, Mapping) else x
    tokens = tokens[0] if isinstance(tokens, (list, tuple)) else tokens
    if labels is None or not all(isinstance(value, np.ndarray) for value in (tokens, *labels.values())):
        return
    *texts, length = tokens.shape[: 3 if spec.folds_choices else 2]
    check_labels(config, spec, labels, (int(np.prod(texts)), length), texts[-1] if spec.folds_choices else 1)


def is_jax_traced(value: Any) -> bool:
    """Whether a value is what stands for one while JAX traces."""
    return keras.backend.backend() == "jax" and "Tracer" in type(value).__name__


def _is_concrete(value: Any) -> bool:
    if keras.backend.backend() == "jax":
        return ops.is_tensor(value) and not is_jax_traced(value)
    return not keras.backend.is_keras_tensor(value) and hasattr(value, "numpy")


def _to_numpy(name: str, value: Any) -> np.ndarray:
    if name == "inputs_embeds":  # its shape alone is looked at
        return np.broadcast_to(np.float32(0), tuple(value.shape))
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "V" else array  # NumPy's own types know all functions
