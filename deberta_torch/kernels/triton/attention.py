"""Disentangled attention by Triton kernels (NUMERICS 3): what others call.

    score(i, j) = scale * ( Q_i . K_j  +  Q_i . content_rows[d]  +  K_j . position_rows[d] ),    d = j - i

Nothing of size L x L lies in memory, but for some heads at a time in the backward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

from deberta_core.errors import InputError
from deberta_torch.kernels.eager import is_eager
from deberta_torch.kernels.triton.availability import LARGEST_HEAD
from deberta_torch.kernels.triton.blocks import Blocks
from deberta_torch.kernels.triton.dropping import draw_seed
from deberta_torch.kernels.triton.operators import attend, attend_now
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
    ordered: bool = True,
    blocks: Blocks | None = None,
) -> Tensor:
    """Attends; on CUDA, or on the CPU in Triton's interpreter. Waits for no device.

    Args:
        query: padded `[B, L, H, D]`, or packed `[T, H, D]`, texts one after the other; any strides.
        key: the same.
        value: the same.
        content_rows: `[W, H, D]`, what queries meet, or None. W is 2 * reach + 1, and row w belongs to key - query =
            w - reach; beyond, the outermost rows go on.
        position_rows: `[W, H, D]`, what keys meet, or None.
        starts: packed texts' `[N + 1]` int32, where each text begins, and T.
        longest: at least the length of the longest packed text.
        mask: which keys are seen, 0 or false where not: `[B, L]`, `[B, L, L]` by query and key, or packed `[T]`; None
            for all.
        scale: of scores.
        dropout: the probability with which a probability is dropped.
        seed: int64 `[1]`, of dropout; None draws one from torch's generator of the device.
        ordered: whether the gradients of the rows are summed in the same order every time; quicker otherwise.
        blocks: how the work is divided; None for the table's.

    Returns:
        the shape of `query`, contiguous; 0 for queries that see no key. Gradients of gradients are refused.

    Raises:
        InputError: shapes, types or devices do not fit together.
    """
    tensors = {"key": key, "value": value, "content_rows": content_rows, "position_rows": position_rows}
    problems = [*_misfits(query, tensors, {"starts": starts, "mask": mask}, longest)]
    if problems:
        raise InputError("disentangled_attention: " + " ".join(problems))
    if dropout > 0 and seed is None:
        seed = draw_seed(query.device)
    if mask is not None:
        mask = mask.contiguous().view(torch.uint8) if mask.dtype == torch.bool else (mask != 0).to(torch.uint8)
    problem = Problem(
        _with_adjacent_numbers(query),
        _with_adjacent_numbers(key),
        _with_adjacent_numbers(value),
        None if content_rows is None else _with_adjacent_numbers(content_rows),
        None if position_rows is None else _with_adjacent_numbers(position_rows),
        starts,
        mask,
        seed if dropout > 0 else None,
        query.shape[1] if starts is None else longest or 0,
        scale,
        dropout,
        ordered,
    )
    given = [one for one in problem if isinstance(one, Tensor)]
    # torch's dispatcher takes longer than a kernel for a short text.
    if is_eager(*given) and not (torch.is_grad_enabled() and any(one.requires_grad for one in given)):
        return attend_now(problem, blocks)[0]
    # While a graph is traced the length may be a symbol, which must not be compared with a number: no table now.
    return attend(*problem, [] if blocks is None else blocks.flat())[0]


def _misfits(
    query: Tensor, others: dict[str, Tensor | None], more: dict[str, Tensor | None], longest: int | None
) -> list[str]:
    starts, mask = more["starts"], more["mask"]
    found = []
    if query.ndim != (4 if starts is None else 3):
        found.append(f"query is {[*query.shape]}, not [B, L, H, D], or with starts [T, H, D].")
        return found
    if query.shape[-1] > LARGEST_HEAD:
        found.append(f"The head size is {query.shape[-1]}; the kernels hold up to {LARGEST_HEAD}. Use 'sdpa'.")
    for name, one in others.items():
        if one is None:
            continue
        if name.endswith("rows"):
            if one.ndim != 3 or one.shape[1:] != query.shape[-2:] or one.shape[0] % 2 == 0:
                found.append(f"{name} is {[*one.shape]}, not [2 * reach + 1, {query.shape[-2]}, {query.shape[-1]}].")
        elif one.shape != query.shape:
            found.append(f"{name} is {[*one.shape]}, and query {[*query.shape]}: they must be alike.")
        if one.dtype != query.dtype:
            found.append(f"{name} is {one.dtype}, and query {query.dtype}: cast them to one type.")
    content, position = others["content_rows"], others["position_rows"]
    if content is not None and position is not None and content.shape[0] != position.shape[0]:
        found.append(f"content_rows are {content.shape[0]}, position_rows {position.shape[0]}: they must be as many.")
    if (starts is None) != (longest is None):
        found.append("starts and longest go together.")
    masks = [query.shape[:2], (*query.shape[:2], query.shape[1])] if starts is None else [query.shape[:1]]
    if mask is not None and mask.shape not in masks:
        found.append(f"mask is {[*mask.shape]}, not one of {[[*shape] for shape in masks]}.")
    for name, one in {**others, **more}.items():
        if one is not None and one.device != query.device:
            found.append(f"{name} is on {one.device}, and query on {query.device}: move them to one device.")
    return found


def _with_adjacent_numbers(values: Tensor) -> Tensor:
    """The tensor, or a copy whose last axis is contiguous."""
    return values if values.stride(-1) == 1 else values.contiguous()
