"""The only place where the versions of DeBERTa differ in code: who owns the attention projections."""

from __future__ import annotations

from typing import Any

from deberta_core.config import BaseConfig
from deberta_tf.attention import DisentangledSelfAttention
from deberta_tf.layers import dense


class SeparateSelfAttention(DisentangledSelfAttention):
    """v2 and v3: query, key and value each have a projection; relative positions share them or have their own."""

    def __init__(self, config: BaseConfig, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        heads, dtype = config.all_heads_size, self.dtype_policy
        own = () if config.shares_position_projections else self.terms
        self.query_proj = dense(config, heads, "query_proj", dtype)
        self.key_proj = dense(config, heads, "key_proj", dtype)
        self.value_proj = dense(config, heads, "value_proj", dtype)
        self.pos_key_proj = dense(config, heads, "pos_key_proj", dtype) if "c2p" in own else None
        self.pos_query_proj = dense(config, heads, "pos_query_proj", dtype) if "p2c" in own else None

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        for part in (self.query_proj, self.key_proj, self.value_proj, self.pos_key_proj, self.pos_query_proj):
            if part is not None:
                part.build((None, self.config.hidden_size))

    def content(self, hidden: Any) -> tuple[Any, Any, Any]:
        """See the base class."""
        return self.query_proj(hidden), self.key_proj(hidden), self.value_proj(hidden)

    def position_key(self, rows: Any) -> Any:
        """See the base class."""
        return (self.pos_key_proj or self.key_proj)(rows)

    def position_query(self, rows: Any) -> Any:
        """See the base class."""
        return (self.pos_query_proj or self.query_proj)(rows)


def make_self_attention(config: BaseConfig, **kwargs: Any) -> DisentangledSelfAttention:
    """The self-attention of the configuration's version."""
    return SeparateSelfAttention(config, **kwargs)
