"""Sizes of the kernels' blocks: a table of what was measured; nothing is tuned at run time."""

from __future__ import annotations

from typing import NamedTuple


class Blocks(NamedTuple):
    """How a kernel divides its work.

    Attributes:
        size: queries and keys of a tile; a power of two, at least 16.
        warps: of a program.
        stages: of the pipeline of loads.
    """

    size: int
    warps: int
    stages: int


def choose_blocks(head_size: int, longest: int, item_size: int) -> Blocks:
    """The blocks for a head size, the longest text, and bytes of a number."""
    if longest <= 16:
        return Blocks(16, 1, 2)
    return Blocks(32, 2, 2)
