"""Fresh parameters, drawn in NumPy: the same numbers for every framework."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from deberta_core.config import BaseConfig
from deberta_core.parameters import NORM_SCALE, Array, expand


def draw_parameters(config: BaseConfig, task: str | None, names: Iterable[str], seed: int | None) -> dict[str, Array]:
    """Draws parameters as training starts: normal with `initializer_range`, biases 0, norm scales 1, padding's row 0.

    Args:
        config: the model's configuration.
        task: its task; None for the backbone.
        names: which of its parameters.
        seed: of the random numbers; None: others every time.

    Returns:
        float32 arrays in PyTorch's layout, in the order of the parameter table.
    """
    random, wanted = np.random.default_rng(seed), set(names)
    arrays: dict[str, Array] = {}
    for name, parameter in expand(config, task).items():
        if name not in wanted:
            continue
        if len(parameter.shape) > 1:
            arrays[name] = random.normal(0.0, config.initializer_range, parameter.shape).astype(np.float32)
        else:
            arrays[name] = np.full(parameter.shape, 1.0 if parameter.kind is NORM_SCALE else 0.0, np.float32)
        if name.endswith("word_embeddings.weight"):
            arrays[name][config.pad_token_id] = 0.0
    return arrays


def draw_adapter(name: str, rank: int, width: int, seed: int) -> Array:
    """Draws the first matrix of a low-rank adapter, `[rank, width]`; the second one begins with zeros.

    Args:
        name: of the parameter that it adds to.
        rank: of the adapter.
        width: of what the layer reads.
        seed: of the random numbers; with the name.

    Source:
        PEFT's `kaiming_uniform_(a=sqrt(5))`: uniform, of a variance of 1 / (3 * width).
    """
    random = np.random.default_rng([seed, *name.encode()])
    return random.uniform(-1.0, 1.0, (rank, width)).astype(np.float32) / np.float32(np.sqrt(width))
