"""Parts of the kernels: where a text lies, what is loaded, and how products with relative rows are read.

A tile of M queries and M keys meets 2 * M - 1 distances. Its products with those rows are two halves of M columns, of
which each query reads one part of the first and the other part of the second. So the halves are merged into one tile,
and every row of it is rotated by its number: `tl.gather` moves M x M numbers, not M x 2M.

Shapes of tiles: M tokens, W = M distances, D the head size, padded to a power of two.
"""

from __future__ import annotations

import triton
import triton.language as tl

from deberta_torch.kernels.triton.availability import is_interpreting
from deberta_torch.kernels.triton.interpreted import repair_interpreter

if is_interpreting():
    repair_interpreter()

# Triton would compile a kernel again where one of these is 1, or divisible by 16.
COUNTS = ["tokens", "length", "heads", "reach", "first_head", "chunk_heads", "first_text", "texts", "texts_each",
          "first_part", "rows", "limit", "blocks", "threshold"]  # fmt: skip
# Kinds of masks: none, of the keys of a text, of its pairs of query and key.
NO_MASK, KEY_MASK, PAIR_MASK = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)


@triton.jit
def text_bounds(STARTS, text, length, PACKED: tl.constexpr):
    """The first token of a text, counted over all texts, and the text's length."""
    if PACKED:
        first = tl.load(STARTS + text)
        return first.to(tl.int64), tl.load(STARTS + text + 1) - first
    else:
        return tl.cast(text, tl.int64) * length, length


@triton.jit
def load_tokens(pointer, stride, first, length, width, M: tl.constexpr, D: tl.constexpr):
    """Tokens `first` to `first + M` of a text as a tile `[M, D]`, zeros outside."""
    rows, d = tl.arange(0, M), tl.arange(0, D)
    inside = (first + rows < length)[:, None] & (d < width)[None, :]
    return tl.load(
        pointer + tl.cast(first, tl.int64) * stride + rows[:, None] * stride + d[None, :], mask=inside, other=0.0
    )


@triton.jit
def load_rows(pointer, stride, first, last, width, M: tl.constexpr, D: tl.constexpr):
    """Relative rows `first` to `first + M` as a tile `[M, D]`; beyond the edges, the edges'."""
    rows, d = tl.arange(0, M), tl.arange(0, D)
    at = tl.minimum(tl.maximum(first + rows, 0), last)
    return tl.load(pointer + at[:, None] * stride + d[None, :], mask=(d < width)[None, :], other=0.0)


@triton.jit
def load_keep(MASK, text, first_token, i0, j0, length, KIND: tl.constexpr, M: tl.constexpr):
    """Which keys of a tile are seen: `[1, M]` or `[M, M]`, false outside of the text."""
    i, j = i0 + tl.arange(0, M), j0 + tl.arange(0, M)
    inside = (j < length)[None, :]
    if KIND == KEY_MASK:
        inside = inside & (tl.load(MASK + first_token + j, mask=j < length, other=0) != 0)[None, :]
    if KIND == PAIR_MASK:
        row = MASK + (text.to(tl.int64) * length + i) * length
        inside = inside & (i < length)[:, None]
        inside = inside & (tl.load(row[:, None] + j[None, :], mask=inside, other=0) != 0)
    return inside


@triton.jit
def rounded(products, TYPE: tl.constexpr):
    """Products with relative rows in fewer bytes, to be moved; made smaller where they may overflow float16."""
    IS_HALF: tl.constexpr = TYPE == tl.float16  # noqa: SIM300
    if IS_HALF:
        products *= 1 / 64
    return products.to(TYPE)


@triton.jit
def restored(products):
    """What `rounded` rounded, in float32."""
    if products.dtype == tl.float16:
        return products.to(tl.float32) * 64
    else:
        return products.to(tl.float32)


@triton.jit
def read_by_query(left, right, M: tl.constexpr):
    """Products of M queries with the rows of 2 * M distances, two halves `[M, W]`, to `[M queries, M keys]`."""
    i, c = tl.arange(0, M)[:, None], tl.arange(0, M)[None, :]
    merged = tl.where(c >= M - 1 - i, left, right)
    return restored(tl.gather(merged, (c - i + M - 1) & (M - 1), 1))


@triton.jit
def read_by_key(left, right, M: tl.constexpr):
    """Products of the rows of 2 * M distances, two halves `[W, M]`, with M keys, to `[M queries, M keys]`."""
    w, j = tl.arange(0, M)[:, None], tl.arange(0, M)[None, :]
    merged = tl.where(w >= j, left, right)
    return restored(tl.gather(merged, (j - w + M - 1) & (M - 1), 0))


@triton.jit
def dropout_keys(SEED, head, step=0):
    """Two random numbers for a head of a text, or for a step of a layer that has no heads."""
    first, second, _, _ = tl.philox(tl.load(SEED), head, step, 0, 0)
    return first, second


@triton.jit
def is_kept(row_key, column_key, i0, j0, threshold, M: tl.constexpr):
    """Which probabilities of a tile dropout keeps, `[M, M]`: the same in every pass, for padded and packed texts."""
    i = scramble((i0 + tl.arange(0, M)).to(tl.uint32) * 0x9E3779B9 + row_key)
    j = scramble((j0 + tl.arange(0, M)).to(tl.uint32) * 0x9E3779B9 + column_key)
    return scramble(i[:, None] ^ j[None, :]) >= threshold


@triton.jit
def scramble(x):
    """A bijection of 32 bits in which each of the input's bits turns about half of the output's (MurmurHash3)."""
    x = (x ^ (x >> 16)) * 0x85EBCA6B
    x = (x ^ (x >> 13)) * 0xC2B2AE35
    return x ^ (x >> 16)
