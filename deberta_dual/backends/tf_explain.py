"""Explanations by Keras, as an `ExplainingBackend`."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from deberta_core.explanations import Attributions, ScoreParts
from deberta_dual.backends.protocol import Arrays
from deberta_tf import explain

Found = TypeVar("Found", ScoreParts, Attributions)


def score_parts(model: Any, layer: int, inputs: Arrays) -> ScoreParts:
    """See `ExplainingBackend.score_parts`."""
    return _arrays(explain.score_parts(model, layer, **inputs))


def integrated_gradients(model: Any, output: str, index: tuple[int, ...], inputs: Arrays, steps: int) -> Attributions:
    """See `ExplainingBackend.integrated_gradients`."""
    given: dict[str, Any] = dict(inputs)
    return _arrays(explain.integrated_gradients(model, output, index, steps=steps, **given))


def _arrays(found: Found) -> Found:
    values = {field.name: getattr(found, field.name) for field in fields(found)}
    return type(found)(**{name: None if value is None else np.asarray(value) for name, value in values.items()})
