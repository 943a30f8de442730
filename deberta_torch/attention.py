"""Disentangled self-attention (NUMERICS 3): tokens attend by their content and by how far they are apart.

    score(i, j) = scale * ( Q_i . K_j  +  Q_i . PK[idx(i, j)]  +  K_j . PQ[idx(i, j)] )
                            content       content-to-position     position-to-content

Q, K and V are made of the tokens, PK and PQ of the relative table. Who owns these projections is the only difference
between the versions (`projections.py`); `eager_attention` is everything else, step by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_torch.kernels.dropout import Dropout
from deberta_torch.kernels.eager import add, wide
from deberta_torch.kernels.skew import PositionRows, products_by_distance
from deberta_torch.masks import Masks


class RelativePositions(NamedTuple):
    """The relative table and which of its rows a forward pass reads.

    Attributes:
        table: `[R, C]`, or fewer rows where the lengths reach no more of them; LayerNormed where configured.
        rows: `[Q + K + 1]` integers: the row for key - query = -Q, ..., K. The outermost are never read; with them
            the products by distance reshape for every length, one token included.
        reach: the distance from which on, to either side, the row stays the same.
        chosen: `[W, R]` of 0 and 1, the row of each distance as a factor of products; None where nobody asks for it.
    """

    table: Tensor
    rows: Tensor
    reach: int
    chosen: Tensor | None = None


class DisentangledSelfAttention(nn.Module):
    """Content, content-to-position and position-to-content attention over all heads.

    Subclasses own the projections and fill `content`, `position_key` and `position_query`; everything else is the same
    in every version of DeBERTa.

    Source:
        arXiv 2006.03654 equations 2-4, with the index of the position-to-content term as trained (NUMERICS 3).
    """

    def __init__(self, config: BaseConfig, layer: int) -> None:
        super().__init__()
        self.num_heads = config.heads_in(layer)
        self.head_size = config.head_size
        self.terms = config.position_terms
        # A Python float, folded into the factors before the products: half precision cannot overflow in the scores.
        self.scale = 1 / math.sqrt(config.head_size * (1 + len(config.pos_att_type)))
        # Talking heads, a mix of all heads' scores and probabilities: modules in versions that can have them.
        self.head_logits_proj: nn.Module | None = None
        self.head_weights_proj: nn.Module | None = None
        self.table_dropout = Dropout(config.hidden_dropout_prob)
        self.dropout = Dropout(config.attention_probs_dropout_prob)

    def content(self, hidden: Tensor, query: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of the tokens.

        Args:
            hidden: `[B, K, C]`, what keys and values are made of.
            query: `[B, Q, C]`, what queries are made of; None is `hidden`.

        Returns:
            `[B, Q, H * D]`, and two of `[B, K, H * D]`.
        """
        raise NotImplementedError

    def content_parts(self) -> tuple[list[Tensor], list[Tensor]]:
        """Weights `[N, C]` and biases `[N]` that, one upon the other, are those of `fused_content`."""
        raise NotImplementedError

    def fused_content(self) -> tuple[Tensor, Tensor]:
        """Weight `[3 * H * D, C]` and bias `[3 * H * D]` of one product for all queries, then keys, then values."""
        weight, bias = (torch.cat(parts) for parts in self.content_parts())
        return weight, bias

    @property
    def position_layers(self) -> tuple[nn.Linear | None, nn.Linear | None]:
        """What `position_query` and `position_key` project by; None where that is the content's query, or key."""
        raise NotImplementedError

    def position_key(self, rows: Tensor) -> Tensor:
        """The key side of relative positions, for content-to-position; `[W, C]` to `[W, H * D]`."""
        raise NotImplementedError

    def position_query(self, rows: Tensor) -> Tensor:
        """The query side of relative positions, for position-to-content; `[W, C]` to `[W, H * D]`."""
        raise NotImplementedError

    def forward(
        self,
        hidden: Tensor,
        masks: Masks,
        positions: RelativePositions | None,
        attend: AttentionFunction | None = None,
        query: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Attends.

        Args:
            hidden: `[B, K, C]`.
            masks: what may be seen.
            positions: the relative table and its rows; None without relative attention.
            attend: does everything between the projections; None is `eager_attention`.
            query: `[B, Q, C]`, whose queries see the keys and values of `hidden`; None is `hidden`.
            rows: `[n]` integers: `query` and context are `[n, C]` and `[n, H * D]`, of these tokens of the flattened
                batch. Attention itself is computed for all: that costs a fraction of the products around it.

        Returns:
            the context `[B, Q, H * D]` and the probabilities `[B, H, Q, K]`, None where `attend` never has them whole.
        """
        content = self.content(hidden, query)
        if rows is not None:
            spread = content[0].new_zeros((hidden.shape[0] * hidden.shape[1], content[0].shape[-1]))
            spread = spread.index_copy(0, rows, content[0]).unflatten(0, hidden.shape[:2])
            content = (spread, *content[1:])
        queries, keys, values = (self._split_heads(part) for part in content)  # [B, H, Q or K, D]
        attend = attend or eager_attention
        positions = positions if self.terms else None
        context, probabilities = attend(self, queries * self.scale, keys, values, masks, positions)
        context = context.transpose(1, 2).flatten(2)
        return (context if rows is None else context.flatten(0, 1)[rows]), probabilities

    def position_bias(self, query: Tensor, key: Tensor, positions: RelativePositions) -> Tensor:
        """The position terms of the scores: `Q_i . PK[idx(i, j)] + K_j . PQ[idx(i, j)]`.

        Args:
            query: `[B, H, Q, D]`, scaled.
            key: `[B, H, K, D]`.
            positions: the relative table and its rows.

        Returns:
            `[B, H, Q, K]`.
        """
        rows = self.position_rows(positions)
        bias = None
        if rows.key is not None:  # content-to-position
            bias = products_by_distance(query, rows.key, key.shape[2])
        if rows.query is not None:  # position-to-content
            by_query = products_by_distance(key, rows.query, query.shape[2]).transpose(-1, -2)
            bias = by_query if bias is None else add(bias, by_query)
        assert bias is not None
        return bias

    def position_rows(self, positions: RelativePositions) -> PositionRows:
        """Projects the rows of the table, each once, and hands them out by distance."""
        table, rows = self.table_dropout(positions.table), positions.rows
        key = query = None
        if "c2p" in self.terms:
            key = self._split_heads(self.position_key(table).index_select(0, rows[1:]))
        if "p2c" in self.terms:
            # From a key's side the order is the reverse: query - key = 1 - K, ..., Q.
            scaled = self.position_query(table) * self.scale
            query = self._split_heads(scaled.index_select(0, rows.flip(0)[1:]))
        return PositionRows(key, query, positions.reach)

    def _split_heads(self, values: Tensor) -> Tensor:
        """`[..., L, H * D] -> [..., H, L, D]`."""
        return values.unflatten(-1, (self.num_heads, self.head_size)).transpose(-2, -3)


# From the layer, its query (scaled), key and value, all `[B, H, L, D]`, the masks, and the relative table with its rows
# (None without position terms) to the context `[B, H, Q, D]` and the probabilities `[B, H, Q, K]`, if they are made.
AttentionFunction = Callable[
    [DisentangledSelfAttention, Tensor, Tensor, Tensor, Masks, RelativePositions | None], tuple[Tensor, Tensor | None]
]


def eager_attention(
    layer: DisentangledSelfAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    masks: Masks,
    positions: RelativePositions | None,
) -> tuple[Tensor, Tensor | None]:
    """Attention step by step, with all that there is in any version; an `AttentionFunction`."""
    scores = query @ key.transpose(-1, -2)  # [B, H, Q, K]: Q_i . K_j
    if positions is not None:
        scores = add(scores, layer.position_bias(query, key, positions))
    if layer.head_logits_proj is not None:
        scores = mix_heads(scores, layer.head_logits_proj)
    scores = wide(scores)
    if masks.hides_keys:
        scores = scores.masked_fill(~masks.keys, torch.finfo(torch.float32).min)
    probabilities = scores.softmax(dim=-1).to(value.dtype)
    if masks.hides_queries:
        probabilities = probabilities * masks.queries
    weights = layer.dropout(probabilities)
    if layer.head_weights_proj is not None:
        weights = probabilities = mix_heads(weights, layer.head_weights_proj)
    return weights @ value, probabilities


def mix_heads(values: Tensor, projection: nn.Module) -> Tensor:
    """Mixes `[B, H, Q, K]` over the heads: `out_g = sum_h W[g, h] in_h`."""
    return projection(values.movedim(1, -1)).movedim(-1, 1)
