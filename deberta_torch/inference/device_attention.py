"""Attention over tokens without padding, for inference on accelerators: which implementation serves, and its rows."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from deberta_torch.attention import DisentangledSelfAttention
from deberta_torch.inference.device_norm import AddNorm, KernelNorm, TorchNorm
from deberta_torch.inference.layouts import Layout
from deberta_torch.inference.positions import KeptPositions
from deberta_torch.kernels.attention_blocks import attend
from deberta_torch.kernels.triton.attention import disentangled_attention
from deberta_torch.kernels.triton.availability import why_not
from deberta_torch.kernels.triton.rows import rows_by_distance
from deberta_torch.plans import Bucket


class PackedAttention(Protocol):
    """Attends within the texts.

    Attributes:
        bits: leading ones of a bucket's sizes that may be other than 0: more where larger sizes cost more.
        add_norm: what follows it in a layer.
    """

    bits: Bucket
    add_norm: type[AddNorm]

    def __init__(
        self, attention: DisentangledSelfAttention, table: Tensor | None, index: Tensor, dtype: torch.dtype
    ) -> None:
        """Projects the layer's rows of the relative table; arguments are those of `KeptPositions`."""

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, layout: Layout) -> Tensor:
        """From query (scaled), key and value to the context, all `[T, H, D]`."""


class KernelAttention:
    """By Triton's kernel: texts of any lengths, nothing between them."""

    bits = Bucket(texts=1, tokens=4, longest=2)  # what is too much ends at once
    add_norm: type[AddNorm] = KernelNorm

    def __init__(
        self, attention: DisentangledSelfAttention, table: Tensor | None, index: Tensor, dtype: torch.dtype
    ) -> None:
        def rows(projected: Tensor, scale: float) -> Tensor:
            split = projected.unflatten(-1, (attention.num_heads, attention.head_size))
            ordered = rows_by_distance(split.float() * scale, index.flip(0))  # from query - key to key - query
            return ordered.to(dtype).transpose(0, 1).contiguous().transpose(0, 1)  # a head's rows lie together

        terms = attention.terms if table is not None else ()
        self._content = rows(attention.position_key(table), 1.0) if table is not None and "c2p" in terms else None
        self._position = (
            rows(attention.position_query(table), attention.scale) if table is not None and "p2c" in terms else None
        )

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, layout: Layout) -> Tensor:
        """See `PackedAttention`."""
        return disentangled_attention(
            query, key, value, self._content, self._position, starts=layout.starts, longest=layout.longest, scale=1.0
        )


class PaddedAttention:
    """Attends with torch's operators, the texts side by side."""

    bits = Bucket(texts=3, tokens=4, longest=4)
    add_norm: type[AddNorm] = TorchNorm

    def __init__(
        self, attention: DisentangledSelfAttention, table: Tensor | None, index: Tensor, dtype: torch.dtype
    ) -> None:
        has_rows = table is not None and attention.terms
        self._positions = KeptPositions(attention, table, index, dtype) if table is not None and has_rows else None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, layout: Layout) -> Tensor:
        """See `PackedAttention`."""
        query, key, value = (layout.pad(part).transpose(1, 2) for part in (query, key, value))  # [N, H, longest, D]
        visible = None if layout.is_full else layout.padded.tokens[:, None, None]
        rows = None if self._positions is None else self._positions.rows(layout.longest)
        return layout.unpad(attend(query, key, value, visible, rows).transpose(1, 2))


def choose_attention(device: torch.device, dtype: torch.dtype, head_size: int) -> type[PackedAttention]:
    """The implementation that serves there."""
    return KernelAttention if why_not(device, dtype, head_size) is None else PaddedAttention
