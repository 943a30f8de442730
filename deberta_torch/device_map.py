"""Where a model goes: one device, or its parts on several, between which `accelerate` moves what they hand on."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from deberta_core.errors import InputError, name_list
from deberta_torch.embeddings import Embeddings
from deberta_torch.encoder import Convolution, Encoder, Layer

if TYPE_CHECKING:
    from deberta_torch.models import PreTrainedModel

# What adds up tensors of several of its modules, and so has them all on one device.
_UNDIVIDED = (Embeddings, Layer, Convolution)


def choose_device(device: torch.device | str | None, device_map: Any = None) -> torch.device | None:
    """The one device that `device` or `device_map` of `from_pretrained` asks for; None is torch's default.

    Raises:
        InputError: both are given, or torch has no such device.
    """
    if device_map is None:
        return None if device is None else _known_device("device", device)
    if device is not None:
        raise InputError(f"device={device!r} and device_map={device_map!r} were both given. Give one of them.")
    if device_map != "auto":
        return _known_device("device_map", device_map)
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")


def find_places(model: PreTrainedModel, device: torch.device | str | None, device_map: Any) -> dict[str, torch.device]:
    """The device of every part of a model, the embeddings first, or {"": device}; arguments as in `from_pretrained`.

    Raises:
        InputError: both are given, torch has no such device, or the map does not fit the model.
    """
    if isinstance(device_map, Mapping) and device is None:
        known = {name: _known_device(f"device_map[{name!r}]", place) for name, place in device_map.items()}
        return known if set(known) == {""} else _fit(model, known)
    best = (
        choose_device(device, device_map) or torch.empty(0).device
    )  # also inside `with torch.device(...)` on torch 2.6
    if device_map == "auto" and torch.accelerator.device_count() > 1 and importlib.util.find_spec("accelerate"):
        return spread(model, [torch.device(best.type, number) for number in range(torch.accelerator.device_count())])
    return {"": best}


def spread(model: PreTrainedModel, devices: Sequence[torch.device]) -> dict[str, torch.device]:
    """Gives each device consecutive layers, and all about the same number of parameters.

    Everything but the layers is on the first device. Free memory is not looked at; `accelerate.infer_auto_device_map`
    does, but reserves room for the largest module on the first device: base models, half of which are embeddings, then
    are as a whole on the last.
    """
    parts = _parts(model)
    sizes = {name: sum(parameter.numel() for parameter in part.parameters()) for name, part in parts.items()}
    layers = [name for name, part in parts.items() if isinstance(part, Layer)]
    places = dict.fromkeys(parts, devices[0])
    left, free = sum(sizes.values()), list(devices)  # what is not on a device that is done with, and the others
    filled = left - sum(sizes[name] for name in layers)
    for name in layers:
        if len(free) > 1 and filled + sizes[name] / 2 > left / len(free):
            left, filled = left - filled, 0
            del free[0]
        places[name] = free[0]
        filled += sizes[name]
    return places


def dispatch(model: PreTrainedModel, places: Mapping[str, torch.device]) -> None:
    """Makes a model whose parts are on their devices compute there; places as of `find_places`, of every part."""
    from accelerate import dispatch_model
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    first = next(iter(places.values()))
    dispatch_model(model, dict(places), main_device=first, force_hooks=True)
    # The encoder and the parts of a head hand their results back to where they got theirs from: there the masks are,
    # and the labels.
    heads = [name for name in places if name.startswith(model.spec.head_modules)]
    encoder = next(name for name, module in model.named_modules() if isinstance(module, Encoder))
    for name in (encoder, *heads):
        hook = AlignDevicesHook(places.get(name, first), io_same_device=True)
        add_hook_to_module(model.get_submodule(name), hook)


def _fit(model: PreTrainedModel, device_map: Mapping[str, torch.device]) -> dict[str, torch.device]:
    """The device of every part, by the longest name in the map that holds it."""
    parts, modules = _parts(model), dict(model.named_modules())
    holders = {name: [key for key in device_map if not key or f"{name}.".startswith(f"{key}.")] for name in parts}
    unknown = set(device_map) - {key for keys in holders.values() for key in keys}
    # Maps made by others list modules without parameters too.
    unknown = {key for key in unknown if key not in modules or any(True for _ in modules[key].parameters())}
    if unknown:
        raise InputError(
            f"device_map names {name_list(unknown)}: no module of {type(model).__name__}, or one inside a part that "
            f"stays on one device. The parts are: {name_list(parts)}."
        )
    missing = [name for name, keys in holders.items() if not keys]
    if missing:
        raise InputError(
            f"device_map has no device for {name_list(missing)}. Give every part one, or a default by the name ''."
        )
    places = {name: device_map[max(keys, key=len)] for name, keys in holders.items()}
    _check_parts(model, places)
    return places


def _check_parts(model: PreTrainedModel, places: Mapping[str, torch.device]) -> None:
    on_meta = [name for name, place in places.items() if place.type == "meta"]
    if on_meta:
        raise InputError(
            f"device_map has {name_list(on_meta)} on the meta device, which can only hold the whole model. Use "
            f'device="meta".'
        )
    if importlib.util.find_spec("accelerate") is None:
        raise InputError(
            "device_map has several parts, which need accelerate. Use pip install accelerate, or give one device."
        )
    embeddings, *others = places
    apart = [name for name in others if name.startswith(model.spec.head_modules) and places[name] != places[embeddings]]
    if model.spec.scores_words and apart:
        raise InputError(
            f"device_map has {name_list(apart)} on another device than {embeddings}: the decoder of a masked-LM model "
            f"is tied to the word embeddings. Give both one device."
        )


def _parts(model: nn.Module, prefix: str = "") -> dict[str, nn.Module]:
    """The smallest modules that can have a device of their own, in the order of the parameters."""
    found: dict[str, nn.Module] = {}
    for own, module in model.named_children():
        name = f"{prefix}{own}"
        if isinstance(module, _UNDIVIDED) or any(True for _ in module.parameters(recurse=False)):
            found[name] = module
        else:
            found |= _parts(module, f"{name}.")
    return found


def _known_device(name: str, device: Any) -> torch.device:
    try:
        place = torch.device(device)
        torch.empty(0, device=place)  # torch knows the names of devices that it has not
        return place
    except (RuntimeError, TypeError, AssertionError, ImportError) as problem:  # NotImplementedError is a RuntimeError
        reason = str(problem).splitlines()[0][:200].rstrip(".")
        raise InputError(f'{name}={device!r} is no device of torch here: {reason}. Give one such as "cpu".') from None
