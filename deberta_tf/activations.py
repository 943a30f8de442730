"""The activations of NUMERICS 4 by their configuration names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops


# ops.gelu defaults to the tanh form and F.gelu to the exact erf form: both always pass it.
def _gelu(values: Any) -> Any:
    return ops.gelu(values, approximate=False)


def _gelu_new(values: Any) -> Any:
    return ops.gelu(values, approximate=True)


def _gelu_fast(values: Any) -> Any:
    return 0.5 * values * (1.0 + ops.tanh(0.7978845608 * values * (1.0 + 0.044715 * values * values)))


def _mish(values: Any) -> Any:
    return values * ops.tanh(ops.softplus(values))


def _linear(values: Any) -> Any:
    return values


ACTIVATION_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_new,
    "gelu_fast": _gelu_fast,
    "relu": ops.relu,
    "silu": ops.silu,
    "swish": ops.silu,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "mish": _mish,
    "linear": _linear,
}
