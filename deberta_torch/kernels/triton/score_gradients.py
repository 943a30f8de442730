"""Kernels of the backward pass: the gradients of scores, and of values with them, by blocks of keys.

The gradients of scores are written out by query and by key. What a token at t has with one at t + d lies `skewed_pitch`
apart from what t + 1 has with t + 1 + d. That is a multiple of 16, so that tiles by token and distance are read as fast
as tiles of a matrix are.
"""

from __future__ import annotations

import triton
import triton.language as tl

from deberta_torch.kernels.triton.tiles import (
    COUNTS,
    dropout_keys,
    is_kept,
    load_keep,
    load_rows,
    load_tokens,
    read_by_key,
    read_by_query,
    rounded,
    text_bounds,
)


@triton.jit(do_not_specialize=COUNTS)
def row_products(A, B, OUT, tokens, heads, width, M: tl.constexpr, D: tl.constexpr):
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
def score_gradients(Q, K, V, CONTENT, POSITION, MASK, STARTS, SEED, CONTEXT_GRAD, LSE, DELTA, VALUE_GRAD,
                     BY_QUERY, BY_KEY, q_text, q_token, q_head, k_text, k_token, k_head, v_text, v_token, v_head,
                     c_row, c_head, p_row, p_head, tokens, length, heads, width, reach, scale, threshold, rescale,
                     log_scale, first_head, chunk_heads, first_text, rows, skewed_pitch, grad_token, grad_head,
                     PACKED: tl.constexpr, C2P: tl.constexpr, P2C: tl.constexpr, FAR: tl.constexpr, KIND: tl.constexpr,
                     DROPOUT: tl.constexpr, ROUNDED: tl.constexpr, M: tl.constexpr, D: tl.constexpr):  # fmt: skip
    """For a block of keys in one text and head: the gradient of its values, and of its scores with all queries."""
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
            upper = rounded(tl.dot(rows_tile, tl.trans(k), input_precision="ieee"), ROUNDED)
        for i0 in range(begin, end, M):
            q = load_tokens(Q, q_token, i0, length, width, M, D)
            g = load_tokens(CONTEXT_GRAD, g_token, i0, length, width, M, D)
            s = tl.zeros([M, M], tl.float32)
            if C2P:
                rows_tile = load_rows(CONTENT, c_row, j0 - i0 - (M - 1) + reach, last, width, M, D)
                left = rounded(tl.dot(q, tl.trans(rows_tile), input_precision="ieee"), ROUNDED)
                rows_tile = load_rows(CONTENT, c_row, j0 - i0 + 1 + reach, last, width, M, D)
                right = rounded(tl.dot(q, tl.trans(rows_tile), input_precision="ieee"), ROUNDED)
                s += read_by_query(left, right, M)
            if P2C:
                rows_tile = load_rows(POSITION, p_row, j0 - i0 - (M - 1) + reach, last, width, M, D)
                lower = rounded(tl.dot(rows_tile, tl.trans(k), input_precision="ieee"), ROUNDED)
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
        at = VALUE_GRAD + (first + j)[:, None] * grad_token + head.to(tl.int64) * grad_head + d[None, :]
        tl.store(at, value_grad.to(VALUE_GRAD.dtype.element_ty), mask=(j < length)[:, None] & (d < width)[None, :])
