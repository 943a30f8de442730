"""The activations of NUMERICS 4 by their configuration names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops


def _gelu_fast(values: Any) -> Any:
    return 0.5 * values * (1.0 + ops.tanh(0.7978845608 * values * (1.0 + 0.044715 * values * values)))


# ops.gelu defaults to the tanh form and F.gelu to the exact erf form: both always pass it.
ACTIVATION_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "gelu": lambda x: ops.gelu(x, approximate=False),
    "gelu_new": lambda x: ops.gelu(x, approximate=True),
    "gelu_fast": _gelu_fast,
    "relu": ops.relu,
    "silu": ops.silu,
    "swish": ops.silu,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
    "mish": lambda x: x * ops.tanh(ops.softplus(x)),
    "linear": lambda x: x,
}
