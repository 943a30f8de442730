"""Sizes of the kernels' blocks: a table of what was measured; nothing is tuned at run time."""

from __future__ import annotations

from typing import NamedTuple

from deberta_torch.kernels.triton.problem import Problem


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
    scores: Block = Block(32, 4, 2)
    tokens: Block = Block(64, 4, 2)
    rows: Block = Block(64, 4, 2)

    def flat(self) -> list[int]:
        """All numbers in order, as an operator of torch takes them."""
        return [number for block in self for number in block]

    @classmethod
    def of(cls, numbers: list[int]) -> Blocks | None:
        """What `flat` was made of; None of no numbers."""
        blocks = (Block(*numbers[start : start + 3]) for start in range(0, len(numbers), 3))
        return cls(*blocks) if numbers else None


_SHORT = Block(16, 1, 2)


def choose_blocks(problem: Problem) -> Blocks:
    """The blocks for a head size, the length of the longest text, and a type of numbers."""
    if problem.query.dtype.itemsize == 4:  # their products are made of single numbers, all held in registers
        tiles, sums = Block(16, 4 if problem.width <= 64 else 8, 1), Block(16, 2, 1)
        return Blocks(tiles, tiles, sums, sums)
    if problem.longest <= 16:
        return Blocks(_SHORT, _SHORT, _SHORT, _SHORT)
    return Blocks() if problem.width <= 64 else Blocks(forward=Block(32, 4, 2))
