"""What `explain` modules of the frameworks return: attention scores taken apart, and attributions of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError
from deberta_core.positions import position_index_table


@dataclass(frozen=True, slots=True)
class ScoreParts:
    """The attention scores of one layer and their parts, which add up to them (NUMERICS 3).

    Attributes:
        content: content-to-content, `scale * Q_i . K_j`, `[B, H, L, L]`.
        c2p: content-to-position, `scale * Q_i . PK[idx(i, j)]`, `[B, H, L, L]`; None where not configured.
        p2c: position-to-content, `scale * K_j . PQ[idx(i, j)]`, `[B, H, L, L]`; None where not configured.
        c2p_by_distance: what each query would add at each distance, key - query = 1 - L, ..., L - 1,
            `[B, H, L, 2 L - 1]`; None where not configured.
        p2c_by_distance: the same of each key; None where not configured.
        probabilities: what multiplies the values, `[B, H, L, L]`, after mask and softmax.
        rows: the row of the relative table for each distance, an array `[2 L - 1]`; None without relative attention.
    """

    content: Any
    c2p: Any
    p2c: Any
    c2p_by_distance: Any
    p2c_by_distance: Any
    probabilities: Any
    rows: Any

    @property
    def scores(self) -> Any:
        """The sum of the parts, before mask and softmax, `[B, H, L, L]`."""
        total = self.content
        for part in (self.c2p, self.p2c):
            total = total if part is None else total + part
        return total


@dataclass(frozen=True, slots=True)
class Attributions:
    """How much each token moved one output away from what it is for a baseline (integrated gradients).

    Attributes:
        tokens: `[B, L]`; a row's sum is nearly `value - baseline_value`, the nearer the more steps.
        value: the output for the text, `[B]`.
        baseline_value: the output for the baseline, `[B]`.

    Source:
        arXiv 1703.01365, equation 1; its sum over steps is Gauss and Legendre's.
    """

    tokens: Any
    value: Any
    baseline_value: Any


def check_layer(config: BaseConfig, layer: int) -> int:
    """The number of a layer, counted from 0, or from the end where it is negative.

    Raises:
        InputError: there is no such layer.
    """
    layers = config.num_hidden_layers
    if not -layers <= layer < layers:
        raise InputError(f"layer={layer}, but the model has layers 0 to {layers - 1}.")
    return layer % layers


def rows_by_distance(config: BaseConfig, length: int) -> NDArray[np.int32]:
    """The row of the relative table for key - query = 1 - L, ..., L - 1."""
    table = position_index_table(config)
    reach = len(table) // 2
    rows: NDArray[np.int32] = table[np.clip(np.arange(length - 1, -length, -1), -reach, reach) + reach]
    return rows


def path_points(steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points from 0 to 1 and their weights, which add up to 1.

    Raises:
        InputError: `steps` is less than 1.
    """
    if steps < 1:
        raise InputError(f"steps={steps} is not allowed. Give a number from 1.")
    points, weights = np.polynomial.legendre.leggauss(steps)
    return (points + 1) / 2, weights / 2
