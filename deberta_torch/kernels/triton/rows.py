"""Relative rows by distance, from the projected relative table."""

from __future__ import annotations

from torch import Tensor


def rows_by_distance(projected: Tensor, index: Tensor) -> Tensor:
    """The table's row of every distance.

    Shape:
        projected: `[R, H, D]`; index: `[W]` integers; returns `[W, H, D]`.
    """
    return projected.index_select(0, index)
