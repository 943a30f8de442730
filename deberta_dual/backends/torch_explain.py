"""Explanations by PyTorch, as an `ExplainingBackend`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor

from deberta_core.explanations import Attributions, ScoreParts
from deberta_dual.backends.protocol import Arrays
from deberta_dual.backends.torch import evaluating
from deberta_torch import explain
from deberta_torch.inference.optimize import locks_of
from deberta_torch.models import PreTrainedModel

Found = TypeVar("Found", ScoreParts, Attributions)


def score_parts(model: PreTrainedModel, layer: int, inputs: Arrays) -> ScoreParts:
    """See `ExplainingBackend.score_parts`."""
    with evaluating(model), ExitStack() as held:
        for lock in locks_of(model):
            held.enter_context(lock.calling())
        return _arrays(explain.score_parts(model, layer, **_tensors(model, inputs)))


def integrated_gradients(
    model: PreTrainedModel, output: str, index: tuple[int, ...], inputs: Arrays, steps: int
) -> Attributions:
    """See `ExplainingBackend.integrated_gradients`."""
    with evaluating(model), ExitStack() as held:
        for lock in locks_of(model):
            held.enter_context(lock.calling())
        found: Any = explain.integrated_gradients(model, output, index, steps=steps, **_tensors(model, inputs))
        return _arrays(found)


def _tensors(model: PreTrainedModel, arrays: Arrays) -> dict[str, Any]:
    return {name: torch.from_numpy(array).to(model.device) for name, array in arrays.items()}


def _arrays(found: Found) -> Found:
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return type(found)(
        **{name: value.float().cpu().numpy() if isinstance(value, Tensor) else value for name, value in values.items()}
    )
