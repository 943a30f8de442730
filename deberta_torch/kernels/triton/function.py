"""The kernels as one of the implementations that `attn_implementation` names."""

from __future__ import annotations

from functools import partial

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
    ordered: bool = True,
) -> tuple[Tensor, None]:
    """Disentangled attention in one kernel, forward and backward: an `AttentionFunction`; reads `Masks.packed`.

    Gradients are the same to the last bit every time, unless sums of relative rows' gradients are not `ordered`.
    """
    packed = masks.packed
    length = query.shape[2] if packed is None else packed.longest
    rows = (None, None) if positions is None else relative_rows(layer, positions, length)
    content_rows, position_rows = (None if one is None else one.to(query.dtype) for one in rows)
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
        mask=key_mask(masks),
        scale=1.0,
        dropout=layer.dropout.p if layer.dropout.training else 0.0,
        ordered=ordered,
    )
    return (context if packed is None else context[None]).transpose(1, 2), None


triton_atomic_attention = partial(triton_attention, ordered=False)


def key_mask(masks: Masks) -> Tensor | None:
    """Which keys are seen, `[B, L]` or `[B, L, L]` of bytes; None for all."""
    if not masks.hides_keys or masks.packed is not None:
        return None
    return (masks.keys[:, 0, 0] if masks.keys.shape[2] == 1 else masks.keys[:, 0]).contiguous().view(torch.uint8)


def with_chosen_rows(positions: RelativePositions, length: int, dtype: torch.dtype) -> RelativePositions:
    """Adds which row of the table belongs to each distance, for all layers; in the type of products."""
    index = _row_of_distance(positions, length)
    chosen = index[:, None] == torch.arange(len(positions.table), device=index.device)
    return positions._replace(chosen=chosen.to(dtype))


def relative_rows(
    layer: DisentangledSelfAttention, positions: RelativePositions, length: int
) -> tuple[Tensor | None, Tensor | None]:
    """What queries and keys of texts of this length meet, by key - query, or None; `[W, H, D]`, the latter scaled."""
    index = _row_of_distance(positions, length)
    table, shape = layer.table_dropout(positions.table), (layer.num_heads, layer.head_size)
    content = position = None
    if "c2p" in layer.terms:
        content = rows_by_distance(layer.position_key(table).unflatten(-1, shape), index)
    if "p2c" in layer.terms:
        position = rows_by_distance((layer.position_query(table) * layer.scale).unflatten(-1, shape), index)
    return content, position


def _row_of_distance(positions: RelativePositions, length: int) -> Tensor:
    # torch.export guards against `min`; there all distances have a row.
    exported = torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
    reach = length if exported else min(positions.reach, length)
    return positions.rows[length - reach : length + reach + 1]
