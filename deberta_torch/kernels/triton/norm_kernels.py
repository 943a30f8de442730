"""The kernels of dropout, residual and LayerNorm: numbers pass through memory once.

Shapes: R rows of C numbers, the hidden size, padded to a power of two.
"""

from __future__ import annotations

import triton
import triton.language as tl

from deberta_torch.kernels.triton.tiles import dropout_keys, scramble


@triton.jit
def stays(SEED, row, d, threshold, STEP: tl.constexpr):
    """Which numbers of rows `[R, 1]` and columns `[1, C]` dropout keeps, the same in every pass."""
    row_key, column_key = dropout_keys(SEED, 0, STEP)
    own = scramble(row.to(tl.uint32) * 0x9E3779B9 + row_key)
    return scramble(own ^ scramble(d.to(tl.uint32) * 0x9E3779B9 + column_key)) >= threshold


@triton.jit(do_not_specialize=["rows", "threshold"])
def normalize(PRODUCT, RESIDUAL, GAIN, SHIFT, SEED, LOW, TOTAL, MEAN, SHARE, OUT, rows, width, epsilon, threshold,
              rescale, STEP: tl.constexpr, DROPOUT: tl.constexpr, LOW_TOO: tl.constexpr, KEEPS: tl.constexpr,
              R: tl.constexpr, C: tl.constexpr):  # fmt: skip
    """R rows: the sums of residual and product, and their LayerNorm."""
    row = tl.program_id(0) * R + tl.arange(0, R)[:, None]
    d = tl.arange(0, C)[None, :]
    inside = (row < rows) & (d < width)
    at = row.to(tl.int64) * width + d
    total = tl.load(PRODUCT + at, mask=inside, other=0.0).to(tl.float32)
    if DROPOUT:
        total = tl.where(stays(SEED, row, d, threshold, STEP), total * rescale, 0.0)
    total += tl.load(RESIDUAL + at, mask=inside, other=0.0).to(tl.float32)
    total = total.to(OUT.dtype.element_ty).to(tl.float32)  # as it is kept
    mean = tl.sum(total, 1, keep_dims=True) / width
    apart = tl.where(inside, total - mean, 0.0)
    share = 1 / tl.sqrt_rn(tl.sum(apart * apart, 1, keep_dims=True) / width + epsilon)
    gain = tl.load(GAIN + d, mask=d < width, other=0.0).to(tl.float32)
    out = apart * share * gain + tl.load(SHIFT + d, mask=d < width, other=0.0).to(tl.float32)
    tl.store(OUT + at, out.to(OUT.dtype.element_ty), mask=inside)
    if LOW_TOO:
        tl.store(LOW + at, out.to(LOW.dtype.element_ty), mask=inside)
    if KEEPS:
        tl.store(TOTAL + at, total.to(TOTAL.dtype.element_ty), mask=inside)
        tl.store(MEAN + row, mean, mask=row < rows)
        tl.store(SHARE + row, share, mask=row < rows)


@triton.jit(do_not_specialize=["rows", "threshold"])
def gradients(GRAD, OF_LOW, TOTAL, MEAN, SHARE, GAIN, SEED, OF_PRODUCT, OF_RESIDUAL, PARTS, rows, width, threshold,
              rescale, STEP: tl.constexpr, DROPOUT: tl.constexpr, APART: tl.constexpr, BOTH: tl.constexpr,
              R: tl.constexpr, C: tl.constexpr):  # fmt: skip
    """The gradients of a share of the rows, R at a time, and sums over these rows of those of gain, shift and bias."""
    part = tl.program_id(0)
    d = tl.arange(0, C)[None, :]
    gain = tl.load(GAIN + d, mask=d < width, other=0.0).to(tl.float32)
    of_gain = tl.zeros([1, C], tl.float32)
    of_shift = tl.zeros([1, C], tl.float32)
    of_bias = tl.zeros([1, C], tl.float32)
    for first in range(part * R, rows, tl.num_programs(0) * R):
        row = first + tl.arange(0, R)[:, None]
        inside = (row < rows) & (d < width)
        at = row.to(tl.int64) * width + d
        grad = tl.load(GRAD + at, mask=inside, other=0.0).to(tl.float32)
        if BOTH:
            grad += tl.load(OF_LOW + at, mask=inside, other=0.0).to(tl.float32)
        total = tl.load(TOTAL + at, mask=inside, other=0.0).to(tl.float32)
        mean = tl.load(MEAN + row, mask=row < rows, other=0.0)
        share = tl.load(SHARE + row, mask=row < rows, other=0.0)
        normal = tl.where(inside, (total - mean) * share, 0.0)
        scaled = grad * gain
        common = tl.sum(scaled, 1, keep_dims=True) / width
        along = tl.sum(scaled * normal, 1, keep_dims=True) / width
        of_total = tl.where(inside, (scaled - common - normal * along) * share, 0.0)
        tl.store(OF_RESIDUAL + at, of_total.to(OF_RESIDUAL.dtype.element_ty), mask=inside)
        if DROPOUT:
            of_total = tl.where(stays(SEED, row, d, threshold, STEP), of_total * rescale, 0.0)
        if APART:
            tl.store(OF_PRODUCT + at, of_total.to(OF_PRODUCT.dtype.element_ty), mask=inside)
        of_gain += tl.sum(grad * normal, 0, keep_dims=True)
        of_shift += tl.sum(grad, 0, keep_dims=True)
        of_bias += tl.sum(of_total, 0, keep_dims=True)
    at = PARTS + part * 3 * width + d
    tl.store(at, of_gain, mask=d < width)
    tl.store(at + width, of_shift, mask=d < width)
    tl.store(at + 2 * width, of_bias, mask=d < width)
