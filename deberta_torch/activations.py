"""The activations of NUMERICS 4 by their configuration names."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def _gelu_fast(values: Tensor) -> Tensor:
    return 0.5 * values * (1.0 + torch.tanh(0.7978845608 * values * (1.0 + 0.044715 * values * values)))


# F.gelu defaults to the exact erf form and the Keras op to the tanh form: both always pass it.
ACTIVATION_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: F.gelu(x, approximate="none"),
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_fast": _gelu_fast,
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "mish": F.mish,
    "linear": lambda x: x,
}
