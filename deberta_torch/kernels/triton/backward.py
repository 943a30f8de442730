"""Disentangled attention, backward: deterministic, but for the last step where that is not asked for.

1. By blocks of keys: scores and probabilities again, the gradient of the values, and the gradients of the scores, which
   are written out, for some heads at a time so that memory stays bounded.
2. By blocks of tokens: the gradients of queries and of keys.
3. By blocks of distances: the gradients of the relative rows, as sums over parts of the texts, which are summed then;
   or quicker, where any order of sums will do, by atomic additions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from deberta_torch.kernels.triton.blocks import Block, Blocks
from deberta_torch.kernels.triton.forward import ROUNDED, padded_width
from deberta_torch.kernels.triton.problem import Problem, row_strides, token_strides
from deberta_torch.kernels.triton.score_gradients import row_products, score_gradients
from deberta_torch.kernels.triton.token_gradients import relative_gradients, token_gradients

# Bytes that the gradients of scores take at a time.
SCRATCH = 1 << 28
# Sums of relative rows' gradients are divided among at least so many heads and parts of the texts.
_PARTS = 48
_ATOMIC_PARTS = 192  # no sum of a part's own lies in memory


def backward(
    problem: Problem,
    grad: Tensor,
    out: Tensor,
    lse: Tensor,
    blocks: Blocks,
    written: Sequence[Tensor] | None = None,
) -> list[Tensor]:
    """Gradients of query, key, value `[..., H, D]`, and of content and position rows, empty where there are none.

    The first three are `written` into, where they are given: alike in strides, and a text's tokens follow another's.
    """
    p, grad = problem, grad.contiguous()
    plan = _plan(p, blocks)
    query_grad, key_grad, value_grad = written or [torch.empty_like(out) for _ in range(3)]
    parts = (plan.parts * plan.text_chunks if p.ordered else 1, 2 * p.reach + 1, p.heads, p.width)
    content, position = (
        None if rows is None else out.new_zeros(parts, dtype=torch.float32)
        for rows in (p.content_rows, p.position_rows)
    )
    if p.tokens:
        delta = torch.empty_like(lse)
        row_products[(triton.cdiv(p.tokens, 32) * p.heads,)](
            out, grad, delta, p.tokens, p.heads, p.width, M=32, D=padded_width(p), num_warps=4
        )
        scratch = out.new_empty((2, plan.scratch))
        by_query, by_key = scratch[:, plan.margin :]
        far = lse.new_empty((2, 2, *lse.shape) if p.has_far else (2, 0))
        hides = p.mask is not None
        sides = (
            _Side(by_query, p.key, hides, p.content_rows, query_grad, far[0], p.query, False, content, 1),
            _Side(by_key, p.query, False, p.position_rows, key_grad, far[1], p.key, hides, position, -1),
        )
        seen = p.query if p.mask is None else p.mask if p.mask_kind == 1 else p.mask.amax(dim=1)
        for number, first_text in enumerate(range(0, p.texts, plan.texts)):
            texts = min(plan.texts, p.texts - first_text)
            for first_head in range(0, p.heads, plan.heads):
                chunk = _Chunk(first_text, texts, first_head, min(plan.heads, p.heads - first_head), number)
                _launch_scores(p, plan, chunk, blocks.scores, grad, lse, delta, value_grad, by_query, by_key)
                for side in sides:
                    _launch_tokens(p, plan, chunk, blocks.tokens, side, seen)
                    if side.parts is not None:
                        _launch_rows(p, plan, chunk, blocks.rows, side, seen)
    return [query_grad, key_grad, value_grad, *(_sum_parts(one, out) for one in (content, position))]


class _Side(NamedTuple):
    """What the gradients of queries, or of keys, are made of.

    Attributes:
        scores: gradients of scores, by token and other.
        others: `[..., H, D]`, the keys of queries, or the queries of keys.
        hides_others: whether a mask may hide some of these.
        rows: relative rows that the tokens meet, or None.
        grad: `[..., H, D]`, of the tokens.
        far: `[2, H, T]`, sums of gradients of scores with others too far behind, and ahead.
        tokens: `[..., H, D]`.
        hides_tokens: whether a mask may hide some of these.
        parts: `[parts, W, H, D]`, of the rows.
        sign: of distances from token to other, as rows count them.
    """

    scores: Tensor
    others: Tensor
    hides_others: bool
    rows: Tensor | None
    grad: Tensor
    far: Tensor
    tokens: Tensor
    hides_tokens: bool
    parts: Tensor | None
    sign: int


class _Chunk(NamedTuple):
    """The texts and heads whose gradients of scores are in memory together."""

    first_text: int
    texts: int
    first_head: int
    heads: int
    number: int


def _launch_scores(p: Problem, plan: _Plan, chunk: _Chunk, block: Block, *tensors: Tensor) -> None:
    dropping = p.dropping
    score_gradients[(triton.cdiv(p.longest, block.size) * chunk.texts * chunk.heads,)](
        *p.pointers, *tensors, *p.strides, p.tokens, p.longest, p.heads, p.width, p.reach, p.scale,
        dropping.threshold, dropping.rescale, p.scale * math.log2(math.e), chunk.first_head, chunk.heads,
        chunk.first_text, plan.rows, plan.skewed_pitch, *tensors[3].stride()[-3:-1], PACKED=p.packed,
        C2P=p.content_rows is not None, P2C=p.position_rows is not None, FAR=p.has_far, KIND=p.mask_kind,
        DROPOUT=dropping.threshold > 0, ROUNDED=ROUNDED[p.query.dtype], M=block.size, D=padded_width(p),
        num_warps=block.warps, num_stages=block.stages,
    )  # fmt: skip


def _launch_tokens(p: Problem, plan: _Plan, chunk: _Chunk, block: Block, side: _Side, seen: Tensor) -> None:
    token_gradients[(triton.cdiv(p.longest, block.size) * chunk.texts * chunk.heads,)](
        side.scores, side.others, seen, p.query if side.rows is None else side.rows,
        p.query if p.starts is None else p.starts, side.grad, side.far, *token_strides(side.others),
        *row_strides(side.rows), p.tokens, p.longest, p.heads, p.width, p.reach, chunk.first_head, chunk.heads,
        chunk.first_text, plan.rows, plan.skewed_pitch, *side.grad.stride()[-3:-1], SIGN=side.sign, PACKED=p.packed,
        POSITIONS=side.rows is not None, FAR=p.has_far and side.rows is not None, MASKED=side.hides_others,
        M=block.size, D=padded_width(p),
        num_warps=block.warps, num_stages=block.stages,
    )  # fmt: skip


def _launch_rows(p: Problem, plan: _Plan, chunk: _Chunk, block: Block, side: _Side, seen: Tensor) -> None:
    limit = p.reach - 1 if p.has_far else min(p.reach, p.longest - 1)
    distances = 2 * (limit // block.size + 1)
    relative_gradients[(distances * chunk.heads * plan.parts,)](
        side.scores, side.tokens, seen, p.query if p.starts is None else p.starts, side.parts, side.far,
        *token_strides(side.tokens), p.tokens, p.longest, p.heads, p.width, p.reach, limit, distances, chunk.first_head,
        chunk.heads, chunk.first_text, chunk.texts, triton.cdiv(chunk.texts, plan.parts), chunk.number * plan.parts,
        plan.rows, plan.skewed_pitch, SIGN=side.sign, PACKED=p.packed, FAR=p.has_far, MASKED=side.hides_tokens,
        ATOMIC=not p.ordered, M=block.size, D=padded_width(p), num_warps=block.warps, num_stages=block.stages,
    )  # fmt: skip


class _Plan(NamedTuple):
    """How the gradients of scores are divided so that they fit into the scratch.

    Attributes:
        texts: at a time.
        heads: at a time.
        text_chunks: how often that is.
        parts: into which the texts of a chunk are divided where relative rows' gradients are summed.
        rows: tokens at a time, at most.
        skewed_pitch: numbers from what a token has with another to what their next ones have with each other.
        scratch: numbers of each of the two copies.
        margin: numbers before the first: tiles reach over the edges, where what they read is put to 0.
    """

    texts: int
    heads: int
    text_chunks: int
    parts: int
    rows: int
    skewed_pitch: int
    scratch: int
    margin: int


def _plan(p: Problem, blocks: Blocks) -> _Plan:
    skewed_pitch = triton.cdiv(p.longest + 1, 16) * 16
    numbers = SCRATCH // (2 * p.query.dtype.itemsize * skewed_pitch)  # rows of the scratch
    texts, heads = max(p.texts, 1), min(p.heads, numbers // max(p.tokens, 1))
    if not heads:
        heads, texts = 1, min(texts, max(numbers // p.longest, 1))
    rows = min(p.tokens, texts * p.longest)
    margin = 2 * max(block.size for block in blocks)
    scratch = (heads * rows + margin) * skewed_pitch + 2 * margin
    parts = min(texts, max((_PARTS if p.ordered else _ATOMIC_PARTS) // heads, 1))
    return _Plan(texts, heads, -(-p.texts // texts), parts, rows, skewed_pitch, scratch, margin)


def _sum_parts(parts: Tensor | None, like: Tensor) -> Tensor:
    if parts is None:
        return like.new_empty(0)
    return (parts[0] if len(parts) == 1 else parts.sum(dim=0)).to(like.dtype)
