"""The kernels as operators of torch: what autograd, torch.compile and torch.export see of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import Function
from torch.library import custom_op

from deberta_torch.kernels.recorded_products import refuse_second_gradients
from deberta_torch.kernels.triton.blocks import Blocks, choose_blocks
from deberta_torch.kernels.triton.problem import Problem


def attend_now(problem: Problem, blocks: Blocks | None = None) -> tuple[Tensor, Tensor]:
    """The context, and the logarithms of the sums of exponentials; recorded by nothing."""
    from deberta_torch.kernels.triton.forward import forward

    with on_device_of(problem.query):
        return forward(problem, (blocks or choose_blocks(problem)).forward)


@custom_op("deberta::disentangled_attention", mutates_args=())
def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    content_rows: Tensor | None,
    position_rows: Tensor | None,
    starts: Tensor | None,
    mask: Tensor | None,
    seed: Tensor | None,
    longest: int,
    scale: float,
    dropout: float,
    ordered: bool,
    blocks: list[int],
) -> tuple[Tensor, Tensor]:
    """`attend_now`, of the fields of a `Problem` and `Blocks.flat()`; an empty list is the table's blocks."""
    problem = Problem(
        query, key, value, content_rows, position_rows, starts, mask, seed, longest, scale, dropout, ordered
    )
    return attend_now(problem, Blocks.of(blocks))


@custom_op("deberta::disentangled_attention_gradients", mutates_args=())
def differentiate(
    grad: Tensor,
    out: Tensor,
    lse: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    content_rows: Tensor | None,
    position_rows: Tensor | None,
    starts: Tensor | None,
    mask: Tensor | None,
    seed: Tensor | None,
    longest: int,
    scale: float,
    dropout: float,
    ordered: bool,
    blocks: list[int],
) -> list[Tensor]:
    """Gradients of query, key, value, content and position rows; empty for rows that are not there."""
    from deberta_torch.kernels.triton.backward import backward

    problem = Problem(
        query, key, value, content_rows, position_rows, starts, mask, seed, longest, scale, dropout, ordered
    )
    with on_device_of(query):
        return backward(problem, grad, out, lse, Blocks.of(blocks) or choose_blocks(problem))


@attend.register_fake
def _(query: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    heads, tokens = query.shape[-2], math.prod(query.shape[:-2])
    return query.new_empty(query.shape), query.new_empty((heads, tokens), dtype=torch.float32)


@differentiate.register_fake
def _(
    grad: Tensor,
    out: Tensor,
    lse: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    content_rows: Tensor | None,
    position_rows: Tensor | None,
    *_: Any,
) -> list[Tensor]:
    rows = (query.new_empty(0 if one is None else one.shape) for one in (content_rows, position_rows))
    return [*(query.new_empty(query.shape) for _ in range(3)), *rows]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.options = inputs[8:]
    ctx.save_for_backward(*output, *inputs[:8])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    out, lse, *tensors = ctx.saved_tensors
    none = (None,) * (3 + len(ctx.options))
    if grad is None:
        return (None,) * 5 + none
    grads = differentiate(grad, out, lse, *tensors, *ctx.options)
    return (*(None if one is None else own for one, own in zip(tensors, grads, strict=False)), *none)


class AttendToProduct(Function):
    """`attend_now` of one product of query, key and value, and its gradient, which is one tensor, too.

    For what is computed at once: an operator of torch takes longer to call than a short text's kernel to run.
    """

    @staticmethod
    def forward(
        ctx: Any,
        product: Tensor,
        content_rows: Tensor | None,
        position_rows: Tensor | None,
        starts: Tensor | None,
        mask: Tensor | None,
        seed: Tensor | None,
        *options: Any,
    ) -> Tensor:
        """`[..., 3, H, D]` to `[..., H, D]`; the rest are fields of a `Problem`."""
        query, key, value = product.unbind(-3)
        problem = Problem(query, key, value, content_rows, position_rows, starts, mask, seed, *options)
        out, lse = attend_now(problem)
        ctx.save_for_backward(out, lse, product, content_rows, position_rows, starts, mask, seed)
        ctx.options = options
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """By the kernels, which write the three gradients into one tensor."""
        from deberta_torch.kernels.triton.backward import backward

        refuse_second_gradients()
        out, lse, product, *tensors = ctx.saved_tensors
        query, key, value = product.unbind(-3)
        problem, whole = Problem(query, key, value, *tensors, *ctx.options), torch.empty_like(product)
        with on_device_of(product):
            grads = backward(problem, grad, out, lse, choose_blocks(problem), whole.unbind(-3))[3:]
        rows = (own if one is not None else None for one, own in zip(tensors, grads, strict=False))
        return (whole, *rows, *(None,) * (3 + len(ctx.options)))


def _refuse_second_gradients(*_: Any) -> None:
    with torch.enable_grad():
        refuse_second_gradients()


def _refuse_vmap(*_: Any) -> NoReturn:
    raise RuntimeError("The Triton kernels know no torch.func.vmap. Call model.set_attn_implementation('sdpa').")


attend.register_autograd(_backward, setup_context=_save)
differentiate.register_autograd(_refuse_second_gradients)
for _operator in (attend, differentiate):
    _operator.register_vmap(_refuse_vmap)


@contextmanager
def on_device_of(values: Tensor) -> Iterator[None]:
    """Triton launches on the current device; where that runs out of memory, says what needs less."""
    try:
        if values.device.type == "cuda":
            with torch.cuda.device(values.device):
                yield
        else:
            yield
    except torch.OutOfMemoryError as error:
        error.add_note(
            "Attention itself needs memory in proportion to the tokens. Less is needed with smaller batches, a smaller "
            "max_length, bfloat16, and in training with model.gradient_checkpointing_enable()."
        )
        raise
