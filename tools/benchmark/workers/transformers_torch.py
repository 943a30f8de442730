"""transformers in PyTorch, versions 4 and 5."""

from __future__ import annotations

from typing import Any

import torch
import transformers

# Named, because transformers imports a model's file only when its class is asked for, and imports are not measured.
from transformers import DebertaModel, DebertaV2Model  # noqa: F401

from tools.benchmark.inputs import Batches
from tools.benchmark.workers.torch_steps import Call, Settings, inference, loading, outputs, training

__all__ = ["SUBJECTS", "outputs"]


def load(name: str, folder: str, **options: Any) -> Any:
    """A model of an Auto class."""
    return getattr(transformers, name).from_pretrained(folder, **options)


def eager(settings: Settings, batches: Batches) -> Call:
    """float32 as it comes; `mode` as in `MODES`."""
    return inference(load("AutoModel", settings["folder"]), batches, settings.get("mode", "default"))


def bfloat16(settings: Settings, batches: Batches) -> Call:
    """Weights and activations in bfloat16."""
    return inference(load("AutoModel", settings["folder"]).to(torch.bfloat16), batches)


def compiled(settings: Settings, batches: Batches) -> Call:
    """`torch.compile` with frozen weights."""
    import torch._inductor.config

    torch._inductor.config.freezing = True
    return inference(torch.compile(load("AutoModel", settings["folder"]).eval()), batches)


def int8(settings: Settings, batches: Batches) -> Call:
    """PyTorch's dynamic quantisation of linear layers."""
    model = load("AutoModel", settings["folder"]).eval()
    return inference(torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8), batches)


def optimized(settings: Settings, batches: Batches) -> Call:
    """`deberta_torch.optimize` of transformers' model, in `dtype`."""
    from deberta_torch import optimize

    return inference(optimize(load("AutoModel", settings["folder"]).eval(), dtype=settings["dtype"]), batches)


SUBJECTS = {
    "optimized": optimized,
    "eager": eager,
    "bfloat16": bfloat16,
    "compiled": compiled,
    "int8": int8,
    "training": training(load),
    "loading": loading(load),
}
