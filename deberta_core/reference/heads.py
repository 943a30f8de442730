"""The task heads (NUMERICS 6)."""

from __future__ import annotations

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.reference.arrays import Array, Scope, activation, linear


def context_pooler(config: BaseConfig, scope: Scope, hidden: Array, mask: Array) -> Array:
    """Dense and activation over the context token, the first real one (NUMERICS decision 2).

    Args:
        config: the model's configuration.
        scope: parameters below `pooler`.
        hidden: `[B, L, C]`.
        mask: bool `[B, L]`; a row without a real token uses index 0.

    Returns:
        `[B, C]`.
    """
    context = hidden[np.arange(len(hidden)), mask.argmax(axis=1)]
    return activation(config.pooler_hidden_act, linear(context, scope / "dense"))


def sequence_classification(config: BaseConfig, scope: Scope, hidden: Array, mask: Array) -> dict[str, Array]:
    """Pooler and classifier; `logits [B, N]`."""
    return {"logits": linear(context_pooler(config, scope / "pooler", hidden, mask), scope / "classifier")}
