"""Several processes that TF_CONFIG names, each with one device, which sum numbers over all of them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from deberta_core.errors import InputError
from deberta_dual.processes import TF_CONFIG, own_process

if TYPE_CHECKING:
    from deberta_dual.evaluation.classes import Metrics


def connect() -> Any:
    """Finds the other processes; to be called before TensorFlow makes anything. None for a process alone.

    TensorFlow's strategy only carries the sums: every process has its own whole model, as under DDP of PyTorch, so that
    no layer has to know of the others.

    Raises:
        InputError: TensorFlow is already at work, or a process has more devices than one.
    """
    process = own_process()
    return strategy_of(process.count) if process.launcher == TF_CONFIG else None


@functools.cache
def strategy_of(count: int) -> Any:
    """The strategy of so many processes, which TensorFlow makes once; see `connect`."""
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as problem:
        raise InputError(
            f"the {count} processes of TF_CONFIG cannot be joined: {problem}. Start pretrain in a new process, before "
            f"TensorFlow has computed anything."
        ) from problem
    if strategy.num_replicas_in_sync != count:
        raise InputError(
            f"{count} processes have {strategy.num_replicas_in_sync} devices together, and each takes one. Set "
            f"CUDA_VISIBLE_DEVICES of each to its own GPU, and start one for each GPU."
        )
    return strategy


class Exchange:
    """Sums over all processes; of a process alone, what it is given."""

    def __init__(self) -> None:
        self._strategy = connect()
        self._sum = tf.function(self._traced)

    def sum(self, parts: Sequence[Any]) -> list[Any]:
        """The sums of tensors of one dtype, of the same shapes in every process; None stays None."""
        if self._strategy is None:
            return list(parts)
        found = iter(self._sum([part for part in parts if part is not None]))
        return [None if part is None else next(found) for part in parts]

    def numbers(self, values: Sequence[float]) -> list[float]:
        """The sums of numbers."""
        (found,) = self.sum([tf.constant(values, tf.float64)])
        return [float(value) for value in np.asarray(found)]

    def agree(self, scores: Metrics) -> Metrics:
        """The first process's scores: should rounding differ, all must still stop together."""
        if self._strategy is None:
            return scores
        names = sorted(scores)
        own = [scores[name] if own_process().number == 0 else 0.0 for name in names]
        return dict(zip(names, self.numbers(own), strict=True))

    def _traced(self, parts: Sequence[Any]) -> list[Any]:
        flat = tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)  # one message for all
        total = self._strategy.reduce("SUM", self._strategy.run(lambda: flat), axis=None)
        pieces = tf.split(total, [tf.size(part) for part in parts])
        return [tf.reshape(piece, tf.shape(part)) for piece, part in zip(pieces, parts, strict=True)]
