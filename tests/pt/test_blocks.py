"""The table of the Triton kernels' block sizes: every entry can run on the cards it is for."""

import pytest
import torch

from deberta_torch.kernels.triton import availability
from deberta_torch.kernels.triton.availability import LARGEST_HEAD, architecture, why_not
from deberta_torch.kernels.triton.blocks import TABLES, Block, Blocks, look_up

# KiB of shared memory that a program may have: CUDA C++ Programming Guide, technical specifications by compute
# capability. None: of a card that no table knows, no more than the smallest there was since 2018.
SHARED = {
    (8, 0): 163, (8, 6): 99, (8, 7): 163, (8, 9): 99, (9, 0): 227, (10, 0): 227, (10, 3): 227, (12, 0): 99, (12, 1): 99,
    None: 64,
}  # fmt: skip
REGISTERS = 255  # of a thread
WIDTHS = (16, 20, 24, 32, 48, 64, 80, 96, 128)
LENGTHS = (1, 16, 17, 64, 128, 512, 1023, 1024, 2048, 65536)
# What a step of each kernel's loop loads as factors of products: tiles `[M, D]`, and `[M, M]`. Each stage of the
# pipeline holds a copy of them.
LOADS = {
    "forward": (5, 0),  # keys, values, a content row tile, two of positions
    "scores": (5, 0),  # queries, gradients of contexts, two content row tiles, one of positions
    "tokens": (1, 1),  # others, or relative rows; gradients of scores
    "rows": (1, 1),  # tokens; gradients of scores
}
# What stays in shared memory beside them, at most: factors loaded once, and tiles that are turned or gathered.
KEPT = {"forward": (1, 3), "scores": (2, 3), "tokens": (0, 1), "rows": (0, 1)}
# Sums in float32 that a program's threads hold from step to step, in tiles `[M, D]`.
SUMS = dict.fromkeys(LOADS, 1)


def padded(width):
    return max(16, 1 << (width - 1).bit_length())


def shared_bytes(kernel, block, width, itemsize):
    """An upper estimate: float32 products are not pipelined and hold no more than the same tiles."""
    rows, squares = (block.stages * loads + kept for loads, kept in zip(LOADS[kernel], KEPT[kernel], strict=True))
    return itemsize * block.size * (rows * padded(width) + squares * block.size)


@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("itemsize", [2, 4])
def test_every_entry_can_run(capability, itemsize):
    for length in LENGTHS:
        for width in WIDTHS:
            blocks = look_up(capability, itemsize, length, width)
            for kernel, block in blocks._asdict().items():
                where = (capability, itemsize, length, width, kernel, block)
                assert block.size >= 16, where
                assert block.size & (block.size - 1) == 0, where
                assert block.warps in (1, 2, 4, 8), where
                assert block.stages >= 1, where
                assert shared_bytes(kernel, block, width, itemsize) <= SHARED[capability] * 1024, where
                sums = SUMS[kernel] * block.size * padded(width) / (32 * block.warps)
                assert sums <= REGISTERS / 2, where


def test_the_estimate_refuses_what_is_too_large():
    assert shared_bytes("forward", Block(128, 8, 4), 128, 2) > 227 * 1024
    assert shared_bytes("forward", Block(64, 4, 3), 64, 2) > 99 * 1024


def test_every_table_is_of_a_card_whose_memory_is_known_and_every_entry_is_reached():
    assert TABLES.keys() == SHARED.keys() - {None}
    for capability, table in TABLES.items():
        for itemsize, entries in table.items():
            found = {look_up(capability, itemsize, length, width) for length in LENGTHS for width in WIDTHS}
            assert found == {entry.blocks for entry in entries}


@pytest.mark.parametrize("unknown", [None, (7, 5), (11, 0), (13, 7)])
def test_an_unknown_card_gets_blocks_of_one_stage(unknown):
    for itemsize in (2, 4):
        for length in LENGTHS:
            for width in WIDTHS:
                known, found = (look_up(one, itemsize, length, width) for one in ((8, 9), unknown))
                assert {block.stages for block in found} == {1}
                assert found == known.with_one_stage()


def test_what_was_measured_is_what_is_chosen():
    assert look_up((9, 0), 2, 512, 64) == Blocks()
    assert look_up((9, 0), 2, 1024, 64).forward == Block(64, 4, 2)
    assert look_up((9, 0), 2, 512, LARGEST_HEAD).tokens == Block(64, 4, 2)


@pytest.fixture
def card(monkeypatch):
    """A card of a compute capability, as torch would name it."""

    def be(capability, hip=None):
        architecture.cache_clear()
        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        return torch.device("cuda", 0)

    yield be
    architecture.cache_clear()


def test_cards_that_triton_makes_no_kernels_for_are_told(card, monkeypatch):
    monkeypatch.setattr(availability, "_WHY_NO_TRITON", None)
    reason = why_not(card((7, 5)), torch.float16, 64)
    assert reason == "Triton needs compute capability 8.0, and cuda:0 has 7.5"
    assert why_not(card((8, 0)), torch.float16, 64) is None
    device = card((9, 4), hip="6.0")
    assert architecture(device) is None
    assert why_not(device, torch.float16, 64) is None
    assert architecture(torch.device("cpu")) is None
