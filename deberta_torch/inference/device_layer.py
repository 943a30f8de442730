"""One transformer layer for inference on accelerators: tokens without padding, weights cast once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deberta_core.config import BaseConfig
from deberta_torch.activations import ACTIVATION_FUNCTIONS
from deberta_torch.encoder import Layer
from deberta_torch.inference.device_attention import PackedAttention
from deberta_torch.inference.layouts import Layout


class DeviceLayer:
    """A layer over the tokens of a batch without padding; holds copies of the weights.

    Args:
        layer: whose weights to copy.
        config: the model's.
        attention: attends within the texts; its query is scaled.
        dtype: of weights and hidden states; sums within LayerNorm are float32.
    """

    def __init__(self, layer: Layer, config: BaseConfig, attention: PackedAttention, dtype: torch.dtype) -> None:
        inner = layer.attention.self
        self.dtype, self._attend = dtype, attention
        self._shape = (3, inner.num_heads, inner.head_size)
        weight, bias = (part.float().clone() for part in inner.fused_content())
        queries = inner.num_heads * inner.head_size
        weight[:queries] *= inner.scale
        bias[:queries] *= inner.scale
        self._content = weight.to(dtype), bias.to(dtype)
        outputs = (layer.attention.output, layer.output)
        self._attended, self._narrow = (_cast(output.dense, dtype) for output in outputs)
        self._norms = [attention.add_norm(output.LayerNorm, dtype) for output in outputs]
        self._wide = _cast(layer.intermediate.dense, dtype)
        self._activation = ACTIVATION_FUNCTIONS[config.hidden_act]

    def __call__(self, hidden: Tensor, layout: Layout) -> Tensor:
        """`[T, C]` to the same."""
        query, key, value = F.linear(hidden, *self._content).unflatten(-1, self._shape).unbind(1)
        context = self._attend(query, key, value, layout).flatten(1)
        hidden = self._norms[0](F.linear(context, *self._attended), hidden)
        return self._norms[1](F.linear(self._activation(F.linear(hidden, *self._wide)), *self._narrow), hidden)


def _cast(linear: nn.Linear, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    return linear.weight.detach().to(dtype), None if linear.bias is None else linear.bias.detach().to(dtype)
