"""How a model is pretrained, with the defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields

from deberta_core.collation.gram_masking import MaskingRule
from deberta_core.collation.packing import PACKINGS
from deberta_core.errors import InputError, one_of
from deberta_dual.finetuning.options import DTYPES, TrainingOptions
from deberta_dual.pipelines.examples import check_count
from deberta_dual.pretraining.options import BatchOptions

MLM, RTD = "mlm", "rtd"
OBJECTIVES = (MLM, RTD)
SHARINGS = ("gdes", "es", "none")
UPDATES = ("decoupled", "joint")
_LONGEST_WARMUP = 10_000
# Name -> lowest and highest value.
_RANGES = {
    "learning_rate": (0.0, 1.0),
    "discriminator_learning_rate": (0.0, 1.0),
    "weight_decay": (0.0, 1.0),
    "masked_share": (0.01, 0.9),
    "rtd_weight": (0.0, 1e6),
    "temperature": (1e-3, 1e3),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainingOptions:
    """What can be chosen of the pretraining; its results depend on nothing else but the corpus and the first weights.

    Args:
        objective: "rtd": replaced-token detection, as v3; "mlm": masked language modeling, as v1 and v2.
        steps: steps of the optimizer.
        batch_size: sequences a step, over all processes and accumulated parts.
        accumulation: gradient accumulation: the parts in which a process computes its share of a batch.
        max_length: tokens of a sequence, with [CLS] and [SEP].
        learning_rate: the peak; of the generator, under "rtd".
        discriminator_learning_rate: the peak of the discriminator; None: the same.
        warmup_steps: steps in which the rates rise linearly from 0, before they fall linearly to 0; None: 10,000, or a
            tenth of the steps if that is less.
        weight_decay: of matrices and tables; biases and LayerNorms have none.
        clip: maximum norm of the gradient; None: no clipping.
        dtype: "float32", or "bfloat16" for mixed precision.
        gradient_checkpointing: computes layers anew in the backward pass: less memory, a third more time.
        fully_shard: spreads gradients, optimizers and the parameters in training over the processes that `torchrun`
            starts (PyTorch); each still has one whole copy of the weights, to judge and save them.
        masked_share: share of the tokens that are masked.
        max_gram: longest n-gram of whole words that is masked at once; None: single tokens under "rtd", 3 under "mlm".
        order: of masked n-grams: "random", or "left" as Microsoft's code, which leaves the end of a row unmasked.
        packing: "documents": several in a sequence, none of which sees another; "text": one behind the other.
        shuffle: the text whose sequences are shuffled together, in Mi characters.
        embedding_sharing: of generator and discriminator: "gdes", gradient-disentangled; "es", one table; "none".
        updates: "decoupled": the generator's step comes before the discriminator's; "joint": one step of both.
        rtd_weight: of the discriminator's loss; lambda in the paper.
        temperature: of the distribution that replacements are drawn from.
        evaluate_every: steps between evaluations, and between states to resume from.
        seed: of fresh weights, the order of the documents, masks, replacements and dropout.

    Raises:
        InputError: a value is not allowed, or two do not go together.

    Source:
        arXiv 2111.09543 (DeBERTaV3), sections 3 and 4; arXiv 2006.03654, appendix A.
    """

    objective: str = RTD
    steps: int = 100_000
    batch_size: int = 64
    accumulation: int = 1
    max_length: int = 512
    learning_rate: float = 1e-4
    discriminator_learning_rate: float | None = None
    warmup_steps: int | None = None
    weight_decay: float = 0.01
    clip: float | None = 1.0
    dtype: str = "float32"
    gradient_checkpointing: bool = False
    fully_shard: bool = False
    masked_share: float = 0.15
    max_gram: int | None = None
    order: str = "random"
    packing: str = "documents"
    shuffle: int = 16
    embedding_sharing: str = "gdes"
    updates: str = "decoupled"
    rtd_weight: float = 50.0
    temperature: float = 1.0
    evaluate_every: int = 1_000
    seed: int = 0

    def __post_init__(self) -> None:
        choices = {
            "objective": OBJECTIVES,
            "embedding_sharing": SHARINGS,
            "updates": UPDATES,
            "packing": tuple(PACKINGS),
            "dtype": DTYPES,
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError(one_of(name, getattr(self, name), allowed))
        check_count("steps", self.steps)
        check_count("max_length", self.max_length, least=8)
        check_count("max_gram", self.max_gram, none="for single tokens under rtd, 3 under mlm")
        check_count("warmup_steps", self.warmup_steps, least=0, none="for 10,000 or a tenth of the steps")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name == "discriminator_learning_rate":
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise InputError(f"{name}={value!r} is not allowed. Give a number from {low:g} to {high:g}.")
        if self.warmup > 1:
            raise InputError(f"warmup_steps={self.warmup_steps} is more than steps={self.steps}. Lower it.")
        if self.objective == RTD and self.embedding_sharing == "es" and self.updates == "decoupled":
            raise InputError(
                "embedding_sharing='es' has one table for both losses, which updates='decoupled' would train with the "
                "generator's alone. Choose updates='joint', or embedding_sharing='gdes'."
            )
        self.batches()
        self.training()

    @property
    def warmup(self) -> float:
        """The share of the steps in which the rate rises."""
        steps = min(_LONGEST_WARMUP, self.steps // 10) if self.warmup_steps is None else self.warmup_steps
        return steps / self.steps

    def batches(self) -> BatchOptions:
        """What the batches of the corpus depend on."""
        is_rtd = self.objective == RTD
        grams = self.max_gram or (1 if is_rtd else 3)
        unit = "token" if is_rtd and self.max_gram is None else "word"
        shares = {"mask_replace_prob": 1.0, "random_replace_prob": 0.0} if is_rtd else {}
        rule = MaskingRule(probability=self.masked_share, unit=unit, max_gram=grams, order=self.order, **shares)
        return BatchOptions(
            rule=rule,
            packing=self.packing,
            length=self.max_length,
            batch_size=self.batch_size,
            seed=self.seed,
            shuffle=self.shuffle,
        )

    @property
    def discriminator_share(self) -> float:
        """The discriminator's learning rate over the generator's."""
        own = self.discriminator_learning_rate
        return 1.0 if own is None or not self.learning_rate else own / self.learning_rate

    def training(self) -> TrainingOptions:
        """What a run of training reads."""
        shared = {field.name for field in fields(TrainingOptions)} & {field.name for field in fields(self)}
        return TrainingOptions(epochs=1, warmup=self.warmup, **{name: getattr(self, name) for name in shared})
