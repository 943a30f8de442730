"""One transformer layer with packed weights."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_torch.activations import ACTIVATION_FUNCTIONS
from deberta_torch.encoder import Layer
from deberta_torch.inference.linears import Precision, make_linear
from deberta_torch.inference.positions import KeptPositions
from deberta_torch.inference.unpadding import Group, Packing
from deberta_torch.kernels.attention_blocks import BLOCK_SIZES, attend
from deberta_torch.kernels.onednn import fuses
from deberta_torch.kernels.short_attention import attend_fused


class PackedLayer:
    """A layer over the tokens of a batch without padding; holds copies of the weights, and changes nothing it holds.

    Args:
        layer: whose weights to pack.
        config: the model's.
        table: `[R, C]`, the relative table, LayerNormed where configured; None without relative attention.
        index: `[2 * reach + 1]` integers, the table's row for every distance query - key.
        precision: of products and attention; the residual stream is float32.
    """

    def __init__(
        self, layer: Layer, config: BaseConfig, table: Tensor | None, index: Tensor, precision: Precision
    ) -> None:
        attention, inner = layer.attention, layer.attention.self
        self._heads, self._head_size = inner.num_heads, inner.head_size
        self._attention_dtype = precision.attention
        self._positions = (
            KeptPositions(inner, table, index, precision.attention) if table is not None and inner.terms else None
        )
        weight, bias = inner.fused_content()
        queries = inner.num_heads * inner.head_size
        weight, bias = weight.float().clone(), bias.float().clone()
        weight[:queries] *= inner.scale
        bias[:queries] *= inner.scale
        fused = config.hidden_act if fuses(config.hidden_act, precision.products) else None
        self._activation = None if fused else ACTIVATION_FUNCTIONS[config.hidden_act]
        self._content = make_linear(weight, bias, precision)
        self._attended = make_linear(attention.output.dense.weight, attention.output.dense.bias, precision)
        wide, narrow = layer.intermediate.dense, layer.output.dense
        self._wide = make_linear(wide.weight, wide.bias, precision, fused)
        self._narrow = make_linear(narrow.weight, narrow.bias, precision)
        self._norms = [_Norm(attention.output.LayerNorm), _Norm(layer.output.LayerNorm)]

    def __call__(self, hidden: Tensor, packing: Packing) -> Tensor:
        """`[rows, C]` float32 to the same."""
        content = self._content(hidden).to(self._attention_dtype)
        return self._finish(self._attend(content, packing), hidden)

    def decode(self, hidden: Tensor, query: Tensor, places: Tensor | None, packing: Packing) -> Tensor:
        """The layer twice, with queries of its own over the same keys (NUMERICS 7).

        Args:
            hidden: `[rows, C]`, what keys and values are made of.
            query: `[n, C]`, of the first pass.
            places: `[n]` integers, the row of each query; None for all rows, in order.
            packing: of the rows.

        Returns:
            `[n, C]`.
        """
        content = self._content(hidden).to(self._attention_dtype)
        width = self._heads * self._head_size
        own = slice(None) if places is None else places
        for _ in range(2):
            if len(query):
                content[own, :width] = self._content(query)[:, :width].to(self._attention_dtype)
                query = self._finish(self._attend(content, packing)[own], query)
        return query

    def _finish(self, context: Tensor, residual: Tensor) -> Tensor:
        """What follows attention: `[n, H * D]` and `[n, C]` to `[n, C]`."""
        hidden = self._norms[0](self._attended.plus(context, residual))
        wide = self._wide(hidden)
        if self._activation is not None:
            wide = self._activation(wide)
        return self._norms[1](self._narrow.plus(wide, hidden))

    def _attend(self, content: Tensor, packing: Packing) -> Tensor:
        """Attends within each text: fused query, key and value `[rows, 3 * H * D]` to `[rows, H * D]`."""
        if packing.kept is None and packing.rows == packing.tokens:
            return self._attend_group(content, packing.groups[0])
        contexts = content.new_empty((len(content), self._heads * self._head_size))
        done = 0
        for group in packing.groups:
            own = content[: packing.tokens] if group.tokens is None else content[group.tokens]
            context = self._attend_group(own, group)
            real = context if group.written is None else context[group.written]
            contexts[done : done + len(real)] = real
            done += len(real)
        if packing.averages is not None:
            values = content[: packing.tokens, 2 * contexts.shape[1] :]
            contexts[done : packing.tokens] = packing.averages.to(values.dtype) @ values
            done = packing.tokens
        contexts[done:] = contexts[done - 1]
        return contexts

    def _attend_group(self, content: Tensor, group: Group) -> Tensor:
        """`[B * L, 3 * H * D]` to `[B * L, H * D]`, 0 for queries that see no key."""
        positions, length, visible = self._positions, group.length, group.visible
        if length <= BLOCK_SIZES["cpu"].longer_than:
            columns, terms = (
                (None, (False, False)) if positions is None else (positions.columns(length), positions.terms)
            )
            context = attend_fused(content, self._heads, length, visible, columns, terms)
        else:
            parts = content.view(group.batch, length, 3, self._heads, self._head_size)
            query, key, value = parts.permute(2, 0, 3, 1, 4)  # [B, H, L, D] each
            rows = None if positions is None else positions.rows(length)
            context = attend(query, key, value, visible, rows).transpose(1, 2).flatten(2).flatten(0, 1)
        if visible is not None and visible.shape[2] > 1:  # else every text has a token that all its queries see
            context.masked_fill_(~visible.any(dim=-1).reshape(-1, 1), 0.0)
        return context


class _Norm:
    def __init__(self, norm: nn.LayerNorm) -> None:
        self._shape, self._eps = norm.normalized_shape, norm.eps
        self._weight, self._bias = norm.weight.detach().float(), norm.bias.detach().float()

    def __call__(self, values: Tensor) -> Tensor:
        return F.layer_norm(values, self._shape, self._weight, self._bias, self._eps)
