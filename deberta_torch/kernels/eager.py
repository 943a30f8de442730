"""What may be done where torch computes at once and records nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def is_traced() -> bool:
    """Whether a graph is made of the computation: by torch.compile, torch.export or torch.jit.trace."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]  # documented, untyped


def is_eager(*values: Tensor) -> bool:
    """Whether these are ordinary tensors and torch computes with them at once.

    False while a graph is made of the computation, inside torch.func transforms, and for subclasses of tensors: all of
    these must see torch's own operators.
    """
    if is_traced():
        return False
    # As `torch.autograd.Function` asks; torch has no public name for it.
    return not torch._C._are_functorch_transforms_active() and all(
        type(value) is Tensor or type(value) is nn.Parameter for value in values
    )


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """The type of products where autocast is on; None elsewhere."""
    # Before torch 2.13 Dynamo cannot ask whether a device has autocast at all; what is compiled for has it.
    can_ask = torch.compiler.is_compiling() or torch.amp.is_autocast_available(device.type)
    return torch.get_autocast_dtype(device.type) if can_ask and torch.is_autocast_enabled(device.type) else None


def product_dtype(values: Tensor) -> torch.dtype:
    """The type of products with these numbers: their own, or where it is on autocast's, which leaves float64 alone."""
    own = values.dtype
    return own if own == torch.float64 else autocast_dtype(values.device) or own


def wide(values: Tensor) -> Tensor:
    """The numbers in float32, or as they are in float64: what sums, exponentials and losses are computed in."""
    return values if values.dtype == torch.float64 else values.float()


def add(values: Tensor, more: Tensor) -> Tensor:
    """The sum, in the place of `values` unless gradients are recorded: a pass over memory less."""
    return values + more if torch.is_grad_enabled() else values.add_(more)
