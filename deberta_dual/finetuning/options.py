"""How a model is trained, with the defaults."""

from __future__ import annotations

from dataclasses import dataclass

from deberta_core.errors import InputError, one_of
from deberta_dual.finetuning.recipes import RecipeOptions
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
class TrainingOptions(RecipeOptions):
    """What can be chosen of the training; the results depend on nothing else but the data and the first weights.

    Args:
        epochs: number of epochs.
        batch_size: examples per step, over all processes and accumulated parts.
        accumulation: gradient accumulation: the parts in which a process computes its share of a batch.
        learning_rate: the peak; AdamW, betas 0.9 and 0.999, epsilon 1e-6 as in DeBERTa's papers.
        warmup: warm-up ratio, in [0, 1]: the share of the steps in which the learning rate rises linearly from 0; then
            it falls linearly to 0.
        weight_decay: of matrices; biases and LayerNorms have none.
        layer_decay: layer-wise learning-rate decay, in [0, 1]: the rate of a layer over that of the layer above.
        clip: maximum norm of the gradient of all parameters together; None: no clipping.
        dtype: "float32", or "bfloat16" for mixed precision.
        gradient_checkpointing: computes layers anew in the backward pass: less memory, a third more time.
        seed: of fresh parameters, the order of examples, and dropout.
        evaluate_every: steps between evaluations, and between states to resume from; None: one epoch.
        patience: early stopping: evaluations without improvement after which training stops; None: never.
        class_weights: "balanced", or a weight for every class by its name; None: 1 each.
        label_smoothing: the share of a label that is spread over all classes.
        focal_loss: the power of 1 - p that a loss is multiplied with; 0: none.
        teacher: knowledge distillation: a model of the same classes whose probabilities are learned; None: none.
        teacher_temperature: what both models' logits are divided by.
        teacher_weight: share of the distillation in the loss; the labels have the rest.
        frozen_layers: the first layers, with all that lies below, that are not trained.
        lora_rank: of the adapters that are trained instead of the backbone; 0: the backbone is.
        lora_alpha: adapters are multiplied by it over the rank; None: as large as the rank.
        keep_adapter: whether the adapter is also saved by itself; the model has it merged.
        r_drop: weight of the divergence of two passes with dropout; 0: one pass.
        sift: weight of the adversarial loss of perturbed embeddings; 0: none.
        awp: share of a weight matrix's norm by which it is moved along its gradient, before the gradients are taken.
        awp_start: the step at which that begins, from 0.
        ema: decay of the moving average of the weights that is evaluated and saved; 0: the weights themselves are.

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
    gradient_checkpointing: bool = False
    seed: int = 0
    evaluate_every: int | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        RecipeOptions.__post_init__(self)
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
