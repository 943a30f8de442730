"""The small operations everything else is made of, and access to parameters by their published names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from deberta_core.errors import MissingName

Array = npt.NDArray[Any]

_erf = np.vectorize(math.erf, otypes=[np.float64])


class Scope:
    """Parameters below a dotted name: `scope / "dense"` goes down, `scope["weight"]` reads, `in` asks."""

    def __init__(self, params: Mapping[str, Array], prefix: str = "") -> None:
        self._params = params
        self._prefix = prefix

    def __truediv__(self, name: str | int) -> Scope:
        return Scope(self._params, f"{self._prefix}{name}.")

    def __getitem__(self, name: str) -> Array:
        if name not in self:
            raise MissingName(f"The parameters have no {self._prefix}{name}. Give those of this configuration.")
        return self._params[self._prefix + name]

    def __contains__(self, name: str) -> bool:
        return self._prefix + name in self._params


def linear(values: Array, scope: Scope) -> Array:
    """`values @ weight.T + bias`, the bias where there is one; `[..., in] -> [..., out]`."""
    result: Array = values @ scope["weight"].T
    return result + scope["bias"] if "bias" in scope else result


def layer_norm(values: Array, scope: Scope, eps: float) -> Array:
    """Normalises the last axis: biased variance, eps inside the root; `[..., C] -> [..., C]`."""
    centred = values - values.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    result: Array = centred / np.sqrt(variance + values.dtype.type(eps)) * scope["weight"] + scope["bias"]
    return result


def softmax(scores: Array, allowed: Array) -> Array:
    """Probabilities over the last axis where `allowed`, exactly 0 elsewhere.

    Args:
        scores: `[..., K]`.
        allowed: bool, broadcast to the scores. Where a row allows nothing, all its probabilities are 0.
    """
    shifted = scores - np.max(scores, axis=-1, keepdims=True, where=allowed, initial=np.finfo(scores.dtype).min)
    weights = np.where(allowed, np.exp(np.where(allowed, shifted, 0)), 0)
    total = weights.sum(axis=-1, keepdims=True)
    result: Array = (weights / np.where(total > 0, total, 1)).astype(scores.dtype)
    return result


def log_softmax(logits: Array) -> Array:
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def _gelu_tanh(values: Array, slope: float) -> Array:
    result: Array = 0.5 * values * (1 + np.tanh(slope * (values + 0.044715 * values**3)))
    return result


def _sigmoid(values: Array) -> Array:
    result: Array = 0.5 * (1 + np.tanh(0.5 * values))  # does not overflow, unlike 1 / (1 + exp(-x))
    return result


# NUMERICS 4. gelu is the exact erf form; gelu_new and gelu_fast differ in the constant's digits only.
ACTIVATION_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2)).astype(x.dtype)),
    "gelu_new": lambda x: _gelu_tanh(x, math.sqrt(2 / math.pi)),
    "gelu_fast": lambda x: _gelu_tanh(x, 0.7978845608),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * _sigmoid(x),
    "swish": lambda x: x * _sigmoid(x),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "mish": lambda x: x * np.tanh(np.logaddexp(0, x)),
    "linear": lambda x: x,
}


def activation(name: str, values: Array) -> Array:
    """Applies the activation called `name` in the configuration; the dtype stays."""
    return ACTIVATION_FUNCTIONS[name](values).astype(values.dtype)
