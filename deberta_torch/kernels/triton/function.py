"""The kernels as one of the implementations that `attn_implementation` names."""

from __future__ import annotations

import torch
from torch import Tensor

from deberta_torch.attention import DisentangledSelfAttention, RelativePositions
from deberta_torch.kernels.triton.attention import disentangled_attention
from deberta_torch.kernels.triton.rows import rows_by_distance
from deberta_torch.masks import Masks


def triton_attention(
    layer: DisentangledSelfAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    masks: Masks,
    positions: RelativePositions | None,
) -> tuple[Tensor, None]:
    """Disentangled attention in one kernel, forward and backward: an `AttentionFunction`; reads `Masks.packed`."""
    packed, mask = masks.packed, None
    length = query.shape[2] if packed is None else packed.longest
    rows = (None, None) if positions is None else relative_rows(layer, positions, length)
    content_rows, position_rows = (None if one is None else one.to(query.dtype) for one in rows)
    if masks.hides_keys and packed is None:
        mask = masks.keys[:, 0, 0] if masks.keys.shape[2] == 1 else masks.keys[:, 0]
    query, key, value = (part.to(query.dtype).transpose(1, 2) for part in (query, key, value))  # [B, L, H, D]
    if packed is not None:
        query, key, value = query[0], key[0], value[0]
    context = disentangled_attention(
        query,
        key,
        value,
        content_rows,
        position_rows,
        starts=None if packed is None else packed.starts,
        longest=None if packed is None else packed.longest,
        mask=mask,
        scale=1.0,
        dropout=layer.dropout.p if layer.training else 0.0,
    )
    return (context if packed is None else context[None]).transpose(1, 2), None


def relative_rows(
    layer: DisentangledSelfAttention, positions: RelativePositions, length: int
) -> tuple[Tensor | None, Tensor | None]:
    """What queries and keys of texts of this length meet, by key - query, or None; `[W, H, D]`, the latter scaled."""
    # torch.export guards against `min`; there all distances have a row.
    exported = torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
    reach = length if exported else min(positions.reach, length)
    index = positions.rows[length - reach : length + reach + 1]
    table, shape = layer.table_dropout(positions.table), (layer.num_heads, layer.head_size)
    content = position = None
    if "c2p" in layer.terms:
        content = rows_by_distance(layer.position_key(table).unflatten(-1, shape), index)
    if "p2c" in layer.terms:
        position = rows_by_distance((layer.position_query(table) * layer.scale).unflatten(-1, shape), index)
    return content, position
