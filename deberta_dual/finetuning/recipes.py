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
        metavar: of its value; "" for a switch.
        help: what it does.
        source: who described it.
        low: the least value; the most is `high`.
        high: see `low`.
        tasks: of models, or problem types, that it is for; None: every one.
        needs: another option, without which it says nothing.
        whole: whether its value is an integer.
        in_keras: whether it is also there.
    """

    metavar: str
    help: str
    source: str = ""
    low: float = 0.0
    high: float = math.inf
    tasks: tuple[str, ...] | None = None
    needs: str | None = None
    whole: bool = False
    in_keras: bool = True


RECIPES: dict[str, Recipe] = {
    "class_weights": Recipe(
        "WEIGHTS",
        "class weights: 'balanced', CLASS=WEIGHT of every class, or a JSON file of these",
        "King & Zeng 2001",
        tasks=_CLASSES,
    ),
    "label_smoothing": Recipe(
        "SHARE",
        "label smoothing, such as 0.1",
        "Szegedy et al. 2016",
        high=0.999,
        tasks=(*_CLASSES, _MULTI, "multiple_choice", "masked_lm"),
    ),
    "focal_loss": Recipe(
        "GAMMA",
        "focal loss, such as 2",
        "Lin et al. 2017",
        high=100.0,
        tasks=(*_CLASSES, _MULTI, "multiple_choice"),
    ),
    "teacher": Recipe(
        "DIR",
        "knowledge distillation: a fine-tuned checkpoint whose probabilities are learned too",
        "Hinton et al. 2015",
        tasks=(_SINGLE,),
        in_keras=False,
    ),
    "temperature": Recipe("T", "of the distillation, for both models", low=0.01, high=100.0, needs="teacher"),
    "teacher_weight": Recipe(
        "SHARE", "of the distillation in the loss; the labels have the rest", high=1.0, needs="teacher"
    ),
    "frozen_layers": Recipe(
        "N", "frozen layers: the first N, and the embeddings, are not trained", "Lee et al. 2019", whole=True
    ),
    "r_drop": Recipe(
        "WEIGHT",
        "R-Drop: two dropouts of a batch should predict the same; such as 1",
        "Wu et al. 2021",
        tasks=_ALL,
        in_keras=False,
    ),
    "sift": Recipe(
        "WEIGHT",
        "SiFT: perturbed embeddings should predict the same; such as 5",
        "He et al. 2020",
        tasks=_ALL,
        in_keras=False,
    ),
    "awp": Recipe(
        "EPSILON",
        "adversarial weight perturbation (AWP): gradients at weights moved by this share; such as 0.001",
        "Wu et al. 2020",
        high=1.0,
        in_keras=False,
    ),
    "awp_start": Recipe("STEP", "the step at which AWP begins", needs="awp", whole=True),
    "ema": Recipe(
        "DECAY",
        "exponential moving average (EMA) of the weights, which is evaluated and saved; such as 0.999",
        "Polyak & Juditsky 1992",
        high=0.999999,
        in_keras=False,
    ),
    "lora_rank": Recipe(
        "RANK", "LoRA: trains low-rank adapters of the attention, and the head; such as 8", "Hu et al. 2021", whole=True
    ),
    "lora_alpha": Recipe("ALPHA", "adapters are multiplied by ALPHA / RANK", high=1e6, needs="lora_rank"),
    "keep_adapter": Recipe("", "saves the adapter by itself, too, as PEFT does: OUTPUT/adapter", needs="lora_rank"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeOptions:
    """See `TrainingOptions`, which has these too."""

    class_weights: str | Mapping[str, float] | None = None
    label_smoothing: float = 0.0
    focal_loss: float = 0.0
    teacher: str | None = None
    temperature: float = 2.0
    teacher_weight: float = 0.5
    frozen_layers: int = 0
    r_drop: float = 0.0
    sift: float = 0.0
    awp: float = 0.0
    awp_start: int = 0
    ema: float = 0.0
    lora_rank: int = 0
    lora_alpha: float | None = None
    keep_adapter: bool = False

    def __post_init__(self) -> None:
        for name, recipe in RECIPES.items():
            value = getattr(self, name)
            if recipe.needs and not getattr(self, recipe.needs) and value != _default(name):
                raise InputError(f"{name}={value!r} needs {recipe.needs}. Give both, or none.")
            if isinstance(_default(name), int | float) and not isinstance(_default(name), bool):
                _check_number(name, value, recipe)
        if self.lora_alpha is not None:
            _check_number("lora_alpha", self.lora_alpha, RECIPES["lora_alpha"])
        if isinstance(self.class_weights, str) and self.class_weights != BALANCED:
            raise InputError(one_of("class_weights", self.class_weights, (BALANCED, "a mapping of classes to weights")))
        for name, weight in dict(self.class_weights if isinstance(self.class_weights, Mapping) else {}).items():
            _check_number(f"class_weights[{name!r}]", weight, RECIPES["class_weights"])
        if self.label_smoothing and self.focal_loss:
            raise InputError(
                "Smoothed labels have no one probability for focal loss. Give one of label_smoothing, focal_loss."
            )
        if self.lora_rank and self.frozen_layers:
            raise InputError("lora_rank freezes every layer but the adapters and the head. Leave frozen_layers out.")

    def check_task(self, task: str | None, config: BaseConfig, framework: str) -> None:
        """Refuses what is not for a task, or not in a framework.

        Args:
            task: of the model; None for a backbone.
            config: of the model, with the problem type.
            framework: "torch" or "tf".

        Raises:
            InputError: an option is not for it, or there are fewer layers than are to be frozen.
        """
        kind = str(config.problem_type) if task == "sequence_classification" else task or "a backbone"
        for name, recipe in RECIPES.items():
            if framework == "tf" and getattr(self, name) and not recipe.in_keras:
                raise InputError(f"{name}={_shown(getattr(self, name))} is in PyTorch alone. Give --framework torch.")
            if recipe.tasks is not None and getattr(self, name) and kind not in recipe.tasks:
                raise InputError(
                    f"{name}={_shown(getattr(self, name))} is not for {kind.replace('_', ' ')}, but for "
                    f"{name_list(one.replace('_', ' ') for one in recipe.tasks)}. Leave it out."
                )
        if self.frozen_layers > config.num_hidden_layers:
            raise InputError(
                f"frozen_layers={self.frozen_layers} is more than num_hidden_layers={config.num_hidden_layers}. Lower it."
            )


def _default(name: str) -> Any:
    return RecipeOptions.__dataclass_fields__[name].default


def _check_number(name: str, value: Any, recipe: Recipe) -> None:
    kind: Any = int if recipe.whole else int | float
    if (
        not isinstance(value, kind)
        or isinstance(value, bool)
        or not recipe.low <= value <= recipe.high
        or value == math.inf
    ):
        what = "an integer" if recipe.whole else "a number"
        most = f"from {recipe.low:g} to {recipe.high:g}" if recipe.high < math.inf else f"of {recipe.low:g} or more"
        raise InputError(f"{name}={value!r} is not allowed. Give {what} {most}.")


def _shown(value: Any) -> str:
    return f"{value!r:.60}"
