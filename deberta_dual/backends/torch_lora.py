"""Low-rank adapters in PyTorch, by PEFT (extra `lora`): put in, merged, and written by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from deberta_core.errors import InputError
from deberta_core.initialization import draw_adapter
from deberta_core.layout import ADAPTER_FILES

if TYPE_CHECKING:
    from deberta_torch.models import PreTrainedModel

_NAME = "default"  # PEFT's, of the one adapter
_PREFIX = "base_model.model."  # of every name in an adapter's file


def add_adapters(model: PreTrainedModel, rank: int, alpha: float, targets: tuple[str, ...], seed: int) -> None:
    """Freezes the backbone and gives its layers of these names an adapter each; the head goes on learning.

    Raises:
        InputError: PEFT is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise InputError("lora_rank needs PEFT in PyTorch. Install it with: pip install 'deberta-dual[lora]'") from None
    settings = LoraConfig(r=rank, lora_alpha=alpha, target_modules=[*targets], lora_dropout=0.0, bias="none")
    place = model.device
    inject_adapter_in_model(settings, model, _NAME)
    model.to(place)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_adapter(name) or _is_head(model, name))
    with torch.no_grad():
        for name, (first, second) in _factors(model).items():
            first.copy_(torch.from_numpy(draw_adapter(name, rank, first.shape[1], seed)))
            second.zero_()


def is_adapter(name: str) -> bool:
    """Whether a parameter is of an adapter."""
    return ".lora_" in name


def plain_name(name: str) -> str:
    """The model's own name of a parameter; of an adapter's, that of the one which it adds to."""
    head, found, _ = name.partition(".lora_")
    return f"{head}.weight" if found else name.replace(".base_layer.", ".")


def merged_state(model: PreTrainedModel) -> dict[str, Tensor] | None:
    """The parameters with the adapters merged, by the model's own names; None: there are none."""
    factors = _factors(model)
    if not factors:
        return None
    state = {plain_name(name): value.detach() for name, value in model.named_parameters() if not is_adapter(name)}
    layers = _layers(model)
    for name, (first, second) in factors.items():
        state[name] = state[name] + second.detach() @ first.detach() * layers[name].scaling[_NAME]
    return state


def save_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Writes the adapters, and the head, as PEFT does."""
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    tensors = {}
    for name, (first, second) in _factors(model).items():
        stem = f"{_PREFIX}{name.removesuffix('weight')}"
        tensors[f"{stem}lora_A.weight"], tensors[f"{stem}lora_B.weight"] = first, second
    head = {name: value for name, value in model.named_parameters() if _is_head(model, name)}
    tensors |= {_PREFIX + name: value for name, value in head.items()}
    settings = cast(Any, model).peft_config[_NAME]
    settings.modules_to_save = sorted({name.split(".")[0] for name in head}) or None
    settings.inference_mode = True
    settings.save_pretrained(folder)
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, folder / ADAPTER_FILES[1])


def _is_head(model: PreTrainedModel, name: str) -> bool:
    return name.split(".")[0] in model.spec.head_modules


def _layers(model: PreTrainedModel) -> dict[str, Any]:
    """The layers with an adapter, by the names of the parameters that it adds to."""
    found = ((name, module) for name, module in model.named_modules() if hasattr(module, "lora_A"))
    return {f"{name}.weight": module for name, module in found}


def _factors(model: PreTrainedModel) -> dict[str, tuple[Tensor, Tensor]]:
    """The two matrices of every adapter, `[R, in]` and `[out, R]`, by the names of the parameters that it adds to."""
    return {name: (layer.lora_A[_NAME].weight, layer.lora_B[_NAME].weight) for name, layer in _layers(model).items()}
