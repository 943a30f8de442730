"""Disentangled attention, forward: one pass over the keys for each block of queries."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from deberta_torch.kernels.triton.blocks import Block
from deberta_torch.kernels.triton.forward_kernel import attend
from deberta_torch.kernels.triton.problem import Problem

# What products with relative rows are rounded to before they are read along their diagonals.
ROUNDED = {torch.float32: tl.float32, torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}


def padded_width(problem: Problem) -> int:
    """The head size in the kernels: a power of two, and enough for a product."""
    return max(16, triton.next_power_of_2(problem.width))


def forward(problem: Problem, block: Block) -> tuple[Tensor, Tensor]:
    """The context, and the logarithm (base 2) of the sum of every query's exponentials, `[H, T]` float32."""
    p = problem
    out = torch.empty(p.query.shape, dtype=p.query.dtype, device=p.query.device)
    lse = torch.empty((p.heads, p.tokens), dtype=torch.float32, device=p.query.device)
    programs, width = triton.cdiv(p.longest, block.size) * p.texts * p.heads, padded_width(p)
    if programs:
        attend[(programs,)](
            *p.pointers, out, lse, *p.strides, p.tokens, p.longest, p.heads, p.width, p.reach,
            p.scale * math.log2(math.e), p.dropping.threshold, p.dropping.rescale,
            PACKED=p.packed, C2P=p.content_rows is not None, P2C=p.position_rows is not None, FAR=p.has_far,
            KIND=p.mask_kind, DROPOUT=p.dropping.threshold > 0, ROUNDED=ROUNDED[p.query.dtype],
            M=block.size, D=width, SPLIT=_context_parts(block, width), num_warps=block.warps, num_stages=block.stages,
        )  # fmt: skip
    return out, lse


def _context_parts(block: Block, width: int) -> int:
    """Halves of the context, so that no product is wider than high.

    Then Triton gives the warps of a program rows of scores, not columns, and each finds its rows' maxima alone.
    """
    return 2 if width == 2 * block.size and block.warps > 1 else 1
