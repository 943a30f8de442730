"""Relative rows by distance, from the projected relative table."""

from __future__ import annotations

import torch
from torch import Tensor


def rows_by_distance(projected: Tensor, index: Tensor) -> Tensor:
    """The table's row of every distance; its gradient is summed in the same order every time.

    Shape:
        projected: `[R, H, D]`; index: `[W]` integers; returns `[W, H, D]`.
    """
    if not (torch.is_grad_enabled() and projected.requires_grad):
        return projected.index_select(0, index)
    # The gradient of `index_select` on a GPU adds numbers in any order, in the type of the rows. A product does not.
    chosen = index[:, None] == torch.arange(projected.shape[0], device=index.device)  # [W, R]
    return (chosen.to(projected.dtype) @ projected.flatten(1)).unflatten(1, projected.shape[1:])
