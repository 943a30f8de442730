"""This library in PyTorch."""

from __future__ import annotations

from typing import Any

import deberta_torch
from tools.benchmark.inputs import Batches
from tools.benchmark.workers.torch_steps import Call, Settings, inference, loading, outputs, training

__all__ = ["SUBJECTS", "outputs"]


def load(name: str, folder: str) -> Any:
    """A model of an Auto class."""
    return getattr(deberta_torch, name).from_pretrained(folder)


def plain(settings: Settings, batches: Batches) -> Call:
    """float32 as it comes."""
    return inference(load("AutoModel", settings["folder"]), batches)


def optimized(settings: Settings, batches: Batches) -> Call:
    """`deberta_torch.optimize` in `dtype`."""
    model = load("AutoModel", settings["folder"]).eval()
    return inference(deberta_torch.optimize(model, dtype=settings["dtype"]), batches)


SUBJECTS = {"plain": plain, "optimized": optimized, "training": training(load), "loading": loading(load)}
