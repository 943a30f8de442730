"""How a model is trained, with the defaults."""

from __future__ import annotations

from dataclasses import dataclass

from deberta_core.errors import InputError, one_of
from deberta_dual.pipelines.examples import check_count

DTYPES = ("float32", "bfloat16")
LARGEST_SEED = 2**32 - 1
# Name -> lowest and highest value.
_RANGES = {
    "learning_rate": (0.0, 1.0),
    "warmup": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "layer_decay": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """What can be chosen of the training; the results depend on nothing else but the data and the first weights.

    Args:
        epochs: how often all examples are seen.
        batch_size: examples of a step, over all processes and pieces.
        accumulation: pieces in which a process takes its part of a step, to save memory.
        learning_rate: the highest; AdamW, betas 0.9 and 0.999, epsilon 1e-6 as in DeBERTa's papers.
        warmup: share of the steps in which the rate rises from 0; then it falls to 0, both in straight lines.
        weight_decay: of matrices; biases and norms have none.
        layer_decay: what each layer's rate is of that of the layer above; 1: all are the same.
        clip: the longest gradient, of all parameters together; None: as they are.
        dtype: of products: "float32", or "bfloat16" in mixed precision.
        seed: of fresh parameters, the order of examples, and dropout.
        evaluate_every: steps between evaluations, and between states to resume from; None: an epoch's.
        patience: evaluations without a better result after which training stops; None: never.

    Raises:
        InputError: a value is not allowed.
    """

    epochs: int = 3
    batch_size: int = 16
    accumulation: int = 1
    learning_rate: float = 2e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    layer_decay: float = 1.0
    clip: float | None = 1.0
    dtype: str = "float32"
    seed: int = 0
    evaluate_every: int | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulation"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, least=0)
        if self.seed > LARGEST_SEED:
            raise InputError(f"seed={self.seed} is more than Keras' random numbers take, {LARGEST_SEED}. Lower it.")
        check_count("evaluate_every", self.evaluate_every, none="for an epoch")
        check_count("patience", self.patience, none="for no early stopping")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"{name}={value!r} is not allowed. Give a number from {low:g} to {high:g}.")
        if self.clip is not None and not (isinstance(self.clip, int | float) and self.clip > 0):
            raise InputError(f"clip={self.clip!r} is not allowed. Give a number above 0, or None.")
        if self.accumulation > self.batch_size:
            raise InputError(f"accumulation={self.accumulation} is more than batch_size={self.batch_size}. Lower it.")
        if self.dtype not in DTYPES:
            raise InputError(one_of("dtype", self.dtype, DTYPES))
