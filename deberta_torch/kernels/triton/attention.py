"""Disentangled attention by Triton kernels, as an operator that torch can record, compile and export (NUMERICS 3).

    score(i, j) = scale * ( Q_i . K_j  +  Q_i . content_rows[d]  +  K_j . position_rows[d] ),    d = j - i

Nothing of size L x L lies in memory. Triton is imported when a kernel is first needed.
"""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.library import custom_op

from deberta_core.errors import InputError
from deberta_torch.kernels.eager import is_eager
from deberta_torch.kernels.triton.blocks import Blocks, choose_blocks
from deberta_torch.kernels.triton.problem import Problem


def disentangled_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    content_rows: Tensor | None = None,
    position_rows: Tensor | None = None,
    *,
    starts: Tensor | None = None,
    longest: int | None = None,
    mask: Tensor | None = None,
    scale: float,
    dropout: float = 0.0,
    seed: Tensor | None = None,
    blocks: Blocks | None = None,
) -> Tensor:
    """Attends; on CUDA, or on the CPU in Triton's interpreter. Waits for no device.

    Args:
        query: padded `[B, L, H, D]`, or packed `[T, H, D]`, texts one after the other; any strides, but D contiguous.
        key: the same.
        value: the same.
        content_rows: `[W, H, D]`, what queries meet, or None. W is 2 * reach + 1, and row w belongs to key - query =
            w - reach; beyond, the outermost rows go on.
        position_rows: `[W, H, D]`, what keys meet, or None.
        starts: packed texts' `[N + 1]` int32, where each text begins, and T.
        longest: at least the length of the longest packed text.
        mask: bool or uint8, which keys are seen: `[B, L]`, `[B, L, L]` by query and key, or packed `[T]`; None for all.
        scale: of scores.
        dropout: the probability with which a probability is dropped.
        seed: int64 `[1]`, of dropout; None draws one from torch's generator of the device.
        blocks: how the work is divided; None for the table's.

    Returns:
        the shape of `query`, contiguous; 0 for queries that see no key.

    Raises:
        InputError: shapes, types or devices do not fit together.
    """
    if dropout > 0 and seed is None:
        seed = torch.randint(-(2**63), 2**63 - 1, (1,), dtype=torch.int64, device=query.device)
    problem = Problem(
        query=last_contiguous(query),
        key=last_contiguous(key),
        value=last_contiguous(value),
        content_rows=None if content_rows is None else last_contiguous(content_rows),
        position_rows=None if position_rows is None else last_contiguous(position_rows),
        starts=starts,
        mask=None if mask is None else mask.contiguous().view(torch.uint8),
        seed=seed if dropout > 0 else None,
        longest=query.shape[1] if starts is None else longest or 0,
        scale=scale,
        dropout=dropout,
    )
    sizes = blocks or choose_blocks(problem.width, problem.longest, query.dtype.itemsize)
    return _attend(**vars(problem), **sizes._asdict())[0]


def last_contiguous(values: Tensor) -> Tensor:
    """The tensor, or a copy whose last axis is contiguous."""
    return values if values.stride(-1) == 1 else values.contiguous()


@custom_op("deberta::disentangled_attention", mutates_args=())
def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    content_rows: Tensor | None,
    position_rows: Tensor | None,
    starts: Tensor | None,
    mask: Tensor | None,
    seed: Tensor | None,
    longest: int,
    scale: float,
    dropout: float,
    size: int,
    warps: int,
    stages: int,
) -> tuple[Tensor, Tensor]:
    from deberta_torch.kernels.triton.forward import forward

    problem = Problem(
        query=query, key=key, value=value, content_rows=content_rows, position_rows=position_rows, starts=starts,
        mask=mask, seed=seed, longest=longest, scale=scale, dropout=dropout,
    )  # fmt: skip
    return forward(problem, Blocks(size, warps, stages))
