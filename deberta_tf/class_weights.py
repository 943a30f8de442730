"""`class_weight` of `fit` and `train_on_batch` for labels per token, where Keras takes L for a number of classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.tasks import BY_PROBLEM, TaskSpec

_WITHOUT_CLASSES = ("regression", "multi_label_classification")


def check_class_weight(config: BaseConfig, spec: TaskSpec) -> None:
    """Refuses class weights where a label is no class.

    Raises:
        InputError: question answering, regression or several labels per text.
    """
    kinds = tuple(spec.labels.values())
    regresses = config.problem_type is None and config.num_labels == 1
    problem = "regression" if regresses else config.problem_type
    if len(kinds) > 1 or (kinds == (BY_PROBLEM,) and problem in _WITHOUT_CLASSES):
        what = spec.name if len(kinds) > 1 else problem
        raise InputError(
            f"class_weight was given for {what}, whose labels are no classes. Weigh the examples with sample_weight."
        )


def weigh_tokens(x: Any, y: Any, sample_weight: Any, class_weight: Mapping[int, float]) -> tuple[Any, Any]:
    """Turns class weights into sample weights `[B, L]`; classes that are not named, and ignored labels, weigh 1.

    Args:
        x: inputs, or a `tf.data` dataset of pairs (x, y).
        y: labels `[B, L]`; None for a dataset.
        sample_weight: must be None: both at once are as ambiguous as in Keras.
        class_weight: weights by class.

    Returns:
        x and sample_weight, to be used instead of the given ones.

    Raises:
        InputError: sample weights are given too, or the labels are not outside x.
    """
    if sample_weight is not None:
        raise InputError("class_weight and sample_weight were both given. Multiply them, and give sample_weight alone.")
    classes = max((*class_weight, 0)) + 1
    table = np.array([class_weight.get(number, 1.0) for number in range(classes)] + [1.0], np.float32)
    if y is not None:
        return x, table[_rows(np.asarray(y), classes, np)]
    if not hasattr(x, "map"):
        raise InputError(
            "class_weight was given without y. Give the labels outside x: arrays x and y, or a tf.data dataset of both."
        )
    return x.map(lambda inputs, labels: (inputs, labels, ops.take(table, _rows(labels, classes, ops)))), None


def applies_per_token(spec: TaskSpec) -> bool:
    """Whether the task has a class for every token."""
    return any(kind.per_token for kind in spec.labels.values())


def _rows(labels: Any, classes: int, library: Any) -> Any:
    """Where the table has a label's weight; what it does not know, and ignored labels, are its last row."""
    return library.where((labels >= 0) & (labels < classes), labels, classes)
