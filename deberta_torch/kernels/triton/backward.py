"""Disentangled attention, backward: deterministic, without atomics.

1. By blocks of keys: scores and probabilities again, the gradient of the values, and the gradients of the scores, which
   are written out twice, by query and by key, for some heads at a time so that memory stays bounded.
2. By blocks of tokens: the gradients of queries and of keys.
3. By blocks of distances: the gradients of the relative rows.

What a token at t has with one at t + d lies `pitch + 1` apart from what t + 1 has with t + 1 + d. The pitch is one less
than a multiple of 16, so that tiles by token and distance are read as fast as tiles of a matrix are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from deberta_torch.kernels.triton.blocks import Block, Blocks
from deberta_torch.kernels.triton.forward import COUNTS, ROUNDED, padded_width
from deberta_torch.kernels.triton.problem import Problem, row_strides, token_strides
from deberta_torch.kernels.triton.tiles import (
    dropout_keys,
    is_kept,
    load_keep,
    load_rows,
    load_tokens,
    read_by_key,
    read_by_query,
    text_bounds,
)

# Bytes that the gradients of scores take at a time.
SCRATCH = 1 << 27
# Sums of relative rows' gradients are divided among at least so many heads and parts of the texts.
_PARTS = 48


@triton.jit(do_not_specialize=COUNTS)
def _row_products(A, B, OUT, tokens, heads, width, M: tl.constexpr, D: tl.constexpr):
    """Sums of products over the last axis: two `[T, H, D]` to `[H, T]`."""
    head, t = tl.program_id(0) % heads, tl.program_id(0) // heads * M + tl.arange(0, M)
    d = tl.arange(0, D)
    at = (t.to(tl.int64) * heads + head)[:, None] * width + d[None, :]
    inside = (t < tokens)[:, None] & (d < width)[None, :]
    a = tl.load(A + at, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(B + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(OUT + head.to(tl.int64) * tokens + t, tl.sum(a * b, 1), mask=t < tokens)


@triton.jit
def _tile_gradients(s, i0, j0, q_keep, v, context_grad, value_grad, LSE, DELTA, BY_QUERY, BY_KEY, pitch, length,
                    row_key, column_key, threshold, rescale, scale, log_scale, DROPOUT: tl.constexpr,
                    M: tl.constexpr):  # fmt: skip
    """From the scores of a tile to the gradients of the scores, which are stored, and of the values."""
    i, j = i0 + tl.arange(0, M), j0 + tl.arange(0, M)
    keep = q_keep & (i < length)[:, None]
    lse = tl.load(LSE + i, mask=i < length, other=0.0)
    delta = tl.load(DELTA + i, mask=i < length, other=0.0)
    p = tl.exp2(tl.where(keep, s * log_scale - lse[:, None], float("-inf")))
    p_grad = tl.dot(context_grad, tl.trans(v), input_precision="ieee")
    if DROPOUT:
        kept = tl.where(is_kept(row_key, column_key, i0, j0, threshold, M), rescale, 0.0)
        p_grad *= kept
        weights = p * kept
    else:
        weights = p
    value_grad += tl.dot(tl.trans(weights.to(v.dtype)), context_grad, input_precision="ieee")
    s_grad = tl.where(keep, p * (p_grad - delta[:, None]) * scale, 0.0).to(v.dtype)
    inside = (i < length)[:, None] & (j < length)[None, :]
    tl.store(BY_QUERY + i.to(tl.int64)[:, None] * pitch + j[None, :], s_grad, mask=inside)
    tl.store(BY_KEY + j.to(tl.int64)[None, :] * pitch + i[:, None], s_grad, mask=inside)
    return value_grad


@triton.jit(do_not_specialize=COUNTS)
def _score_gradients(Q, K, V, CONTENT, POSITION, MASK, STARTS, SEED, CONTEXT_GRAD, LSE, DELTA, VALUE_GRAD,
                     BY_QUERY, BY_KEY, q_text, q_token, q_head, k_text, k_token, k_head, v_text, v_token, v_head,
                     c_row, c_head, p_row, p_head, tokens, length, heads, width, reach, scale, threshold, rescale,
                     log_scale, first_head, chunk_heads, first_text, rows, skewed_pitch,
                     PACKED: tl.constexpr, C2P: tl.constexpr, P2C: tl.constexpr, FAR: tl.constexpr, KIND: tl.constexpr,
                     DROPOUT: tl.constexpr, ROUNDED: tl.constexpr, M: tl.constexpr, D: tl.constexpr):  # fmt: skip
    blocks = tl.cdiv(length, M)
    j0, of_text = tl.program_id(0) % blocks * M, tl.program_id(0) // blocks
    text, local_head = first_text + of_text // chunk_heads, of_text % chunk_heads
    head = first_head + local_head
    base, _ = text_bounds(STARTS, first_text, length, PACKED)
    first, length = text_bounds(STARTS, text, length, PACKED)
    if j0 < length:
        token = first if PACKED else first * 0
        Q += text.to(tl.int64) * q_text + token * q_token + head.to(tl.int64) * q_head
        K += text.to(tl.int64) * k_text + token * k_token + head.to(tl.int64) * k_head
        V += text.to(tl.int64) * v_text + token * v_token + head.to(tl.int64) * v_head
        CONTENT += head.to(tl.int64) * c_head
        POSITION += head.to(tl.int64) * p_head
        LSE += head.to(tl.int64) * tokens + first
        DELTA += head.to(tl.int64) * tokens + first
        CONTEXT_GRAD += (first * heads + head) * width
        BY_QUERY += (local_head.to(tl.int64) * rows + first - base) * skewed_pitch
        BY_KEY += (local_head.to(tl.int64) * rows + first - base) * skewed_pitch
        pitch = skewed_pitch - 1
        last, g_token = 2 * reach, heads * width
        d = tl.arange(0, D)
        row_key, column_key = 0, 0
        if DROPOUT:
            row_key, column_key = dropout_keys(SEED, text * heads + head)
        k = load_tokens(K, k_token, j0, length, width, M, D)
        v = load_tokens(V, v_token, j0, length, width, M, D)
        value_grad = tl.zeros([M, D], tl.float32)
        begin, end = 0, length
        if FAR:  # keys are too far ahead of queries up to `begin`, and too far behind from `end` on
            begin = tl.maximum(j0 - reach + 1, 0) // M * M
            end = tl.minimum(tl.cdiv(j0 + M - 1 + reach, M) * M, length)
            key_score = tl.zeros([M], tl.float32)
            c_edge = tl.load(CONTENT + last * c_row + d, mask=(d < width) & C2P, other=0.0).to(tl.float32)
            p_edge = tl.load(POSITION + last * p_row + d, mask=(d < width) & P2C, other=0.0).to(tl.float32)
            key_score = tl.sum(k.to(tl.float32) * p_edge[None, :], 1)
            for i0 in range(0, begin, M):
                q = load_tokens(Q, q_token, i0, length, width, M, D)
                g = load_tokens(CONTEXT_GRAD, g_token, i0, length, width, M, D)
                s = tl.dot(q, tl.trans(k), input_precision="ieee") + key_score[None, :]
                s += tl.sum(q.to(tl.float32) * c_edge[None, :], 1)[:, None]
                keep = load_keep(MASK, text, first, i0, j0, length, KIND, M)
                value_grad = _tile_gradients(s, i0, j0, keep, v, g, value_grad, LSE, DELTA, BY_QUERY, BY_KEY,
                                             pitch, length, row_key, column_key, threshold, rescale, scale, log_scale,
                                             DROPOUT, M)  # fmt: skip
        upper = tl.zeros([M, M], ROUNDED)
        if P2C:
            rows_tile = load_rows(POSITION, p_row, j0 - begin + 1 + reach, last, width, M, D)
            upper = tl.dot(rows_tile, tl.trans(k), input_precision="ieee").to(ROUNDED)
        for i0 in range(begin, end, M):
            q = load_tokens(Q, q_token, i0, length, width, M, D)
            g = load_tokens(CONTEXT_GRAD, g_token, i0, length, width, M, D)
            s = tl.zeros([M, M], tl.float32)
            if C2P:
                rows_tile = load_rows(CONTENT, c_row, j0 - i0 - (M - 1) + reach, last, width, M, D)
                left = tl.dot(q, tl.trans(rows_tile), input_precision="ieee").to(ROUNDED)
                rows_tile = load_rows(CONTENT, c_row, j0 - i0 + 1 + reach, last, width, M, D)
                right = tl.dot(q, tl.trans(rows_tile), input_precision="ieee").to(ROUNDED)
                s += read_by_query(left, right, M)
            if P2C:
                rows_tile = load_rows(POSITION, p_row, j0 - i0 - (M - 1) + reach, last, width, M, D)
                lower = tl.dot(rows_tile, tl.trans(k), input_precision="ieee").to(ROUNDED)
                s += read_by_key(lower, upper, M)
                upper = lower
            s = tl.dot(q, tl.trans(k), s, input_precision="ieee")
            keep = load_keep(MASK, text, first, i0, j0, length, KIND, M)
            value_grad = _tile_gradients(s, i0, j0, keep, v, g, value_grad, LSE, DELTA, BY_QUERY, BY_KEY, pitch, length,
                                         row_key, column_key, threshold, rescale, scale, log_scale,
                                             DROPOUT, M)  # fmt: skip
        if FAR:
            c_edge = tl.load(CONTENT + d, mask=(d < width) & C2P, other=0.0).to(tl.float32)
            p_edge = tl.load(POSITION + d, mask=(d < width) & P2C, other=0.0).to(tl.float32)
            key_score = tl.sum(k.to(tl.float32) * p_edge[None, :], 1)
            for i0 in range(end, length, M):
                q = load_tokens(Q, q_token, i0, length, width, M, D)
                g = load_tokens(CONTEXT_GRAD, g_token, i0, length, width, M, D)
                s = tl.dot(q, tl.trans(k), input_precision="ieee") + key_score[None, :]
                s += tl.sum(q.to(tl.float32) * c_edge[None, :], 1)[:, None]
                keep = load_keep(MASK, text, first, i0, j0, length, KIND, M)
                value_grad = _tile_gradients(s, i0, j0, keep, v, g, value_grad, LSE, DELTA, BY_QUERY, BY_KEY,
                                             pitch, length, row_key, column_key, threshold, rescale, scale, log_scale,
                                             DROPOUT, M)  # fmt: skip
        j = j0 + tl.arange(0, M)
        at = VALUE_GRAD + ((first + j)[:, None] * heads + head) * width + d[None, :]
        tl.store(at, value_grad.to(VALUE_GRAD.dtype.element_ty), mask=(j < length)[:, None] & (d < width)[None, :])


@triton.jit(do_not_specialize=COUNTS)
def _token_gradients(GRADS, OTHERS, SEEN, RELATIVE, STARTS, OUT, FAR_SUMS, o_text, o_token, o_head, r_row, r_head,
                     tokens, length, heads, width, reach, first_head, chunk_heads, first_text, rows, skewed_pitch,
                     SIGN: tl.constexpr, PACKED: tl.constexpr, POSITIONS: tl.constexpr, FAR: tl.constexpr,
                     MASKED: tl.constexpr, M: tl.constexpr, D: tl.constexpr):  # fmt: skip
    """Gradients of queries, from scores' by query, the keys and the rows that queries meet; or of keys likewise.

    A distance is from a token to the other; the row of distance d is `reach + SIGN * d`.
    """
    blocks = tl.cdiv(length, M)
    t0, of_text = tl.program_id(0) % blocks * M, tl.program_id(0) // blocks
    text, local_head = first_text + of_text // chunk_heads, of_text % chunk_heads
    head = first_head + local_head
    base, _ = text_bounds(STARTS, first_text, length, PACKED)
    first, length = text_bounds(STARTS, text, length, PACKED)
    if t0 < length:
        token = first if PACKED else first * 0
        OTHERS += text.to(tl.int64) * o_text + token * o_token + head.to(tl.int64) * o_head
        RELATIVE += head.to(tl.int64) * r_head
        GRADS += (local_head.to(tl.int64) * rows + first - base + t0) * skewed_pitch
        pitch = skewed_pitch - 1
        i, d = tl.arange(0, M), tl.arange(0, D)
        t = t0 + i
        inside = (t < length)[:, None] & (d < width)[None, :]
        grad = tl.zeros([M, D], tl.float32)
        behind, ahead = tl.zeros([M], tl.float32), tl.zeros([M], tl.float32)
        for u0 in range(0, length, M):
            u = u0 + i
            z = tl.load(GRADS + i[:, None] * pitch + (u - t0)[None, :], mask=(t < length)[:, None] & (u < length)[None, :], other=0.0)
            seen = u < length
            if MASKED:
                seen = seen & (tl.load(SEEN + first + u, mask=seen, other=0) != 0)
            others = tl.load(OTHERS + u.to(tl.int64)[:, None] * o_token + d[None, :],
                             mask=seen[:, None] & (d < width)[None, :], other=0.0)  # fmt: skip
            grad += tl.dot(z, others, input_precision="ieee")
            if FAR:
                ahead_by = u[None, :] - t[:, None]
                behind += tl.sum(tl.where(ahead_by <= -reach, z.to(tl.float32), 0.0), 1)
                ahead += tl.sum(tl.where(ahead_by >= reach, z.to(tl.float32), 0.0), 1)
        if POSITIONS:
            least, most = -(t0 + M - 1), length - 1 - t0
            if FAR:
                least, most = tl.maximum(least, 1 - reach), tl.minimum(most, reach - 1)
            for d0 in range(-tl.cdiv(-least, M) * M, most + 1, M):
                by = d0 + i
                z = tl.load(GRADS + i[:, None] * skewed_pitch + d0 + i[None, :])
                u = t[:, None] + by[None, :]
                real = (u >= 0) & (u < length) & (t < length)[:, None] & (by >= least)[None, :] & (by <= most)[None, :]
                z = tl.where(real, z, 0.0)
                row = tl.minimum(tl.maximum(reach + SIGN * by, 0), 2 * reach)
                relative = tl.load(RELATIVE + row[:, None] * r_row + d[None, :], mask=(d < width)[None, :], other=0.0)
                grad += tl.dot(z, relative, input_precision="ieee")
            if FAR:
                edge = tl.load(RELATIVE + (1 - SIGN) * reach * r_row + d, mask=d < width, other=0.0).to(tl.float32)
                grad += behind[:, None] * edge[None, :]
                edge = tl.load(RELATIVE + (1 + SIGN) * reach * r_row + d, mask=d < width, other=0.0).to(tl.float32)
                grad += ahead[:, None] * edge[None, :]
                sums = FAR_SUMS + head.to(tl.int64) * tokens + first + t
                tl.store(sums, behind, mask=t < length)
                tl.store(sums + tl.cast(heads, tl.int64) * tokens, ahead, mask=t < length)
        at = OUT + ((first + t)[:, None] * heads + head) * width + d[None, :]
        tl.store(at, grad.to(OUT.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=COUNTS)
def _relative_gradients(GRADS, TOKENS, SEEN, STARTS, OUT, FAR_SUMS, x_text, x_token, x_head, tokens, length, heads, width,
                        reach, limit, blocks, first_head, chunk_heads, first_text, texts, texts_each, first_part, rows,
                        skewed_pitch, SIGN: tl.constexpr, PACKED: tl.constexpr, FAR: tl.constexpr,
                        MASKED: tl.constexpr, M: tl.constexpr, D: tl.constexpr):  # fmt: skip
    """Gradients of the relative rows of a block of distances: sums over some of the texts."""
    block, rest = tl.program_id(0) % blocks, tl.program_id(0) // blocks
    local_head, part = rest % chunk_heads, rest // chunk_heads
    head = first_head + local_head
    base, _ = text_bounds(STARTS, first_text, length, PACKED)
    i, d = tl.arange(0, M), tl.arange(0, D)
    d0 = (block - blocks // 2) * M
    by = d0 + i
    grad = tl.zeros([M, D], tl.float32)
    edge = tl.zeros([D], tl.float32)
    start = first_text + part * texts_each
    for text in range(start, tl.minimum(start + texts_each, first_text + texts)):
        first, own = text_bounds(STARTS, tl.cast(text, tl.int32), length, PACKED)
        token = first if PACKED else first * 0
        X = TOKENS + tl.cast(text, tl.int64) * x_text + token * x_token + head.to(tl.int64) * x_head
        Z = GRADS + (local_head.to(tl.int64) * rows + first - base) * skewed_pitch
        for t0 in range(tl.maximum(-(d0 + M - 1), 0) // M * M, tl.minimum(own, own - d0), M):
            t = t0 + i
            z = tl.load(Z + tl.cast(t0, tl.int64) * skewed_pitch + i[:, None] * skewed_pitch + d0 + i[None, :])
            u = t[:, None] + by[None, :]
            z = tl.where((u >= 0) & (u < own) & (t < own)[:, None], z, 0.0)
            seen = t < own
            if MASKED:
                seen = seen & (tl.load(SEEN + first + t, mask=seen, other=0) != 0)
            x = tl.load(X + t.to(tl.int64)[:, None] * x_token + d[None, :], mask=seen[:, None] & (d < width)[None, :], other=0.0)
            grad += tl.dot(tl.trans(z), x, input_precision="ieee")
        if FAR:
            if (block == 0) | (block == blocks - 1):
                sums = FAR_SUMS + (tl.where(block == 0, 0, heads) + head).to(tl.int64) * tokens + first
                for t0 in range(0, own, M):
                    t = t0 + i
                    seen = t < own
                    if MASKED:
                        seen = seen & (tl.load(SEEN + first + t, mask=seen, other=0) != 0)
                    x = tl.load(X + t.to(tl.int64)[:, None] * x_token + d[None, :], mask=seen[:, None] & (d < width)[None, :], other=0.0)
                    edge += tl.sum(x.to(tl.float32) * tl.load(sums + t, mask=seen, other=0.0)[:, None], 0)
    OUT += (first_part + part).to(tl.int64) * (2 * reach + 1) * heads * width
    row = reach + SIGN * by
    at = OUT + (row[:, None] * heads + head) * width + d[None, :]
    tl.store(at, grad, mask=((by >= -limit) & (by <= limit))[:, None] & (d < width)[None, :])
    if FAR:
        if (block == 0) | (block == blocks - 1):
            edge_row = tl.where(block == 0, (1 - SIGN) * reach, (1 + SIGN) * reach)
            tl.store(OUT + (edge_row * heads + head) * width + d, edge, mask=d < width)


def backward(problem: Problem, grad: Tensor, out: Tensor, lse: Tensor, blocks: Blocks) -> list[Tensor]:
    """Gradients of query, key, value `[..., H, D]`, and of content and position rows, empty where there are none."""
    p, grad = problem, grad.contiguous()
    plan = _plan(p, blocks)
    query_grad, key_grad, value_grad = (torch.empty_like(out) for _ in range(3))
    parts = (plan.parts * plan.text_chunks, 2 * p.reach + 1, p.heads, p.width)
    content, position = (
        None if rows is None else out.new_zeros(parts, dtype=torch.float32) for rows in (p.content_rows, p.position_rows)
    )
    if p.tokens:
        delta = torch.empty_like(lse)
        _row_products[(triton.cdiv(p.tokens, 32) * p.heads,)](
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
    _score_gradients[(triton.cdiv(p.longest, block.size) * chunk.texts * chunk.heads,)](
        *p.pointers, *tensors, *p.strides, p.tokens, p.longest, p.heads, p.width, p.reach, p.scale, p.threshold, p.rescale,
        p.scale * math.log2(math.e), chunk.first_head, chunk.heads, chunk.first_text, plan.rows, plan.skewed_pitch,
        PACKED=p.packed, C2P=p.content_rows is not None, P2C=p.position_rows is not None, FAR=p.has_far,
        KIND=p.mask_kind, DROPOUT=p.threshold > 0, ROUNDED=ROUNDED[p.query.dtype], M=block.size, D=padded_width(p),
        num_warps=block.warps, num_stages=block.stages,
    )  # fmt: skip


def _launch_tokens(p: Problem, plan: _Plan, chunk: _Chunk, block: Block, side: _Side, seen: Tensor) -> None:
    _token_gradients[(triton.cdiv(p.longest, block.size) * chunk.texts * chunk.heads,)](
        side.scores, side.others, seen, p.query if side.rows is None else side.rows,
        p.query if p.starts is None else p.starts, side.grad, side.far, *token_strides(side.others),
        *row_strides(side.rows), p.tokens, p.longest, p.heads, p.width, p.reach, chunk.first_head, chunk.heads,
        chunk.first_text, plan.rows, plan.skewed_pitch, SIGN=side.sign, PACKED=p.packed, POSITIONS=side.rows is not None,
        FAR=p.has_far and side.rows is not None, MASKED=side.hides_others, M=block.size, D=padded_width(p),
        num_warps=block.warps, num_stages=block.stages,
    )  # fmt: skip


def _launch_rows(p: Problem, plan: _Plan, chunk: _Chunk, block: Block, side: _Side, seen: Tensor) -> None:
    limit = p.reach - 1 if p.has_far else min(p.reach, p.longest - 1)
    distances = 2 * (limit // block.size + 1)
    _relative_gradients[(distances * chunk.heads * plan.parts,)](
        side.scores, side.tokens, seen, p.query if p.starts is None else p.starts, side.parts, side.far,
        *token_strides(side.tokens), p.tokens, p.longest, p.heads, p.width, p.reach, limit, distances, chunk.first_head,
        chunk.heads, chunk.first_text, chunk.texts, triton.cdiv(chunk.texts, plan.parts), chunk.number * plan.parts,
        plan.rows, plan.skewed_pitch, SIGN=side.sign, PACKED=p.packed, FAR=p.has_far, MASKED=side.hides_tokens,
        M=block.size, D=padded_width(p), num_warps=block.warps, num_stages=block.stages,
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
    return _Plan(texts, heads, -(-p.texts // texts), min(texts, max(_PARTS // heads, 1)), rows, skewed_pitch, scratch, margin)


def _sum_parts(parts: Tensor | None, like: Tensor) -> Tensor:
    return like.new_empty(0) if parts is None else parts.sum(dim=0).to(like.dtype)
