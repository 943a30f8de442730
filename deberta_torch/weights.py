"""Loading and saving of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deberta_core.checkpoint import LazyWeights, LoadReport, OwnLayers, load_weights, save_weights
from deberta_core.checkpoint.lazy import ALIGNMENT, Entry, blocks
from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, name_list
from deberta_core.parameters import expand
from deberta_torch.device_map import choose_device, dispatch, find_places
from deberta_torch.encoder import Encoder
from deberta_torch.layers import initialize

_WORTH_MAPPING = 1 << 20  # bytes, wherever the pages are

if TYPE_CHECKING:
    from deberta_torch.models import PreTrainedModel

    Model = TypeVar("Model", bound=PreTrainedModel)


def load(
    cls: type[Model],
    config: BaseConfig,
    path: Path | LazyWeights,
    *,
    dtype: torch.dtype | str | None,
    device: torch.device | str | None,
    device_map: str | torch.device | Mapping[str, Any] | None,
    new_head: bool,
    ignore_mismatched_sizes: bool,
) -> tuple[Model, LoadReport]:
    """Builds a model without drawing weights and fills it from a checkpoint; arguments as in `from_pretrained`."""
    dtype = _choose_dtype(dtype)
    if _is_custom(cls):
        model = cls(config)
        report = _fill(model, path, new_head, ignore_mismatched_sizes, dtype)
        return model.to(choose_device(device, device_map)).eval(), report
    with torch.device("meta"), _Undrawn():  # no memory and no random numbers for what is filled next
        model = cls(config)
    if isinstance(dtype, torch.dtype):
        model.to(dtype)  # before memory is taken: there never is a copy in float32
    places = find_places(model, device, device_map)
    first = next(iter(places.values()))
    loaded = load_weights(path, config, cls.task, new_head=new_head, ignore_mismatched_sizes=ignore_mismatched_sizes)
    for name, place in places.items():
        _take_memory(model.get_submodule(name), place)
    for module in model.modules():
        if isinstance(module, Encoder):
            module.reset_buffers(first)
    fresh = {*loaded.report.missing, *(name for name, *_ in loaded.report.mismatched)}
    for name, module in model.named_modules():
        if any(f"{name}.{own}" in fresh for own, _ in module.named_parameters(recurse=False)):
            initialize(module, config.initializer_range)
    parameters = dict(model.named_parameters())
    for name in loaded.weights:
        own = parameters[name]
        if dtype == "auto" or (own.device.type == "cpu" and own.dtype == _stored_dtype(loaded.weights, name)):
            own.data = _read(loaded.weights, name, own.device)
        elif own.device.type != "meta":
            for rows, array in blocks(loaded.weights, name):
                own.data[rows].copy_(to_torch(array))
                del array  # before the next one is read
    if dtype == "auto":
        for name in fresh:  # what the file lacks follows what it has
            parameters[name].data = parameters[name].data.to(model.dtype)
    if len(places) > 1:
        dispatch(model, places)
    return model.eval(), loaded.report


def _is_custom(cls: type[PreTrainedModel]) -> bool:
    """Whether a class was made by a user, and so may have layers that the parameter table does not know."""
    return not cls.__module__.startswith(f"{__package__}.")


def _fill(
    model: PreTrainedModel,
    source: Path | LazyWeights,
    new_head: bool,
    ignore_mismatched_sizes: bool,
    dtype: torch.dtype | str | None,
) -> LoadReport:
    """Fills a user's model, which was made with all its numbers: those of a file that has them, and its own."""
    tensors: dict[str, Tensor] = model.state_dict(keep_vars=True)
    prefix = ""
    if model.task is None:
        backbone = model.base_model
        prefix = next(f"{name}." for name, module in model.named_modules() if module is backbone).lstrip(".")
    places = {name: prefix + name for name in expand(model.config, model.task) if prefix + name in tensors}
    known = set(places.values())
    layers = OwnLayers(places, {name: tuple(value.shape) for name, value in tensors.items() if name not in known})
    loaded = load_weights(
        source,
        model.config,
        model.task,
        new_head=new_head,
        ignore_mismatched_sizes=ignore_mismatched_sizes,
        match=layers.match,
        fresh=layers.own,
    )
    stored = {name: to_torch(loaded.weights[name]) for name in loaded.weights}
    if dtype == "auto":
        dtype = next((value.dtype for name, value in stored.items() if value.is_floating_point()), None)
    if dtype is not None:
        model.to(dtype)
    with torch.no_grad():
        for name, value in model.state_dict(keep_vars=True).items():
            if name in stored:
                value.copy_(stored[name].reshape(value.shape))  # NumPy makes a row of a single number
    return loaded.report


def _take_memory(part: nn.Module, device: torch.device) -> None:
    """Puts parameters without numbers in the place of those on the meta device.

    As `to_empty`, which imports a part of torch's compiler, and with it SymPy, to do it.
    """
    for module in part.modules():
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            setattr(module, name, nn.Parameter(empty, parameter.requires_grad))


class _Undrawn(TorchFunctionMode):
    """Modules are made without the numbers that `torch.nn.init` would draw.

    On the meta device there are none, but torch would import its compiler to find that out, which takes two seconds.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def held(state_dict: Mapping[str, Tensor]) -> LazyWeights:
    """A state dict as if it were an open file; what is read of it is a copy.

    Raises:
        InputError: it holds anything but tensors by names.
    """
    wrong = [name for name, value in state_dict.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if wrong:
        raise InputError(f"state_dict holds other things than tensors by names: {name_list(map(str, wrong))}.")
    entries = {name: _entry(name, value) for name, value in state_dict.items()}
    return LazyWeights(Path("state_dict"), entries, lambda: None)


def _entry(name: str, value: Tensor) -> Entry:
    def read(rows: slice) -> np.ndarray:
        return np.array(to_numpy(value[rows] if value.dim() else value))

    return Entry(name, tuple(value.shape), to_numpy(value.new_empty(0, device="cpu")).dtype, read)


def assign(model: PreTrainedModel, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets parameters by name, from arrays in PyTorch's layout."""
    parameters = dict(model.named_parameters())
    for name, array in arrays.items():
        parameters[name].data.copy_(to_torch(array))


def save(
    model: PreTrainedModel,
    folder: Path,
    max_shard_size: int | str | None,
    format: str,
    state_dict: Mapping[str, Tensor] | None,
) -> None:
    """Writes config.json and the weights; arguments as in `save_pretrained`."""
    empty = [name for name, parameter in model.named_parameters() if parameter.is_meta]
    if empty:
        raise InputError(
            f"{name_list(empty)} have no numbers that could be saved: they are on the meta device. Load the model to "
            f"another."
        )
    config = model.config.replace(extra=model.config.extra | {"architectures": [type(model).__name__]})
    is_custom = _is_custom(type(model))
    if state_dict is None:
        state_dict = model.state_dict() if is_custom else dict(model.named_parameters())
    arrays = _Arrays(dict(state_dict))
    save_weights(folder, config, model.task, arrays, format, max_shard_size, with_config=True, own_names=is_custom)


def _stored_dtype(weights: LazyWeights, name: str) -> torch.dtype:
    return to_torch(np.empty(0, weights.entries[name].dtype)).dtype


def _read(weights: LazyWeights, name: str, device: torch.device) -> Tensor:
    """A parameter of a file, in its dtype, in the file's own pages if they serve; for the meta device nothing is read.

    How products of a single row round may depend on where a matrix begins. So parameters begin where torch's own do,
    but large ones of files that others wrote, whose reading would take longer than the model's first answer.
    """
    if device.type == "meta":
        return torch.empty(weights.entries[name].shape, dtype=_stored_dtype(weights, name), device=device)
    pages = weights.mapped(name)
    if pages is not None:
        tensor = to_torch(pages)
        unit = tensor.element_size() if tensor.nbytes >= _WORTH_MAPPING else ALIGNMENT
        if device.type != "cpu" or not tensor.data_ptr() % unit:
            return tensor.to(device)
    tensor = to_torch(weights[name]).to(device)
    return tensor.clone() if tensor.data_ptr() % ALIGNMENT else tensor


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
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def to_numpy(tensor: Tensor) -> np.ndarray:
    """An array of the same numbers, bfloat16 included; shares memory with a tensor on the CPU."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

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
