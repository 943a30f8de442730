"""Disentangled self-attention: the whole forward pass, with three hooks for the projections (NUMERICS 3)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_torch.masks import Masks


class RelativePositions(NamedTuple):
    """The relative table and which of its rows a forward pass reads.

    Attributes:
        table: `[R, C]`, LayerNormed where configured.
        rows: `[Q + K + 1]` integers: the row for key - query = -Q, ..., K. The outermost are never read; with them
            the products of `skew` reshape for every length, one token included.
    """

    table: Tensor
    rows: Tensor


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
        self.table_dropout = nn.Dropout(config.hidden_dropout_prob)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def content(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of the tokens; `[B, L, C]` to three of `[B, L, H * D]`."""
        raise NotImplementedError

    def position_key(self, rows: Tensor) -> Tensor:
        """The key side of relative positions, for content-to-position; `[W, C]` to `[W, H * D]`."""
        raise NotImplementedError

    def position_query(self, rows: Tensor) -> Tensor:
        """The query side of relative positions, for position-to-content; `[W, C]` to `[W, H * D]`."""
        raise NotImplementedError

    def forward(self, hidden: Tensor, masks: Masks, positions: RelativePositions | None) -> tuple[Tensor, Tensor]:
        """Attends.

        Shape:
            hidden: `[B, L, C]`; returns the context `[B, L, H * D]` and the probabilities `[B, H, L, L]`.
        """
        query, key, value = (self._split_heads(part) for part in self.content(hidden))  # [B, H, L, D]
        query = query * self.scale
        scores = query @ key.transpose(-1, -2)  # [B, H, Q, K]
        if positions is not None and self.terms:
            scores = scores + self.position_bias(query, key, positions)
        if self.head_logits_proj is not None:
            scores = mix_heads(scores, self.head_logits_proj)
        scores = scores.float().masked_fill(~masks.keys, torch.finfo(torch.float32).min)
        probabilities = scores.softmax(dim=-1).to(value.dtype) * masks.queries
        weights = self.dropout(probabilities)
        if self.head_weights_proj is not None:
            weights = probabilities = mix_heads(weights, self.head_weights_proj)
        context = weights @ value  # [B, H, Q, D]
        return context.transpose(1, 2).flatten(2), probabilities

    def position_bias(self, query: Tensor, key: Tensor, positions: RelativePositions) -> Tensor:
        """The position terms of the scores, the only place that makes them.

        The index of a row depends on i - j alone: queries and keys meet the distinct rows, ordered by distance, once,
        and the products are read along their diagonals. Nothing is gathered per pair, nothing repeated over the batch.

        Args:
            query: `[B, H, Q, D]`, scaled.
            key: `[B, H, K, D]`.
            positions: the relative table and its rows.

        Returns:
            `[B, H, Q, K]`.
        """
        rows = self.table_dropout(positions.table)[positions.rows]  # [Q + K + 1, C]
        bias = None
        if "c2p" in self.terms:
            pos_key = self._split_heads(self.position_key(rows[1:]))  # [H, Q + K, D]
            bias = skew(position_products(query, pos_key), key.shape[2])
        if "p2c" in self.terms:
            # From a key's side the order is the reverse: query - key = 1 - K, ..., Q.
            pos_query = self._split_heads(self.position_query(rows.flip(0)[1:])) * self.scale
            by_key = skew(position_products(key, pos_query), query.shape[2])  # [H, B, K, Q]
            bias = by_key.transpose(-1, -2) if bias is None else bias + by_key.transpose(-1, -2)
        assert bias is not None
        return bias.transpose(0, 1)

    def _split_heads(self, values: Tensor) -> Tensor:
        """`[..., L, H * D] -> [..., H, L, D]`."""
        return values.unflatten(-1, (self.num_heads, self.head_size)).transpose(-2, -3)


def mix_heads(values: Tensor, projection: nn.Module) -> Tensor:
    """Mixes `[B, H, Q, K]` over the heads: `out_g = sum_h W[g, h] in_h`."""
    return projection(values.movedim(1, -1)).movedim(-1, 1)


def position_products(values: Tensor, rows: Tensor) -> Tensor:
    """Products of tokens with rows of relative positions, the heads first: one matrix product a head.

    Shape:
        values: `[B, H, M, D]`; rows: `[H, W, D]`; returns `[H, B, M, W]`.
    """
    by_head = values.transpose(0, 1).flatten(1, 2)  # [H, B * M, D]
    return (by_head @ rows.transpose(-1, -2)).unflatten(1, (values.shape[0], values.shape[2]))


def skew(products: Tensor, length: int) -> Tensor:
    """Reads products with rows of relative positions along their diagonals.

    Args:
        products: `[..., M, M + N]`; column w of row m belongs to the position n - m = w - (M - 1).
        length: N.

    Returns:
        `[..., M, N]`: element (m, n) is column n - m + M - 1. Two views and two slices; no data is moved.
    """
    rows, columns = products.shape[-2:]
    flat = products.flatten(-2)[..., rows - 1 : rows - 1 + rows * (columns - 1)]
    return flat.unflatten(-1, (rows, columns - 1))[..., :length]
