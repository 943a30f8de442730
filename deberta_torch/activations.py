"""The activations of NUMERICS 4 by their configuration names."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


# F.gelu defaults to the exact erf form and the Keras op to the tanh form: both always pass it. Named functions, not
# lambdas: a model holds its activation, and must pickle.
def _gelu(values: Tensor) -> Tensor:
    return F.gelu(values, approximate="none")


def _gelu_new(values: Tensor) -> Tensor:
    return F.gelu(values, approximate="tanh")


def _gelu_fast(values: Tensor) -> Tensor:
    return 0.5 * values * (1.0 + torch.tanh(0.7978845608 * values * (1.0 + 0.044715 * values * values)))


def _linear(values: Tensor) -> Tensor:
    return values


ACTIVATION_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_new,
    "gelu_fast": _gelu_fast,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "mish": F.mish,
    "linear": _linear,
}
