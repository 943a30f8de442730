"""Sizes of the kernels' blocks: what was measured to be quickest; nothing is tuned at run time."""

from __future__ import annotations

from math import inf
from typing import NamedTuple

from deberta_torch.kernels.triton.availability import LARGEST_HEAD, architecture
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

    def with_one_stage(self) -> Blocks:
        """The same without a pipeline of loads."""
        return Blocks(*(block._replace(stages=1) for block in self))

    @classmethod
    def of(cls, numbers: list[int]) -> Blocks | None:
        """What `flat` was made of; None of no numbers."""
        blocks = (Block(*numbers[start : start + 3]) for start in range(0, len(numbers), 3))
        return cls(*blocks) if numbers else None


class Entry(NamedTuple):
    """Blocks, and for which problems: the first entry of a table that a problem fits is its own.

    Attributes:
        longest: tokens of the longest text, at most.
        width: the head size, at most.
        blocks: of the kernels.
    """

    longest: float
    width: int
    blocks: Blocks


# Entries by the bytes of a number: of half precision, and of float32.
Table = dict[int, tuple[Entry, ...]]

# float32: products are made of single numbers, all held in registers.
_SUMS = Block(16, 2, 1)
_SINGLE = tuple(
    Entry(inf, width, Blocks(Block(16, warps, 1), Block(16, warps, 1), _SUMS, _SUMS))
    for width, warps in ((64, 4), (LARGEST_HEAD, 8))
)
_SHORT = Entry(16, LARGEST_HEAD, Blocks(Block(16, 1, 3), Block(16, 1, 2), Block(16, 1, 2), Block(16, 1, 2)))
_WIDE = Blocks(forward=Block(32, 4, 2), scores=Block(32, 4, 2), tokens=Block(64, 4, 2))
# Measured on an H100 and an H200, with 12 heads of 64 in bfloat16. In texts of 1024 tokens most keys are far, one row
# for all: there larger tiles are quicker.
_HOPPER: Table = {
    2: (
        _SHORT,
        Entry(1023, 64, Blocks()),
        Entry(inf, 64, Blocks(forward=Block(64, 4, 2), scores=Block(16, 1, 3))),
        Entry(inf, LARGEST_HEAD, _WIDE),
    ),
    4: _SINGLE,
}
# Measured nowhere: what of this fits into 99 KiB of shared memory; and one stage of loads, which takes the least of it.
_SMALLER: Table = {
    2: (_SHORT, Entry(inf, 64, Blocks()), Entry(inf, LARGEST_HEAD, _WIDE._replace(scores=Block(32, 4, 1)))),
    4: _SINGLE,
}
_OTHERS: Table = {
    2: tuple(entry._replace(blocks=entry.blocks.with_one_stage()) for entry in _SMALLER[2]),
    4: _SINGLE,
}
# By compute capability. Only 9.0 was measured; `tests/pt/test_blocks.py` estimates that shared memory is enough.
TABLES: dict[tuple[int, int] | None, Table] = {
    **dict.fromkeys([(8, 0), (8, 7), (9, 0), (10, 0), (10, 3)], _HOPPER),
    **dict.fromkeys([(8, 6), (8, 9), (12, 0), (12, 1)], _SMALLER),
}


def choose_blocks(problem: Problem) -> Blocks:
    """The blocks for a card, the length of the longest text, the head size, and a type of numbers."""
    query = problem.query
    if query.device.type == "cpu":  # the interpreter: few programs
        return Blocks(*(Block(32, 1, 1) for _ in Blocks._fields))
    return look_up(architecture(query.device), query.dtype.itemsize, problem.longest, problem.width)


def look_up(capability: tuple[int, int] | None, itemsize: int, longest: int, width: int) -> Blocks:
    """The table's blocks for a compute capability (None where there is none), bytes of a number, text and head."""
    entries = TABLES.get(capability, _OTHERS)[itemsize]
    return next(entry.blocks for entry in entries if longest <= entry.longest and width <= entry.width)
