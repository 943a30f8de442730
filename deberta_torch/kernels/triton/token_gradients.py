"""Kernels of the backward pass: from the gradients of scores to those of queries, keys and relative rows."""

from __future__ import annotations

import triton
import triton.language as tl

from deberta_torch.kernels.triton.tiles import COUNTS, text_bounds


@triton.jit(do_not_specialize=COUNTS)
def token_gradients(GRADS, OTHERS, SEEN, RELATIVE, STARTS, OUT, FAR_SUMS, o_text, o_token, o_head, r_row, r_head,
                     tokens, length, heads, width, reach, first_head, chunk_heads, first_text, rows, skewed_pitch,
                     grad_token, grad_head, SIGN: tl.constexpr, PACKED: tl.constexpr, POSITIONS: tl.constexpr,
                     FAR: tl.constexpr, MASKED: tl.constexpr, M: tl.constexpr, D: tl.constexpr):  # fmt: skip
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
            z = tl.load(
                GRADS + i[:, None] * pitch + (u - t0)[None, :],
                mask=(t < length)[:, None] & (u < length)[None, :],
                other=0.0,
            )
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
        at = OUT + (first + t)[:, None] * grad_token + head.to(tl.int64) * grad_head + d[None, :]
        tl.store(at, grad.to(OUT.dtype.element_ty), mask=inside)


@triton.jit
def _add_up(pointers, sums, inside, ATOMIC: tl.constexpr):
    """Writes sums, or adds them to what other programs add to."""
    if ATOMIC:
        tl.atomic_add(pointers, sums, mask=inside, sem="relaxed")
    else:
        tl.store(pointers, sums, mask=inside)


@triton.jit(do_not_specialize=COUNTS)
def relative_gradients(GRADS, TOKENS, SEEN, STARTS, OUT, FAR_SUMS, x_text, x_token, x_head, tokens, length, heads,
                       width, reach, limit, blocks, first_head, chunk_heads, first_text, texts, texts_each,
                       first_part, rows, skewed_pitch, SIGN: tl.constexpr, PACKED: tl.constexpr, FAR: tl.constexpr,
                       MASKED: tl.constexpr, ATOMIC: tl.constexpr, M: tl.constexpr, D: tl.constexpr):  # fmt: skip
    """Gradients of the relative rows of a block of distances: sums over some of the texts.

    Each part of the texts has a sum of its own; with ATOMIC all are added to one, in any order.
    """
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
            x = tl.load(
                X + t.to(tl.int64)[:, None] * x_token + d[None, :], mask=seen[:, None] & (d < width)[None, :], other=0.0
            )
            grad += tl.dot(tl.trans(z), x, input_precision="ieee")
        if FAR:  # noqa: SIM102 - known when the kernel is compiled
            if (block == 0) | (block == blocks - 1):
                sums = FAR_SUMS + (tl.where(block == 0, 0, heads) + head).to(tl.int64) * tokens + first
                for t0 in range(0, own, M):
                    t = t0 + i
                    seen = t < own
                    if MASKED:
                        seen = seen & (tl.load(SEEN + first + t, mask=seen, other=0) != 0)
                    x = tl.load(
                        X + t.to(tl.int64)[:, None] * x_token + d[None, :],
                        mask=seen[:, None] & (d < width)[None, :],
                        other=0.0,
                    )
                    edge += tl.sum(x.to(tl.float32) * tl.load(sums + t, mask=seen, other=0.0)[:, None], 0)
    if not ATOMIC:
        OUT += (first_part + part).to(tl.int64) * (2 * reach + 1) * heads * width
    row = reach + SIGN * by
    at = OUT + (row[:, None] * heads + head) * width + d[None, :]
    _add_up(at, grad, ((by >= -limit) & (by <= limit))[:, None] & (d < width)[None, :], ATOMIC)
    if FAR:  # noqa: SIM102 - the same
        if (block == 0) | (block == blocks - 1):
            edge_row = tl.where(block == 0, (1 - SIGN) * reach, (1 + SIGN) * reach)
            _add_up(OUT + (edge_row * heads + head) * width + d, edge, d < width, ATOMIC)
