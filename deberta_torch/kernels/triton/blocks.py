"""Sizes of the kernels' blocks: a table of what was measured; nothing is tuned at run time."""

from __future__ import annotations

from typing import NamedTuple


class Block(NamedTuple):
    """How a kernel divides its work.

    Attributes:
        size: tokens or distances along each side of a tile; a power of two, at least 16.
        warps: of a program.
        stages: of the pipeline of loads.
    """

    size: int
    warps: int
    stages: int


class Blocks(NamedTuple):
    """The blocks of each kernel: the forward pass, and the gradients of scores, tokens and relative rows."""

    forward: Block = Block(32, 2, 2)
    scores: Block = Block(32, 2, 2)
    tokens: Block = Block(64, 4, 2)
    rows: Block = Block(64, 4, 2)

    def flat(self) -> list[int]:
        """All numbers in order, as an operator of torch takes them."""
        return [number for block in self for number in block]

    @classmethod
    def of(cls, numbers: list[int]) -> Blocks:
        """What `flat` was made of."""
        return cls(*(Block(*numbers[start : start + 3]) for start in range(0, len(numbers), 3)))


def choose_blocks(head_size: int, longest: int, item_size: int) -> Blocks:
    """The blocks for a head size, the longest text, and bytes of a number."""
    small = Block(16, 1, 2)
    if longest <= 16:
        return Blocks(small, small, small, small)
    if item_size == 4:
        return Blocks(tokens=Block(32, 4, 1), rows=Block(32, 4, 1))
    return Blocks()
