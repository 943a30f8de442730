"""The boundary of a call: concrete inputs and labels are checked once, by the core's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.inputs import INPUT_NAMES, check_inputs, check_labels
from deberta_core.tasks import TaskSpec
from deberta_torch.kernels.eager import is_traced


def check_call(
    config: BaseConfig,
    spec: TaskSpec,
    inputs: Sequence[Tensor | None],
    labels: Mapping[str, Tensor | None] | None = None,
    choices: int = 1,
) -> None:
    """Checks the arguments of a forward pass.

    Shapes and kinds are looked at everywhere but while a graph is traced; values where that is free of charge, on the
    CPU. Elsewhere a look would wait for the device.

    Args:
        config: the model's configuration.
        spec: the row of its task.
        inputs: tensors or None, in the order of `INPUT_NAMES`.
        labels: the task's labels by name.
        choices: N of multiple choice, whose inputs are folded.

    Raises:
        InputError: what `deberta_core.inputs` refuses, or a value that is no tensor.
    """
    named = {**dict(zip(INPUT_NAMES, inputs, strict=True)), **(labels or {})}
    given = {name: value for name, value in named.items() if value is not None}
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise InputError(f"{name} is a {type(value).__name__}: it must be a torch.Tensor. Use torch.as_tensor.")
    if is_traced():
        return
    arrays = {name: _to_numpy(name, value) for name, value in given.items()}
    check_labels(config, spec, arrays, check_inputs(config, arrays, spec), choices)


def _to_numpy(name: str, value: Tensor) -> np.ndarray:
    if name != "inputs_embeds" and value.device.type == "cpu":  # of embeddings the shape alone is looked at
        try:
            # NumPy has no bfloat16
            return (value.detach().float() if value.is_floating_point() else value).numpy()
        except (RuntimeError, TypeError):  # inside torch.func transforms a tensor has no values
            pass
    kind = np.float32 if value.is_floating_point() else np.bool_ if value.dtype == torch.bool else np.int64
    # Zeros are in every range; as a mask they would make every token padding.
    return np.broadcast_to(np.asarray(name == "attention_mask", kind), tuple(value.shape))
