"""The only place where the versions of DeBERTa differ in code: who owns the attention projections."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_torch.attention import DisentangledSelfAttention
from deberta_torch.kernels.linear import Linear, linear


class FusedSelfAttention(DisentangledSelfAttention):
    """v1: one projection without bias, its rows laid out per head as [q, k, v] of D rows each; no key bias."""

    def __init__(self, config: BaseConfig, layer: int) -> None:
        super().__init__(config, layer)
        width, heads = config.hidden_size, config.all_heads_size(layer)
        self.in_proj = Linear(width, 3 * heads, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(heads))
        self.v_bias = nn.Parameter(torch.zeros(heads))
        self.pos_proj = Linear(width, heads, bias=False) if "c2p" in self.terms else None
        self.pos_q_proj = Linear(width, heads) if "p2c" in self.terms else None
        if config.mixes_heads:
            self.head_logits_proj = Linear(self.num_heads, self.num_heads, bias=False)
            self.head_weights_proj = Linear(self.num_heads, self.num_heads, bias=False)

    def content(self, hidden: Tensor, query: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """See the base class."""
        shape = (self.num_heads, 3, self.head_size)
        if query is None:
            q, k, v = (part.flatten(-2) for part in self.in_proj(hidden).unflatten(-1, shape).unbind(-2))
        else:
            rows = (part.flatten(0, 1) for part in self.in_proj.weight.unflatten(0, shape).unbind(1))  # [H * D, C]
            q, k, v = (linear(source, own) for source, own in zip((query, hidden, hidden), rows, strict=True))
        # Under autocast the products are half and the biases float32: the sum must stay half.
        return q + self.q_bias.to(q.dtype), k, v + self.v_bias.to(v.dtype)

    def content_parts(self) -> tuple[list[Tensor], list[Tensor]]:
        """See the base class."""
        width = self.num_heads * self.head_size
        by_head = self.in_proj.weight.unflatten(0, (self.num_heads, 3, self.head_size))
        return [part.flatten(0, 1) for part in by_head.unbind(1)], [
            self.q_bias,
            self.q_bias.new_zeros(width),
            self.v_bias,
        ]

    @property
    def position_layers(self) -> tuple[nn.Linear | None, nn.Linear | None]:
        """See the base class."""
        return self.pos_q_proj, self.pos_proj

    def position_key(self, rows: Tensor) -> Tensor:
        """See the base class."""
        assert self.pos_proj is not None
        return self.pos_proj(rows)

    def position_query(self, rows: Tensor) -> Tensor:
        """See the base class."""
        assert self.pos_q_proj is not None
        return self.pos_q_proj(rows)


class SeparateSelfAttention(DisentangledSelfAttention):
    """v2 and v3: query, key and value each have a projection; relative positions share them or have their own."""

    def __init__(self, config: BaseConfig, layer: int) -> None:
        super().__init__(config, layer)
        width, heads = config.hidden_size, config.all_heads_size(layer)
        own = () if config.shares_position_projections else self.terms
        self.query_proj = Linear(width, heads)
        self.key_proj = Linear(width, heads)
        self.value_proj = Linear(width, heads)
        self.pos_key_proj = Linear(width, heads) if "c2p" in own else None
        self.pos_query_proj = Linear(width, heads) if "p2c" in own else None

    def content(self, hidden: Tensor, query: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """See the base class."""
        return self.query_proj(hidden if query is None else query), self.key_proj(hidden), self.value_proj(hidden)

    def content_parts(self) -> tuple[list[Tensor], list[Tensor]]:
        """See the base class."""
        parts = (self.query_proj, self.key_proj, self.value_proj)
        return [part.weight for part in parts], [part.bias for part in parts]

    @property
    def position_layers(self) -> tuple[nn.Linear | None, nn.Linear | None]:
        """See the base class."""
        return self.pos_query_proj, self.pos_key_proj

    def position_key(self, rows: Tensor) -> Tensor:
        """See the base class."""
        return (self.pos_key_proj or self.key_proj)(rows)

    def position_query(self, rows: Tensor) -> Tensor:
        """See the base class."""
        return (self.pos_query_proj or self.query_proj)(rows)


_VERSIONS = {"deberta": FusedSelfAttention, "deberta-v2": SeparateSelfAttention}


def make_self_attention(config: BaseConfig, layer: int) -> DisentangledSelfAttention:
    """The self-attention of the configuration's version, with the heads of the layer of this number."""
    return _VERSIONS[config.model_type](config, layer)
