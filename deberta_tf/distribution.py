"""Sums and batches over the replicas of a distribution strategy; the only place that knows of TensorFlow's.

Outside a strategy, with one replica and on other Keras backends each function returns what it is given.
"""

from __future__ import annotations

from typing import Any

import keras


def replica_count() -> int:
    """How many replicas share the batch whose part is at hand."""
    context = _replica_context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def sum_over_replicas(value: Any) -> Any:
    """The sum of the replicas' values, on each of them; the gradient is the sum of the replicas' gradients."""
    context = _replica_context()
    return value if context is None else context.all_reduce("SUM", value)


def gather_rows(value: Any) -> Any:
    """The rows of all replicas, `[B, ...]` of the global batch, on each of them; None stays None.

    The gradient of a row is the sum of what all replicas have for it.
    """
    context = _replica_context()
    return value if context is None or value is None else context.all_gather(value, axis=0)


def _replica_context() -> Any:
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
