"""Loading and saving of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import ml_dtypes
import numpy as np
import torch
from torch import Tensor

from deberta_core.checkpoint import LoadReport, load_weights, save_weights
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_torch.encoder import Encoder
from deberta_torch.layers import initialize

if TYPE_CHECKING:
    from deberta_torch.models import PreTrainedModel

    Model = TypeVar("Model", bound=PreTrainedModel)


def load(
    cls: type[Model],
    config: BaseConfig,
    path: Path,
    *,
    dtype: torch.dtype | str | None,
    device: torch.device | str | None,
    new_head: bool,
    ignore_mismatched_sizes: bool,
) -> tuple[Model, LoadReport]:
    """Builds a model without drawing weights and fills it from a checkpoint; arguments as in `from_pretrained`."""
    dtype = _choose_dtype(dtype)
    loaded = load_weights(path, config, cls.task, new_head=new_head, ignore_mismatched_sizes=ignore_mismatched_sizes)
    with torch.device("meta"):  # no memory and no random numbers for what is filled next
        model = cls(config)
    if isinstance(dtype, torch.dtype):
        model.to(dtype)  # before memory is taken: there never is a copy in float32
    model.to_empty(device=device or "cpu")
    for module in model.modules():
        if isinstance(module, Encoder):
            module.reset_buffers()
    fresh = {*loaded.report.missing, *(name for name, *_ in loaded.report.mismatched)}
    for name, module in model.named_modules():
        if any(f"{name}.{own}" in fresh for own, _ in module.named_parameters(recurse=False)):
            initialize(module, config.initializer_range)
    parameters = dict(model.named_parameters())
    for name, array in loaded.weights.items():
        tensor = to_torch(array)
        if dtype == "auto":
            parameters[name].data = tensor.to(parameters[name].device, copy=True)
        else:
            parameters[name].data.copy_(tensor)
    if dtype == "auto":  # what the file lacks follows what it has
        for name in fresh:
            parameters[name].data = parameters[name].data.to(model.dtype)
    return model.eval(), loaded.report


def choose_device(device: torch.device | str | None, device_map: Any) -> torch.device | str | None:
    """The one device that `device` or `device_map` of `from_pretrained` asks for; None is the CPU.

    Raises:
        InputError: both are given, the map has several parts, or torch knows no such device.
    """
    if device_map is None:
        return _known_device("device", device)
    if device is not None:
        raise InputError(f"device={device!r} and device_map={device_map!r} were both given. Give one of them.")
    if isinstance(device_map, Mapping):
        if set(device_map) != {""}:
            raise InputError(
                f'device_map={device_map!r} has several parts. Give "auto", one device, or {{"": device}}.'
            )
        return _known_device("device_map", device_map[""])
    if device_map != "auto":
        return _known_device("device_map", device_map)
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu"


def save(model: PreTrainedModel, folder: Path, max_shard_size: int | str | None, format: str) -> None:
    """Writes config.json and the weights; arguments as in `save_pretrained`."""
    config = model.config.replace(extra=model.config.extra | {"architectures": [type(model).__name__]})
    save_weights(folder, config, model.task, _Arrays(dict(model.named_parameters())), format, max_shard_size)
    config.save_pretrained(folder)


def _known_device(name: str, device: Any) -> torch.device | None:
    try:
        return None if device is None else torch.device(device)
    except (RuntimeError, TypeError) as problem:
        reason = str(problem).splitlines()[0]
        raise InputError(f'{name}={device!r} is no device of torch: {reason} Give one such as "cpu".') from None


def _choose_dtype(dtype: torch.dtype | str | None) -> torch.dtype | str | None:
    """A torch dtype of its name; "auto" and None stay."""
    if dtype is None or dtype == "auto":
        return dtype
    named = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(named, torch.dtype) or not named.is_floating_point:
        raise InputError(
            f'dtype={dtype!r} is unknown. Give a float type of torch or its name, "auto" for the file\'s, or None for '
            f"float32."
        )
    return named


def to_torch(array: np.ndarray) -> Tensor:
    """A tensor of the same numbers, bfloat16 included; shares memory where it can be written."""
    array = np.ascontiguousarray(array)
    array = array if array.flags.writeable else array.copy()
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """An array of the same numbers, bfloat16 included; shares memory with a tensor on the CPU."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


class _Arrays(Mapping[str, Any]):
    """Parameters as arrays, each converted when it is asked for."""

    def __init__(self, parameters: dict[str, Tensor]) -> None:
        self._parameters = parameters

    def __getitem__(self, name: str) -> np.ndarray:
        return to_numpy(self._parameters[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)
