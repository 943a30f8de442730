"""The kernel of the forward pass: the online softmax over all keys, for a block of queries."""

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


@triton.jit
def _weigh(s, keep, V, v_stride, seen, j0, most, total, context, more, row_key, column_key, i0, threshold, rescale,
           scale, length, width, DROPOUT: tl.constexpr, M: tl.constexpr, D: tl.constexpr,
           SPLIT: tl.constexpr):  # fmt: skip
    """One step of the online softmax."""
    s = tl.where(keep, s, float("-inf"))
    new = tl.maximum(most, tl.max(s, 1))  # finite, as `most` is from the start
    p = tl.exp2(s * scale - (new * scale)[:, None])
    shrink = tl.exp2((most - new) * scale)
    total = total * shrink + tl.sum(p, 1)
    if DROPOUT:
        p = tl.where(is_kept(row_key, column_key, i0, j0, threshold, M), p * rescale, 0.0)
    HALF: tl.constexpr = D // SPLIT
    v = load_values(V, v_stride, j0, length, width, seen, M, HALF)
    p = p.to(v.dtype)
    context = tl.dot(p, v, context * shrink[:, None], input_precision="ieee")
    if SPLIT == 2:
        v = load_values(V + HALF, v_stride, j0, length, width - HALF, seen, M, HALF)
        more = tl.dot(p, v, more * shrink[:, None], input_precision="ieee")
    return new, total, context, more


@triton.jit
def _far_keys(start, stop, i0, q, edge_score, EDGE, K, V, k_stride, v_stride, MASK, text, first, length, width, scale,
              most, total, context, more, row_key, column_key, threshold, rescale,
              C2P: tl.constexpr, P2C: tl.constexpr, KIND: tl.constexpr, DROPOUT: tl.constexpr,
              M: tl.constexpr, D: tl.constexpr, SPLIT: tl.constexpr):  # fmt: skip
    """Keys so far from all queries of the block that one relative row is everyone's."""
    d = tl.arange(0, D)
    for j0 in range(start, stop, M):
        k = load_tokens(K, k_stride, j0, length, width, M, D)
        s = tl.dot(q, tl.trans(k), input_precision="ieee")
        if C2P:
            s += edge_score[:, None]
        if P2C:
            row = tl.load(EDGE + d, mask=d < width, other=0.0)
            s += tl.sum(k.to(tl.float32) * row.to(tl.float32)[None, :], 1)[None, :]
        keep = load_keep(MASK, text, first, i0, j0, length, KIND, M)
        most, total, context, more = _weigh(
            s, keep, V, v_stride, seen_keys(keep, KIND), j0, most, total, context, more, row_key, column_key, i0,
            threshold, rescale, scale, length, width, DROPOUT, M, D, SPLIT)  # fmt: skip
    return most, total, context, more


@triton.jit
def seen_keys(keep, KIND: tl.constexpr):
    """Which keys of a tile any query sees: `[M]`; a number where nothing is hidden."""
    if KIND > 0:
        return tl.max(keep.to(tl.int32), 0) > 0
    else:
        return True


@triton.jit
def load_values(V, stride, j0, length, width, seen, M: tl.constexpr, D: tl.constexpr):
    """Values of a tile's keys; zeros for keys that no query of the tile sees, whose values may be NaN."""
    rows, d = tl.arange(0, M), tl.arange(0, D)
    inside = (((j0 + rows) < length) & seen)[:, None] & (d < width)[None, :]
    return tl.load(V + tl.cast(j0, tl.int64) * stride + rows[:, None] * stride + d[None, :], mask=inside, other=0.0)


@triton.jit(do_not_specialize=COUNTS)
def attend(Q, K, V, CONTENT, POSITION, MASK, STARTS, SEED, OUT, LSE,
           q_text, q_token, q_head, k_text, k_token, k_head, v_text, v_token, v_head,
           c_row, c_head, p_row, p_head, tokens, length, heads, width, reach, scale, threshold, rescale,
           PACKED: tl.constexpr, C2P: tl.constexpr, P2C: tl.constexpr, FAR: tl.constexpr, KIND: tl.constexpr,
           DROPOUT: tl.constexpr, ROUNDED: tl.constexpr, M: tl.constexpr, D: tl.constexpr,
           SPLIT: tl.constexpr):  # fmt: skip
    """The context of a block of queries in one text and head, and the logarithms of their sums of exponentials.

    With SPLIT 2 the context is computed as two halves of the head.
    """
    blocks = tl.cdiv(length, M)
    i0, of_text = tl.program_id(0) % blocks * M, tl.program_id(0) // blocks
    text, head = of_text // heads, of_text % heads
    first, length = text_bounds(STARTS, text, length, PACKED)
    if i0 < length:
        token = first if PACKED else first * 0
        Q += text.to(tl.int64) * q_text + token * q_token + head.to(tl.int64) * q_head
        K += text.to(tl.int64) * k_text + token * k_token + head.to(tl.int64) * k_head
        V += text.to(tl.int64) * v_text + token * v_token + head.to(tl.int64) * v_head
        CONTENT += head.to(tl.int64) * c_head
        POSITION += head.to(tl.int64) * p_head
        last = 2 * reach
        d = tl.arange(0, D)
        row_key, column_key = 0, 0
        if DROPOUT:
            row_key, column_key = dropout_keys(SEED, of_text)
        q = load_tokens(Q, q_token, i0, length, width, M, D)
        most = tl.full([M], -1.0e30, tl.float32)
        total = tl.zeros([M], tl.float32)
        context = tl.zeros([M, D // SPLIT], tl.float32)
        more = tl.zeros([M, D // SPLIT], tl.float32)
        begin, end = 0, length
        if FAR:  # keys up to `begin` are too far behind, from `end` on too far ahead
            begin = tl.maximum(i0 - reach + 1, 0) // M * M
            end = tl.minimum(tl.cdiv(i0 + M - 1 + reach, M) * M, length)
            edge_score = tl.zeros([M], tl.float32)
            if C2P:
                edge = tl.load(CONTENT + d, mask=d < width, other=0.0)
                edge_score = tl.sum(q.to(tl.float32) * edge.to(tl.float32)[None, :], 1)
            most, total, context, more = _far_keys(
                0, begin, i0, q, edge_score, POSITION, K, V, k_token, v_token, MASK, text, first, length, width, scale,
                most, total, context, more, row_key, column_key, threshold, rescale, C2P, P2C, KIND, DROPOUT, M, D,
                SPLIT,
            )  # fmt: skip
        left = tl.zeros([M, M], ROUNDED)
        if C2P:
            rows = load_rows(CONTENT, c_row, begin - i0 - (M - 1) + reach, last, width, M, D)
            left = rounded(tl.dot(q, tl.trans(rows), input_precision="ieee"), ROUNDED)
        for j0 in range(begin, end, M):
            k = tl.trans(load_tokens(K, k_token, j0, length, width, M, D))
            s = tl.zeros([M, M], tl.float32)
            if C2P:
                rows = load_rows(CONTENT, c_row, j0 - i0 + 1 + reach, last, width, M, D)
                right = rounded(tl.dot(q, tl.trans(rows), input_precision="ieee"), ROUNDED)
                s += read_by_query(left, right, M)
                left = right
            if P2C:
                rows = load_rows(POSITION, p_row, j0 - i0 - (M - 1) + reach, last, width, M, D)
                lower = rounded(tl.dot(rows, k, input_precision="ieee"), ROUNDED)
                rows = load_rows(POSITION, p_row, j0 - i0 + 1 + reach, last, width, M, D)
                upper = rounded(tl.dot(rows, k, input_precision="ieee"), ROUNDED)
                s += read_by_key(lower, upper, M)
            s = tl.dot(q, k, s, input_precision="ieee")
            keep = load_keep(MASK, text, first, i0, j0, length, KIND, M)
            most, total, context, more = _weigh(
                s, keep, V, v_token, seen_keys(keep, KIND), j0, most, total, context, more, row_key, column_key, i0,
                threshold, rescale, scale, length, width, DROPOUT, M, D, SPLIT)  # fmt: skip
        if FAR:
            if C2P:
                edge = tl.load(CONTENT + last * c_row + d, mask=d < width, other=0.0)
                edge_score = tl.sum(q.to(tl.float32) * edge.to(tl.float32)[None, :], 1)
            most, total, context, more = _far_keys(
                end, length, i0, q, edge_score, POSITION + last * p_row, K, V, k_token, v_token, MASK, text, first,
                length, width, scale, most, total, context, more, row_key, column_key, threshold, rescale, C2P, P2C,
                KIND, DROPOUT, M, D, SPLIT,
            )  # fmt: skip
        i = i0 + tl.arange(0, M)
        inside = i < length
        share = 1 / tl.where(total > 0, total, 1.0)
        d = tl.arange(0, D // SPLIT)
        at = OUT + ((first + i)[:, None] * heads + head) * width + d[None, :]
        tl.store(at, (context * share[:, None]).to(OUT.dtype.element_ty), mask=inside[:, None] & (d < width)[None, :])
        if SPLIT == 2:
            inside_more = inside[:, None] & (d + D // 2 < width)[None, :]
            tl.store(at + D // 2, (more * share[:, None]).to(OUT.dtype.element_ty), mask=inside_more)
        # Where a query sees no key, nothing is read of this.
        tl.store(
            LSE + head.to(tl.int64) * tokens + first + i,
            most * scale + tl.log2(tl.where(total > 0, total, 1.0)),
            mask=inside,
        )
