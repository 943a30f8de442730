"""What may be added to the training: recipes from papers and competitions, all of them off by default."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, name_list, one_of
from deberta_core.tasks import TASKS

BALANCED = "balanced"
_SINGLE, _MULTI, _NUMBERS = "single_label_classification", "multi_label_classification", "regression"
_CLASSES = (_SINGLE, "token_classification")
_ALL = (_SINGLE, _MULTI, _NUMBERS, *(name for name in TASKS if name != "sequence_classification"))


@dataclass(frozen=True, slots=True)
class Recipe:
    """An option of the training.

    Attributes:
        metavar: of its value; none of a switch.
        help: what it does.
        low: the least.
        high: the most.
        tasks: of models, or problem types, whose own loss it changes; None: every one, of any loss.
        needs: another option, without which it says nothing.
        whole: whether its value is an integer.
    """

    metavar: str
    help: str
    low: float = 0.0
    high: float = math.inf
    tasks: tuple[str, ...] | None = None
    needs: str | None = None
    whole: bool = False


RECIPES: dict[str, Recipe] = {
    "class_weights": Recipe(
        "WEIGHT", "class weights: 'balanced', CLASS=NUMBER of every class, or a JSON file of them", tasks=_CLASSES
    ),
    "label_smoothing": Recipe(
        "SHARE",
        "label smoothing: share of a label that goes to all classes, such as 0.1",
        high=0.999,
        tasks=(*_CLASSES, _MULTI, "multiple_choice", "masked_lm"),
    ),
    "focal_loss": Recipe(
        "GAMMA",
        "focal loss: power of 1 - p that losses are multiplied with, such as 2",
        high=100.0,
        tasks=(*_CLASSES, _MULTI, "multiple_choice"),
    ),
    "teacher": Recipe(
        "DIR",
        "knowledge distillation: a fine-tuned checkpoint whose probabilities are learned too",
        tasks=(_SINGLE, _MULTI, _NUMBERS),
    ),
    "teacher_temperature": Recipe(
        "T", "what both models' logits are divided by", low=0.01, high=100.0, needs="teacher"
    ),
    "teacher_weight": Recipe(
        "SHARE", "share of the distillation in the loss; the labels have the rest", high=1.0, needs="teacher"
    ),
    "frozen_layers": Recipe("N", "frozen layers: the first N, and all below, are not trained", whole=True),
    "lora_rank": Recipe("RANK", "LoRA: adapters of this rank, and the head, are trained; such as 8", whole=True),
    "lora_alpha": Recipe("ALPHA", "adapters are multiplied by ALPHA / RANK", high=1e6, needs="lora_rank"),
    "keep_adapter": Recipe(
        "", "the adapter is also saved by itself, as PEFT has it, in OUTPUT/adapter", needs="lora_rank"
    ),
    "r_drop": Recipe("WEIGHT", "R-Drop: weight of the difference that dropout makes, such as 1", tasks=_ALL),
    "sift": Recipe("WEIGHT", "SiFT: weight of the difference that moved embeddings make, such as 5", tasks=_ALL),
    "awp": Recipe(
        "SHARE",
        "adversarial weight perturbation: share by which weights are moved, such as 0.001",
        high=1.0,
    ),
    "awp_start": Recipe("STEP", "step at which --awp begins, from 0", needs="awp", whole=True),
    "ema": Recipe(
        "DECAY",
        "exponential moving average of the weights: its decay, such as 0.99; judged and saved",
        high=0.999999,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeOptions:
    """See `TrainingOptions`, which has these too."""

    class_weights: str | Mapping[str, float] | None = None
    label_smoothing: float = 0.0
    focal_loss: float = 0.0
    teacher: str | None = None
    teacher_temperature: float = 2.0
    teacher_weight: float = 0.5
    frozen_layers: int = 0
    lora_rank: int = 0
    lora_alpha: float | None = None
    keep_adapter: bool = False
    r_drop: float = 0.0
    sift: float = 0.0
    awp: float = 0.0
    awp_start: int = 0
    ema: float = 0.0

    def __post_init__(self) -> None:
        for name, recipe in RECIPES.items():
            value = getattr(self, name)
            if recipe.needs and value != _default(name) and not getattr(self, recipe.needs):
                raise InputError(f"{name}={value!r} needs {recipe.needs}. Give both, or none.")
            if name not in _NO_NUMBERS and value is not None:
                _check_number(name, value, recipe)
        weights = self.class_weights
        if isinstance(weights, Mapping):
            for name, weight in weights.items():
                _check_number(f"class_weights[{name!r}]", weight, RECIPES["class_weights"])
        elif weights not in (None, BALANCED):
            raise InputError(one_of("class_weights", weights, (BALANCED, "a mapping of classes to weights")))
        if self.label_smoothing and self.focal_loss:
            raise InputError(
                "Smoothed labels have no one probability for focal loss. Give one of label_smoothing, focal_loss."
            )

        if self.lora_rank and self.frozen_layers:
            raise InputError("lora_rank freezes all but the adapters and the head. Leave frozen_layers out.")

    def check_use(
        self, task: str | None, config: BaseConfig, compares: bool, framework: str, accumulation: int
    ) -> None:
        """Refuses what is not for a training.

        Args:
            task: of the model; None for a backbone.
            config: of the model, with the problem type.
            compares: whether the loss is of texts that are compared, not the model's own.
            framework: a name of `FRAMEWORKS`.
            accumulation: the pieces of a step.

        Raises:
            InputError: an option is not for it.
        """
        if self.awp and framework == "tf" and accumulation > 1:
            raise InputError(f"awp={self.awp} needs whole steps in Keras. Give accumulation 1, or train in PyTorch.")
        kind = str(config.problem_type) if task == "sequence_classification" else str(task)
        for name, recipe in RECIPES.items():
            value = getattr(self, name)
            if not value or value == _default(name):
                continue
            if recipe.tasks is not None and (compares or kind not in recipe.tasks):
                what = "texts that are compared" if compares else kind.replace("_", " ")
                fitting = name_list(one.replace("_", " ") for one in recipe.tasks)
                raise InputError(f"{name}={value!r:.60} is not for {what}, but for {fitting}. Leave it out.")
        most = config.num_hidden_layers - (task is None)  # a backbone alone has no head to train
        if self.frozen_layers > most:
            raise InputError(f"frozen_layers={self.frozen_layers} is more than the {most} that may be. Lower it.")


_NO_NUMBERS = ("class_weights", "teacher", "keep_adapter")


def _default(name: str) -> Any:
    return RecipeOptions.__dataclass_fields__[name].default


def _check_number(name: str, value: Any, recipe: Recipe) -> None:
    kind: Any = int if recipe.whole else int | float
    if not isinstance(value, kind) or isinstance(value, bool) or not recipe.low <= value <= min(recipe.high, 1e9):
        what = "an integer" if recipe.whole else "a number"
        most = f"from {recipe.low:g} to {recipe.high:g}" if recipe.high < math.inf else "of 0 or more"
        raise InputError(f"{name}={value!r} is not allowed. Give {what} {most}.")
