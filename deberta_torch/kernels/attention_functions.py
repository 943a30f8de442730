"""The implementations of attention that `attn_implementation` names; all compute the same (NUMERICS 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from deberta_core.errors import InputError
from deberta_torch.attention import (
    AttentionFunction,
    DisentangledSelfAttention,
    RelativePositions,
    eager_attention,
)
from deberta_torch.kernels.attention_blocks import attend, hide
from deberta_torch.kernels.eager import is_traced
from deberta_torch.kernels.recorded_attention import attend_recorded, records_in_parts
from deberta_torch.kernels.skew import position_products
from deberta_torch.kernels.triton.availability import why_not
from deberta_torch.kernels.triton.function import triton_atomic_attention, triton_attention
from deberta_torch.masks import Masks


def sdpa_attention(
    layer: DisentangledSelfAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    masks: Masks,
    positions: RelativePositions | None,
) -> tuple[Tensor, Tensor | None]:
    """`torch.nn.functional.scaled_dot_product_attention` with positions and mask as one bias.

    Long texts are attended to in blocks of queries, where nothing is recorded and nothing is traced: then memory grows
    linearly with the length, and on the CPU the blocks stay in its cache. Gradients are recorded there in parts
    (`attend_recorded`), or step by step: neither of torch's kernels has a gradient for the bias, and eager attention is
    as fast as the steps that SDPA would fall back to.
    """
    visible = masks.keys if masks.hides_keys else None
    dropout = layer.dropout.p if layer.dropout.training else 0.0
    # While a graph is traced the length may be a symbol, which must not be compared with a number.
    if not torch.is_grad_enabled() and not is_traced() and not layer.training and not dropout:
        rows = None if positions is None else layer.position_rows(positions)
        context = attend(query, key, value, visible, rows)
    elif torch.is_grad_enabled() and query.device.type == "cpu":
        if dropout == 1 or not records_in_parts(query, key, value):
            return eager_attention(layer, query, key, value, masks, positions)
        rows = None if positions is None else layer.position_rows(positions)
        context = attend_recorded(query, key, value, visible, rows, dropout)
    else:
        bias = None if positions is None else layer.position_bias(query, key, positions)
        bias = bias if visible is None else hide(bias, visible, query.dtype)
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout, scale=1.0)
    return context * masks.queries if masks.hides_queries else context, None


def flex_attention(
    layer: DisentangledSelfAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    masks: Masks,
    positions: RelativePositions | None,
) -> tuple[Tensor, None]:
    """`torch.nn.attention.flex_attention`: the products with positions are read inside the kernel, pair by pair.

    It is fused where the model is compiled; otherwise torch makes all scores.
    """
    attend = _import_flex_attention()
    queries, keys = query.shape[2], key.shape[2]
    rows = None if positions is None else layer.position_rows(positions)
    by_query = None if rows is None or rows.key is None else position_products(query, rows.key)  # [H, B, Q, Q + K]
    by_key = None if rows is None or rows.query is None else position_products(key, rows.query)  # [H, B, K, Q + K]
    visible = masks.keys.expand(len(query), 1, queries, keys)[:, 0] if masks.hides_keys else None
    lowest = torch.finfo(query.dtype).min

    def score(products: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        if by_query is not None:
            products = products + by_query[h, b, q, k - q + queries - 1]
        if by_key is not None:
            products = products + by_key[h, b, k, q - k + keys - 1]
        return products if visible is None else torch.where(visible[b, q, k], products, lowest)

    width = value.shape[-1]
    if padding := (1 << (width - 1).bit_length()) - width:  # torch 2.6 takes powers of two only; zeros change nothing
        query, key, value = (F.pad(part, (0, padding)) for part in (query, key, value))
    context = attend(query, key, value, score_mod=score, scale=1.0)[..., :width]
    return context * masks.queries if masks.hides_queries else context, None


ATTENTION_FUNCTIONS: dict[str, AttentionFunction] = {
    "eager": eager_attention,
    "sdpa": sdpa_attention,
    "flex": flex_attention,
    "triton": triton_attention,
    "triton-atomic": triton_atomic_attention,
}

# Those that read `Masks.packed`: texts one after the other, `[1, H, T, D]`.
WITHOUT_PADDING = (triton_attention, triton_atomic_attention)


class AttentionUsed(NamedTuple):
    """Which implementation computes attention in a forward pass.

    Attributes:
        implementation: a name of `ATTENTION_FUNCTIONS`.
        reason: why it is not the one that was asked for; None where it is.
    """

    implementation: str
    reason: str | None = None

    @property
    def function(self) -> AttentionFunction:
        """What computes."""
        return ATTENTION_FUNCTIONS[self.implementation]


def check_attn_implementation(name: str) -> str:
    """Returns a name of `ATTENTION_FUNCTIONS`.

    Raises:
        InputError: the name is unknown, or this version of torch has no flex attention.
    """
    if name not in ATTENTION_FUNCTIONS:
        allowed = ", ".join(map(repr, ATTENTION_FUNCTIONS))
        raise InputError(f"attn_implementation={name!r} is unknown. Choose one of {allowed}.")
    if name == "flex":
        _import_flex_attention()
    return name


def choose_attention(
    name: str,
    device: torch.device,
    *,
    has_dropout: bool,
    needs_probabilities: bool,
    dtype: torch.dtype = torch.float32,
    head_size: int = 64,
) -> AttentionUsed:
    """The implementation for one forward pass: another than asked for where that cannot serve.

    Eager attention is used where the probabilities themselves are asked for or mixed over the heads; and for flex
    attention with dropout, which it does not have, and on the CPU in a compiled model, whose kernel torch (2.13) fails
    to make for these layouts. For flex attention SDPA serves where gradients are recorded on the CPU, and for the
    Triton kernels where they cannot run.

    Args:
        name: a name of `ATTENTION_FUNCTIONS`.
        device: where the forward pass runs.
        has_dropout: whether probabilities are dropped.
        needs_probabilities: whether they are needed as a tensor.
        dtype: of queries and keys.
        head_size: numbers of a head.
    """
    if name == "eager":
        return AttentionUsed("eager")
    if needs_probabilities:
        return AttentionUsed("eager", "probabilities are returned, or mixed over the heads")
    reason = None
    if name.startswith("triton"):
        reason = why_not(device, dtype, head_size)
        if reason is None and name == "triton-atomic" and torch.are_deterministic_algorithms_enabled():
            return AttentionUsed("triton", "torch.use_deterministic_algorithms(True) is in force")
        if reason is None:
            return AttentionUsed(name)
        name = "sdpa"
    if name == "flex" and device.type == "cpu" and torch.is_grad_enabled():
        return AttentionUsed("sdpa", "torch records no gradients of flex attention on the CPU")
    if name == "flex" and has_dropout:
        return AttentionUsed("eager", "flex attention has no dropout")
    if name == "flex" and device.type == "cpu" and torch.compiler.is_compiling():
        return AttentionUsed("eager", "torch compiles no flex attention for the CPU")
    return AttentionUsed(name, reason)


def _import_flex_attention() -> Callable[..., Any]:
    try:
        from torch.nn.attention.flex_attention import flex_attention as function
    except ImportError:
        raise InputError(
            f"attn_implementation='flex' needs torch.nn.attention.flex_attention, which torch {torch.__version__} does "
            f"not have. Install torch 2.5 or newer, or choose 'sdpa'."
        ) from None
    return function
