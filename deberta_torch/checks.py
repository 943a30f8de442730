"""The boundary of a call: concrete inputs and labels are checked once, by the core's rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.inputs import INPUT_NAMES, LIMITS, check_inputs, check_labels
from deberta_core.tasks import TaskSpec, reads_positions
from deberta_torch.kernels.eager import is_traced

_ASSERTS = ContextVar("asserts", default=False)


@contextmanager
def asserting_on_devices() -> Iterator[None]:
    """Inside, devices other than the CPU check the values of a call's inputs themselves; to find a fault, not always.

    Ids, token types and positions must be in range, and masks 0 or 1, as on the CPU. Nothing waits: CUDA prints the
    name of what is wrong, and `RuntimeError` comes with a later call that waits, after which the process cannot use
    the device. Of labels torch's own losses assert the range. In the thread that enters, and where no graph is traced.

    Example:
        `with deberta_torch.asserting_on_devices(): model(ids, mask)`
    """
    before = _ASSERTS.set(True)
    try:
        yield
    finally:
        _ASSERTS.reset(before)


def check_call(
    config: BaseConfig,
    spec: TaskSpec,
    inputs: Sequence[Tensor | None],
    labels: Mapping[str, Tensor | None] | None = None,
    choices: int = 1,
) -> None:
    """Checks the arguments of a forward pass.

    Shapes and kinds are looked at everywhere but while a graph is traced; values where that is free of charge, on the
    CPU. Elsewhere a look would wait for the device, which looks itself where `asserting_on_devices` asks for it.

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
    if _ASSERTS.get():
        assert_values(config, spec, {name: given[name] for name in INPUT_NAMES if name in given})


def assert_values(config: BaseConfig, spec: TaskSpec, inputs: Mapping[str, Tensor]) -> None:
    """Asserts the values of inputs whose shapes and kinds are right, each on its own device, which is not waited for.

    Raises:
        RuntimeError: a value is wrong; at once on the CPU, later on devices.
    """
    unread = set() if reads_positions(config, spec) else {"position_ids"}
    unread |= set() if config.type_vocab_size else {"token_type_ids"}
    for name, value in inputs.items():
        if name == "attention_mask":
            torch._assert_async(((value == 0) | (value == 1)).all(), "attention_mask must hold 1 and 0 only.")
        elif name in LIMITS and name not in unread:
            limit = getattr(config, LIMITS[name])
            value = value.long()  # torch compares uint8 with 1000 as with 232, and uint64 with nothing
            message = f"{name} must be in [0, {limit}), the range of {LIMITS[name]}."
            torch._assert_async(((value >= 0) & (value < limit)).all(), message)


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
