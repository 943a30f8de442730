"""Sizes of the kernels' blocks: what was measured to be quickest; nothing is tuned at run time."""

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

    forward: Block = Block(32, 2, 3)
    scores: Block = Block(32, 2, 3)
    tokens: Block = Block(64, 4, 3)
    rows: Block = Block(64, 4, 1)

    def flat(self) -> list[int]:
        """All numbers in order, as an operator of torch takes them."""
        return [number for block in self for number in block]

    @classmethod
    def of(cls, numbers: list[int]) -> Blocks | None:
        """What `flat` was made of; None of no numbers."""
        blocks = (Block(*numbers[start : start + 3]) for start in range(0, len(numbers), 3))
        return cls(*blocks) if numbers else None


# Measured on an H100 and an H200, with 12 heads of 64 in bfloat16. In texts of so many tokens most keys are far, one
# row for all: there larger tiles are quicker.
_LONG = 1024
_LONG_BLOCKS = Blocks(forward=Block(64, 4, 2), scores=Block(16, 1, 3))
_SHORT_BLOCKS = Blocks(Block(16, 1, 3), Block(16, 1, 2), Block(16, 1, 2), Block(16, 1, 2))
_WIDE_BLOCKS = Blocks(forward=Block(32, 4, 2), scores=Block(32, 4, 2), tokens=Block(64, 4, 2))


def choose_blocks(problem: Problem) -> Blocks:
    """The blocks for a head size, the length of the longest text, and a type of numbers."""
    if problem.query.device.type == "cpu":  # the interpreter: few programs
        return Blocks(*(Block(32, 1, 1) for _ in Blocks._fields))
    if problem.query.dtype.itemsize == 4:  # their products are made of single numbers, all held in registers
        tiles, sums = Block(16, 4 if problem.width <= 64 else 8, 1), Block(16, 2, 1)
        return Blocks(tiles, tiles, sums, sums)
    if problem.longest <= 16:
        return _SHORT_BLOCKS
    if problem.width > 64:
        return _WIDE_BLOCKS
    return _LONG_BLOCKS if problem.longest >= _LONG else Blocks()
