"""The only place where the versions of DeBERTa differ in code: who owns the attention projections."""

from __future__ import annotations

from typing import Any

from keras import ops

from deberta_core.config import BaseConfig
from deberta_tf.attention import DisentangledSelfAttention
from deberta_tf.layers import dense


class FusedSelfAttention(DisentangledSelfAttention):
    """v1: one projection without bias, its rows laid out per head as [q, k, v] of D rows each; no key bias."""

    def __init__(self, config: BaseConfig, layer: int, **kwargs: Any) -> None:
        super().__init__(config, layer, **kwargs)
        heads, dtype = config.all_heads_size(layer), self.dtype_policy
        self.in_proj = dense(config, 3 * heads, "in_proj", dtype, use_bias=False)
        self.pos_proj = dense(config, heads, "pos_proj", dtype, use_bias=False) if "c2p" in self.terms else None
        self.pos_q_proj = dense(config, heads, "pos_q_proj", dtype) if "p2c" in self.terms else None
        if config.mixes_heads:
            self.head_logits_proj = dense(config, self.num_heads, "head_logits_proj", dtype, use_bias=False)
            self.head_weights_proj = dense(config, self.num_heads, "head_weights_proj", dtype, use_bias=False)

    def build(self, input_shape: Any = None) -> None:
        """Makes every variable; no shape depends on the inputs."""
        width = self.num_heads * self.head_size
        self.q_bias = self.add_weight(shape=(width,), initializer="zeros", name="q_bias")
        self.v_bias = self.add_weight(shape=(width,), initializer="zeros", name="v_bias")
        for part in (self.in_proj, self.pos_proj, self.pos_q_proj):
            if part is not None:
                part.build((None, self.config.hidden_size))
        for part in (self.head_logits_proj, self.head_weights_proj):
            if part is not None:
                part.build((None, self.num_heads))

    def content(self, hidden: Any, query: Any = None) -> tuple[Any, Any, Any]:
        """See the base class."""
        heads = self.num_heads * self.head_size
        if query is None:
            fused = self.in_proj(hidden)  # [..., H * 3 * D]
            outer = ops.shape(fused)[:-1]
            by_head = ops.reshape(fused, (*outer, self.num_heads, 3, self.head_size))
            q, k, v = (ops.reshape(by_head[..., part, :], (*outer, heads)) for part in range(3))
        else:
            by_head = ops.reshape(self.in_proj.kernel, (-1, self.num_heads, 3, self.head_size))
            columns = (ops.reshape(by_head[:, :, part], (-1, heads)) for part in range(3))  # [C, H * D]
            q, k, v = (ops.matmul(source, own) for source, own in zip((query, hidden, hidden), columns, strict=True))
        return q + self.q_bias, k, v + self.v_bias

    def position_key(self, rows: Any) -> Any:
        """See the base class."""
        assert self.pos_proj is not None
        return self.pos_proj(rows)

    def position_query(self, rows: Any) -> Any:
        """See the base class."""
        assert self.pos_q_proj is not None
        return self.pos_q_proj(rows)


class SeparateSelfAttention(DisentangledSelfAttention):
    """v2 and v3: query, key and value each have a projection; relative positions share them or have their own."""

    def __init__(self, config: BaseConfig, layer: int, **kwargs: Any) -> None:
        super().__init__(config, layer, **kwargs)
        heads, dtype = config.all_heads_size(layer), self.dtype_policy
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

    def content(self, hidden: Any, query: Any = None) -> tuple[Any, Any, Any]:
        """See the base class."""
        return self.query_proj(hidden if query is None else query), self.key_proj(hidden), self.value_proj(hidden)

    def position_key(self, rows: Any) -> Any:
        """See the base class."""
        return (self.pos_key_proj or self.key_proj)(rows)

    def position_query(self, rows: Any) -> Any:
        """See the base class."""
        return (self.pos_query_proj or self.query_proj)(rows)


_VERSIONS = {"deberta": FusedSelfAttention, "deberta-v2": SeparateSelfAttention}


def make_self_attention(config: BaseConfig, layer: int, **kwargs: Any) -> DisentangledSelfAttention:
    """The self-attention of the configuration's version, with the heads of the layer of this number."""
    return _VERSIONS[config.model_type](config, layer, **kwargs)
