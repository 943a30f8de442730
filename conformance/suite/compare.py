"""The one way results are compared: names, dtypes, shapes, finiteness, then values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from conformance.tolerances import TOLERANCES

Array = npt.NDArray[Any]

# The quantity of an output, by the first part of its name.
QUANTITIES = {
    "last_hidden_state": "hidden",
    "hidden_states": "hidden",
    "attentions": "attentions",
    "logits": "logits",
    "start_logits": "logits",
    "end_logits": "logits",
    "loss": "loss",
}


def relative_error(actual: Array, expected: Array, scale: float | None = None) -> float:
    """`max |actual - expected| / scale`; the scale is `max |expected|` unless given, and 1 where that is 0.

    Returns:
        infinity where either side is not finite.
    """
    if not actual.size:
        return 0.0
    if not (np.isfinite(actual).all() and np.isfinite(expected).all()):
        return math.inf
    difference = np.abs(actual.astype(np.float64) - expected.astype(np.float64)).max()
    scale = float(np.abs(expected).max()) if scale is None else scale
    return float(difference / (scale or 1.0))


def assert_close(actual: Array, expected: Array, *, quantity: str, name: str, scale: float | None = None) -> float:
    """Raises unless two arrays agree within the bound of `quantity`; returns the error.

    Args:
        actual: what is judged.
        expected: the judge, of the same shape.
        quantity: a name of `TOLERANCES`.
        name: what the arrays are, for the message.
        scale: see `relative_error`.

    Raises:
        AssertionError: with the worst index, both numbers, and how many times over the bound.
    """
    __tracebackhide__ = True
    bound = TOLERANCES[quantity]
    assert actual.shape == expected.shape, f"{name}: shape {actual.shape}, but should be {expected.shape}"
    error = relative_error(actual, expected, scale)
    if error <= bound.limit:
        return error
    for side, values in (("actual", actual), ("expected", expected)):
        assert np.isfinite(values).all(), f"{name}: {side} is not finite at {_first(~np.isfinite(values))}"
    worst = np.unravel_index(np.abs(actual.astype(np.float64) - expected).argmax(), actual.shape)
    times = f"{error / bound.limit:.1f} times" if bound.limit else "over"
    raise AssertionError(
        f"{name}: {actual[worst]!r}, but should be {expected[worst]!r} at {tuple(map(int, worst))}; relative error "
        f"{error:.2e}, {times} the bound {bound.limit:.0e} of {quantity!r} ({bound.reason})"
    )


def at_real_positions(name: str, values: Array, mask: Array) -> Array:
    """The part of an output that is promised (NUMERICS decision 1).

    Args:
        name: the output's name, as `reference.forward` gives it.
        values: `[B, L, ...]` for hidden states, `[B, H, Q, K]` for attentions; anything else is returned as it is.
        mask: bool `[B, L]`, true at real tokens.
    """
    kind = QUANTITIES[name.split(".")[0]]
    per_token = kind == "logits" and (values.ndim == 3 or name in ("start_logits", "end_logits"))
    if kind == "hidden" or per_token:
        return values[mask]
    if kind == "attentions":
        return values.swapaxes(1, 2)[mask]
    return values


def assert_outputs_close(
    actual: Mapping[str, Array], expected: Mapping[str, Array], mask: Array, *, quantity: str | None = None
) -> dict[str, float]:
    """Compares every output in `actual` at real positions; returns the worst error per quantity.

    Args:
        actual: named outputs of a framework.
        expected: named outputs of the reference, or of a golden file; may hold more.
        mask: bool `[B, L]`.
        quantity: the bound for all of them; None takes each output's own.

    Raises:
        AssertionError: a name the judge does not know, or a value beyond its bound.
    """
    __tracebackhide__ = True
    unknown = set(actual) - set(expected)
    assert not unknown, f"outputs {sorted(unknown)} are not in {sorted(expected)}"
    errors: dict[str, float] = {}
    for name, values in actual.items():
        kind = QUANTITIES[name.split(".")[0]]
        judge = expected[name]
        scale = output_scale(kind, judge) if quantity is None else None
        error = assert_close(
            at_real_positions(name, values, mask),
            at_real_positions(name, judge, mask),
            quantity=quantity or kind,
            name=name,
            scale=scale,
        )
        errors[kind] = max(errors.get(kind, 0.0), error)
    return errors


def output_scale(kind: str, judge: Array) -> float | None:
    """The scale of an output against the reference; logits and losses may be near 0, so theirs is at least 1."""
    return max(1.0, float(np.abs(judge).max())) if kind in ("logits", "loss") else None


def _first(where: Array) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.argwhere(where)[0])
