"""The only place where the versions of DeBERTa differ in code: who owns the attention projections."""

from __future__ import annotations

from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_torch.attention import DisentangledSelfAttention


class SeparateSelfAttention(DisentangledSelfAttention):
    """v2 and v3: query, key and value each have a projection; relative positions share them or have their own."""

    def __init__(self, config: BaseConfig) -> None:
        super().__init__(config)
        width, heads = config.hidden_size, config.all_heads_size
        own = () if config.shares_position_projections else self.terms
        self.query_proj = nn.Linear(width, heads)
        self.key_proj = nn.Linear(width, heads)
        self.value_proj = nn.Linear(width, heads)
        self.pos_key_proj = nn.Linear(width, heads) if "c2p" in own else None
        self.pos_query_proj = nn.Linear(width, heads) if "p2c" in own else None

    def content(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the base class."""
        return self.query_proj(hidden), self.key_proj(hidden), self.value_proj(hidden)

    def position_key(self, rows: Tensor) -> Tensor:
        """See the base class."""
        return (self.pos_key_proj or self.key_proj)(rows)

    def position_query(self, rows: Tensor) -> Tensor:
        """See the base class."""
        return (self.pos_query_proj or self.query_proj)(rows)


def make_self_attention(config: BaseConfig) -> DisentangledSelfAttention:
    """The self-attention of the configuration's version."""
    return SeparateSelfAttention(config)
