"""Linear layers in training whose gradients are written by hand: fewer calls of torch, each weight cast once.

A training step on a GPU is bound by Python and torch's dispatcher sooner than by products. Recorded one by one under
autocast, they are several times as many calls. The numbers are those of torch's own operators. What autograd is handed
in another type than the tensor's it casts itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from deberta_torch.kernels.eager import autocast_dtype

# Rows of the stacked weight that an input meets: first, and one after the last.
Span = tuple[int, int]


def products(
    inputs: Sequence[tuple[Tensor, Span]],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    dtype: torch.dtype,
) -> tuple[Tensor, ...]:
    """Linear layers one upon the other, as one product for each input; the weights' gradients are summed at once.

    Args:
        inputs: `[..., K]` each, and the rows that it meets; the first meets all.
        weights: `[N_i, K]` each, stacked in this order.
        biases: `[N_i]` each; or all None.
        dtype: of the products.

    Returns:
        `[..., rows]` for each input.
    """
    outputs: tuple[Tensor, ...] = _Products.apply(
        dtype, [span for _, span in inputs], len(weights), *weights, *biases, *(values for values, _ in inputs)
    )
    return outputs


def in_types_of_forward(backward: Callable[..., Any]) -> Callable[..., Any]:
    """The backward pass without autocast, in which a caller may be who was not in the forward pass.

    Where no gradient comes, none goes on.
    """

    @functools.wraps(backward)
    def run(ctx: Any, *grads: Tensor | None) -> Any:
        given = [one for one in grads if one is not None]
        if not given:
            return (None,) * len(ctx.needs_input_grad)
        if autocast_dtype(given[0].device) is None:
            return backward(ctx, *grads)
        with torch.autocast(given[0].device.type, enabled=False):
            return backward(ctx, *grads)

    return run


class _Products(Function):
    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, spans: list[Span], count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        weights, biases, inputs = tensors[:count], tensors[count : 2 * count], tensors[2 * count :]
        weight = _stacked(weights, dtype)
        rows = [values.flatten(0, -2).to(dtype) for values in inputs]
        if biases[0] is None:
            outputs = [own @ weight[first:last].t() for own, (first, last) in zip(rows, spans, strict=True)]
        else:
            bias = _stacked(biases, dtype)
            pairs = zip(rows, spans, strict=True)
            outputs = [torch.addmm(bias[first:last], own, weight[first:last].t()) for own, (first, last) in pairs]
        ctx.save_for_backward(weight, *rows)
        ctx.spans, ctx.sizes = spans, [len(one) for one in weights]
        ctx.types = weights[0].dtype, None if biases[0] is None else biases[0].dtype
        ctx.shapes = [values.shape for values in inputs]
        return tuple(own.view(*values.shape[:-1], own.shape[-1]) for own, values in zip(outputs, inputs, strict=True))

    @staticmethod
    @in_types_of_forward
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        refuse_second_gradients()
        weight, *inputs = ctx.saved_tensors
        count, needs = len(ctx.sizes), ctx.needs_input_grad[3:]
        of_weight = of_bias = None
        of_inputs: list[Tensor | None] = []
        for number, (grad, values, (first, last)) in enumerate(zip(grads, inputs, ctx.spans, strict=True)):
            own = grad.flatten(0, -2)
            needed = needs[2 * count + number]
            of_inputs.append((own @ weight[first:last]).view(ctx.shapes[number]) if needed else None)
            if any(needs[:count]):
                if of_weight is None:
                    of_weight = own.t() @ values
                else:
                    of_weight[first:last].addmm_(own.t(), values)
            if any(needs[count : 2 * count]):
                if of_bias is None:
                    of_bias = own.sum(dim=0)
                else:
                    of_bias[first:last] += own.sum(dim=0)
        return (
            None, None, None,
            *_divided(of_weight, ctx.sizes, ctx.types[0], needs[:count]),
            *_divided(of_bias, ctx.sizes, ctx.types[1], needs[count : 2 * count]),
            *of_inputs,
        )  # fmt: skip


def refuse_second_gradients() -> None:
    """Raises `RuntimeError` where a gradient is recorded."""
    if torch.is_grad_enabled():
        raise RuntimeError(
            "attn_implementation='triton' has no gradients of gradients. Call model.set_attn_implementation('eager')."
        )


def _stacked(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    return (torch.cat([*parts]) if len(parts) > 1 else parts[0]).to(dtype)


def _divided(whole: Tensor | None, sizes: list[int], dtype: torch.dtype, needed: Sequence[bool]) -> list[Tensor | None]:
    """What each part is of a gradient of all."""
    if whole is None:
        return [None] * len(sizes)
    return [part if need else None for part, need in zip(whole.to(dtype).split(sizes), needed, strict=True)]
