"""A layer by the Triton kernels in few steps, each with its gradient: the numbers of `Layer`, sooner.

On a GPU Python and torch's dispatcher take longer than the device does; one by one, the operators are three times as
many. And no step copies what the next one reads.
"""

from __future__ import annotations

from types import NoneType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook  # torch has no public name for it

from deberta_torch.activations import ACTIVATION_FUNCTIONS
from deberta_torch.attention import DisentangledSelfAttention, RelativePositions
from deberta_torch.kernels.eager import autocast_dtype
from deberta_torch.kernels.recorded_products import Span, products
from deberta_torch.kernels.triton.dropping import Dropping, draw_seed
from deberta_torch.kernels.triton.function import key_mask
from deberta_torch.kernels.triton.operators import AttendToProduct
from deberta_torch.kernels.triton.residual_output import add_and_normalize
from deberta_torch.masks import Masks

# Of DeBERTa v1: the linear layers without a bias. Others have one.
_WITHOUT_BIAS = frozenset(("in_proj", "pos_proj"))


def is_plain(layer: nn.Module, known: frozenset[type[nn.Module]]) -> bool:
    """Whether a layer is made of these modules alone, with nothing hooked or put in the place of their forward pass.

    Steps computed at once would leave out an adapter, a gradient's hook, and a bias that was added. What is around the
    layer as a whole, as FSDP is, stays around it.
    """
    return not _has_any_global_hook() and _has_plain_parts(layer, known)


def _has_plain_parts(module: nn.Module, known: frozenset[type[nn.Module]]) -> bool:
    # Not by `modules()`, whose walk takes as long as the layer.
    return all(_is_plain(name, part, known) for name, part in module._modules.items() if part is not None)


def _is_plain(name: str, module: nn.Module, known: frozenset[type[nn.Module]]) -> bool:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    if type(module) not in known or "forward" in vars(module) or any(hooks):
        return False
    parameters = module._parameters
    if not all(type(one) in (nn.Parameter, Tensor, NoneType) for one in parameters.values()):
        return False
    if "bias" in parameters and (parameters["bias"] is None) != (name in _WITHOUT_BIAS):
        return False
    return _has_plain_parts(module, known)


def kernel_layer(
    layer: Any, hidden: Tensor, masks: Masks, positions: RelativePositions | None, ordered: bool
) -> Tensor:
    """The forward pass of an `encoder.Layer` that `is_plain`; `ordered` is as for `triton_attention`.

    Shape:
        hidden: `[B, L, C]`, or without padding `[1, T, C]`; returns the same.
    """
    autocast = autocast_dtype(hidden.device)
    dtype, norm_dtype = (hidden.dtype, hidden.dtype) if autocast is None else (autocast, torch.float32)
    inner, wide, outputs = layer.attention.self, layer.intermediate.dense, (layer.attention.output, layer.output)
    drops = [module.p if module.training else 0.0 for module in (inner.dropout, *(one.dropout for one in outputs))]
    seed = draw_seed(hidden.device) if any(drops) else None
    droppings = [Dropping(own, seed if own > 0 else None, step) for step, own in enumerate(drops)]

    def finish(block: int, values: Tensor, residual: Tensor, wants_low: bool) -> tuple[Tensor, Tensor]:
        dense, norm = outputs[block].dense, outputs[block].LayerNorm
        weights = (dense.weight, dense.bias), (norm.weight, norm.bias)
        return add_and_normalize(
            values, residual, *weights, epsilon=norm.eps, dropping=droppings[block + 1], dtype=dtype,
            norm_dtype=norm_dtype, wants_low=wants_low,
        )  # fmt: skip

    context = _attend(inner, hidden, masks, positions, dtype, ordered, droppings[0])
    attended, low = finish(0, context, hidden, wants_low=True)
    (values,) = products([(low, (0, wide.out_features))], [wide.weight], [wide.bias], dtype)
    return finish(1, ACTIVATION_FUNCTIONS[layer.intermediate.activation](values), attended, wants_low=False)[0]


def _attend(
    inner: DisentangledSelfAttention,
    hidden: Tensor,
    masks: Masks,
    positions: RelativePositions | None,
    dtype: torch.dtype,
    ordered: bool,
    dropping: Dropping,
) -> Tensor:
    heads, packed = (inner.num_heads, inner.head_size), masks.packed
    width = inner.num_heads * inner.head_size
    inputs: list[tuple[Tensor, Span]] = [(hidden, (0, 3 * width))]
    sides = dict(zip(("p2c", "c2p"), inner.position_layers, strict=True))
    shared = [number for number, term in enumerate(sides) if term in inner.terms and sides[term] is None]
    rows: dict[str, Tensor] = {}
    if positions is not None and inner.terms:
        assert positions.chosen is not None
        chosen, table = positions.chosen, inner.table_dropout(positions.table)
        if shared:
            inputs.append((table, (shared[0] * width, (shared[-1] + 1) * width)))
        for term, own in sides.items():
            if term in inner.terms and own is not None:
                (projected,) = products([(table, (0, width))], [own.weight], [own.bias], dtype)
                rows[term] = (chosen @ projected).unflatten(1, heads)
    product, *projected_rows = products(inputs, *inner.content_parts(), dtype)
    if projected_rows:
        split = (chosen @ projected_rows[0]).unflatten(1, (len(shared), *heads)).unbind(1)
        rows |= {[*sides][number]: own for number, own in zip(shared, split, strict=True)}
    product = product.unflatten(-1, (3, *heads))
    context: Tensor = AttendToProduct.apply(
        product if packed is None else product[0],
        rows.get("c2p"),
        rows.get("p2c"),
        None if packed is None else packed.starts,
        key_mask(masks),
        dropping.seed,
        hidden.shape[1] if packed is None else packed.longest,
        inner.scale,
        dropping.probability,
        ordered,
    )
    return context.flatten(-2).view(*hidden.shape[:-1], width)
