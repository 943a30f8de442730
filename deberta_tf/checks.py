"""The boundary of a call: concrete inputs and labels are checked once, by the core's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.inputs import INPUT_NAMES, check_inputs, check_labels, fold_choices
from deberta_core.tasks import TaskSpec


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
    check_labels(config, spec, arrays, check_inputs(config, arrays), choices)


def _is_concrete(value: Any) -> bool:
    return not keras.backend.is_keras_tensor(value) and hasattr(value, "numpy")


def _to_numpy(name: str, value: Any) -> np.ndarray:
    if name == "inputs_embeds":  # its shape alone is looked at
        return np.broadcast_to(np.float32(0), tuple(value.shape))
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "V" else array  # NumPy's own types know all functions
