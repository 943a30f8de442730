"""Attention that records gradients on CPUs: a head of a few texts at a time, whose scores stay in the cache.

Step by step (`eager_attention`) every step reads and writes the scores of all heads, which costs more than the
products. Here all steps of a part follow each other, forward and backward, and autograd keeps one number a score.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from deberta_torch.kernels.dropout import Places
from deberta_torch.kernels.eager import is_eager
from deberta_torch.kernels.skew import PositionRows, diagonals, position_products, skew, spread_diagonals

_PART = 2**18  # scores, a megabyte of float32; measured
_BLOCK = 64  # tokens that meet the rows of positions together: b tokens and N others need b + N of them; measured
_SHORTEST = 65  # tokens from which on parts are quicker than whole steps; measured


def records_in_parts(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether `attend_recorded` serves: ordinary float32 or float64 tensors on the CPU, and texts that are not short.

    Shape:
        query, key, value: `[B, H, L, D]`.
    """
    return (
        is_eager(query, key, value)  # first: a traced length, a symbol, must not be compared
        and query.device.type == "cpu"
        and query.dtype in (torch.float32, torch.float64)
        and min(query.shape[2], key.shape[2]) >= _SHORTEST
        and not torch.is_autocast_enabled("cpu")
    )


def attend_recorded(
    query: Tensor, key: Tensor, value: Tensor, visible: Tensor | None, rows: PositionRows | None, dropout: float
) -> Tensor:
    """Attends, with gradients of every order.

    Args:
        query: `[B, H, Q, D]`, scaled.
        key: `[B, H, K, D]`.
        value: `[B, H, K, D]`.
        visible: bool `[B, 1, 1, K]` or `[B, 1, Q, K]`; None for all keys.
        rows: of relative positions.
        dropout: the share of probabilities that is dropped, 0 to 1 (excluded).

    Returns:
        `[B, H, Q, D]`; anything for queries that see no key, whose gradient must be 0.
    """
    limit = None
    if visible is not None:
        lowest = torch.finfo(query.dtype).min
        limit = torch.full(visible.shape, torch.inf, dtype=query.dtype).masked_fill_(~visible, lowest)[:, 0]
    key_rows, query_rows = (None, None) if rows is None else (rows.key, rows.query)
    return _InParts.apply(query, key, value, key_rows, query_rows, limit, dropout)


class _InParts(Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_rows: Tensor | None,
        query_rows: Tensor | None,
        limit: Tensor | None,
        dropout: float,
    ) -> Tensor:
        (batch, heads, queries, _), keys = query.shape, key.shape[2]
        places = Places(dropout)
        # Negative where dropped: the probabilities and the places in one tensor.
        signed = query.new_empty((heads, batch, queries, keys))
        context = value.new_empty((batch, queries, heads, value.shape[3])).transpose(1, 2)  # as its reader wants it
        scratch = _Scratch(query)
        for head, texts in _parts(batch, heads, queries, keys):
            own_query, own_key, probabilities = query[texts, head], key[texts, head], signed[head, texts]
            scores = torch.matmul(own_query, own_key.transpose(1, 2), out=scratch.like(probabilities))
            if key_rows is not None:
                for block, reached in _blocks(queries, keys):
                    scores[:, block] += _by_distance(own_query[:, block], key_rows[head, reached], keys)
            if query_rows is not None:
                for block, reached in _blocks(keys, queries):
                    by_key = _by_distance(own_key[:, block], query_rows[head, reached], queries)
                    scores[:, :, block] += by_key.transpose(1, 2)
            if limit is not None:
                scores.clamp_max_(limit[texts])
            weights = torch.softmax(scores, dim=-1, out=probabilities)
            if dropout:
                probabilities.copysign_(places.signs(probabilities.shape))
                weights = torch.clamp_min(probabilities, 0, out=scores)
            context[texts, head] = weights @ value[texts, head]
        ctx.save_for_backward(query, key, value, key_rows, query_rows, limit, signed)
        ctx.factor = places.factor
        return context.mul_(places.factor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, signed = ctx.saved_tensors
        if torch.is_grad_enabled():  # for gradients of gradients, which need operators that record
            return (*_recorded_gradients(inputs, signed, gradient * ctx.factor), None, None)
        query, key, value, key_rows, query_rows, _ = inputs
        (batch, heads, queries, _), keys = query.shape, key.shape[2]
        gradient = gradient * ctx.factor
        of_query, of_key, of_value = (torch.empty_like(part.transpose(1, 2)).transpose(1, 2) for part in inputs[:3])
        of_key_rows, of_query_rows = (None if rows is None else torch.zeros_like(rows) for rows in inputs[3:5])
        one, two = _Scratch(query), _Scratch(query)
        for head, texts in _parts(batch, heads, queries, keys):
            own_query, own_key, own_gradient = query[texts, head], key[texts, head], gradient[texts, head]
            own_signed = signed[head, texts]
            weights = torch.clamp_min(own_signed, 0, out=one.like(own_signed))
            of_value[texts, head] = weights.transpose(1, 2) @ own_gradient
            # Softmax backward: p * (g - sum(p * g)), with the weights w for p where g goes through them.
            other = two.like(own_signed)
            of_scores = weights.mul_(torch.matmul(own_gradient, value[texts, head].transpose(1, 2), out=other))
            sums = of_scores.sum(dim=-1, keepdim=True)
            of_scores.addcmul_(torch.abs(own_signed, out=other), sums, value=-1)
            turned = two.like(own_signed.transpose(1, 2)).copy_(of_scores.transpose(1, 2))
            of_own_query, of_own_key = of_scores @ own_key, turned @ own_query
            if key_rows is not None:
                assert of_key_rows is not None
                for block, reached in _blocks(queries, keys):
                    _add_gradients(
                        of_scores[:, block], own_query[:, block], key_rows[head, reached],
                        of_own_query[:, block], of_key_rows[head, reached],
                    )  # fmt: skip
            if query_rows is not None:
                assert of_query_rows is not None
                for block, reached in _blocks(keys, queries):
                    _add_gradients(
                        turned[:, block], own_key[:, block], query_rows[head, reached],
                        of_own_key[:, block], of_query_rows[head, reached],
                    )  # fmt: skip
            of_query[texts, head], of_key[texts, head] = of_own_query, of_own_key
        return of_query, of_key, of_value, of_key_rows, of_query_rows, None, None


class _Scratch:
    """Memory that one part after the other writes to: what is new costs more than what is computed in it."""

    def __init__(self, example: Tensor) -> None:
        self._numbers = example.new_empty(0)

    def like(self, values: Tensor) -> Tensor:
        """Of the shape of `values`, with anything in it."""
        if self._numbers.numel() < values.numel():
            self._numbers = self._numbers.new_empty(values.numel())
        return self._numbers[: values.numel()].view(values.shape)


def _parts(batch: int, heads: int, queries: int, keys: int) -> Iterator[tuple[int, slice]]:
    """One head of as many texts as make a part."""
    together = max(1, _PART // (queries * keys))
    for head in range(heads):
        for first in range(0, batch, together):
            yield head, slice(first, first + together)


def _blocks(tokens: int, length: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of tokens, and the rows of positions that each of them reaches."""
    for start in range(0, tokens, _BLOCK):
        end = min(start + _BLOCK, tokens)
        yield slice(start, end), slice(tokens - end, tokens - start + length)


def _by_distance(values: Tensor, rows: Tensor, length: int) -> Tensor:
    """Products of tokens `[n, b, D]` with the rows `[b + N, D]` that they reach, read by pair: `[n, b, N]`."""
    return diagonals(values @ rows.t(), length)


def _add_gradients(of_scores: Tensor, values: Tensor, rows: Tensor, of_values: Tensor, of_rows: Tensor) -> None:
    """Adds the gradients of `_by_distance`; `of_scores` is `[n, b, N]`."""
    spread = spread_diagonals(of_scores).flatten(0, 1)  # [n * b, b + N]
    of_values += (spread @ rows).unflatten(0, values.shape[:2])
    of_rows.addmm_(spread.t(), values.flatten(0, 1))


def _recorded_gradients(inputs: list[Any], signed: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients of the first five inputs, recorded, by steps that torch knows the gradients of."""
    query, key, value, key_rows, query_rows, limit = inputs
    scores = query @ key.transpose(-1, -2)
    if key_rows is not None:
        scores = scores + skew(position_products(query, key_rows), key.shape[2]).transpose(0, 1)
    if query_rows is not None:
        by_key = skew(position_products(key, query_rows), query.shape[2]).transpose(0, 1)
        scores = scores + by_key.transpose(-1, -2)
    if limit is not None:
        scores = torch.minimum(scores, limit[:, None])
    context = (scores.softmax(dim=-1) * (~signed.signbit()).transpose(0, 1)) @ value
    needed = [part for part in inputs[:5] if part is not None and part.requires_grad]
    found = iter(torch.autograd.grad(context, needed, gradient, create_graph=True))
    return tuple(next(found) if part is not None and part.requires_grad else None for part in inputs[:5])
