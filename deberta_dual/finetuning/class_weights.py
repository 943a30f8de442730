"""How much each class, and so each example, counts in the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, name_list
from deberta_core.loss_options import LossOptions
from deberta_dual.finetuning.labels import ClassIds
from deberta_dual.finetuning.recipes import BALANCED, RecipeOptions
from deberta_dual.finetuning.schedule import Feature


def loss_options(options: RecipeOptions, features: Sequence[Feature], config: BaseConfig) -> LossOptions:
    """The options of the model's loss.

    Args:
        options: of the training.
        features: of the training data, with the labels that "balanced" counts.
        config: with the classes.

    Raises:
        InputError: a class has no weight, or a weight no class.
    """
    weights: tuple[float, ...] | None = None
    if options.class_weights is not None:
        names = config.id2label or {}
        is_balanced = options.class_weights == BALANCED
        weights = _balanced(features, len(names)) if is_balanced else _by_name(options.class_weights, names)
    return LossOptions(class_weights=weights, label_smoothing=options.label_smoothing, focal_gamma=options.focal_loss)


def label_weight(options: LossOptions) -> Callable[[Feature], float] | None:
    """What an example's labels weigh together, in the loss of a step; None: as much as there are."""
    return None if options.class_weights is None else partial(_weight, options.class_weights)


def _weight(weights: Sequence[float], feature: Feature) -> float:
    return sum(weights[label] for label in _labels(feature))


def _labels(feature: Feature) -> list[int]:
    """The labels of an example that count."""
    own = feature["labels"]
    return [label for label in (own if isinstance(own, list) else [own]) if label >= 0]


def _balanced(features: Sequence[Feature], classes: int) -> tuple[float, ...]:
    """Weights by which all classes count alike: labels / (classes * labels of the class), as scikit-learn has it.

    A class without labels weighs as much as one with a single label.
    """
    labels = [label for feature in features for label in _labels(feature)]
    counts = np.maximum(np.bincount(labels, minlength=classes), 1)
    return tuple((len(labels) / (classes * counts)).tolist())


def _by_name(weights: Any, names: Mapping[int, str]) -> tuple[float, ...]:
    ids = ClassIds(names)
    found = {ids[name]: float(weight) for name, weight in weights.items()}
    if missing := [name for number, name in names.items() if number not in found]:
        raise InputError(f"class_weights has none for {name_list(missing)}. Give every class a weight.")
    return tuple(found[number] for number in range(len(names)))
