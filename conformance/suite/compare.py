"""The one way results are compared: names, dtypes, shapes, finiteness, then values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conformance.tolerances import TOLERANCES

Array = npt.NDArray[Any]

# The quantity of an output, by the first part of its name.
QUANTITIES = {
    "last_hidden_state": "hidden",
    "hidden_states": "hidden",
    "decoder": "hidden",
    "attentions": "attentions",
    "logits": "logits",  # and whatever ends so
    "loss": "loss",
}
# The same in models of real depth and width, where rounding has further to grow.
DEEP_QUANTITIES = {
    "hidden": "deep hidden",
    "attentions": "deep attentions",
    "logits": "deep logits",
    "loss": "deep loss",
}
# The same of implementations of attention that do not make the probabilities, and of those in half precision.
FUSED_QUANTITIES = {"hidden": "fused hidden", "logits": "fused logits", "loss": "fused loss"}
OPTIMIZED_QUANTITIES = {"bfloat16": "optimized bfloat16", "int8": "optimized int8"}
FUSED_HALF_QUANTITIES = {"float16": "fused float16", "bfloat16": "fused bfloat16"}


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two arrays that should agree, not compared yet.

    Attributes:
        quantity: a name of `TOLERANCES`.
        name: what the arrays are.
        actual: what is judged.
        expected: the judge.
        scale: see `relative_error`.
    """

    quantity: str
    name: str
    actual: Array
    expected: Array
    scale: float | None = None

    @property
    def error(self) -> float:
        """The relative error; infinity where the shapes differ."""
        if self.actual.shape != self.expected.shape:
            return math.inf
        return relative_error(self.actual, self.expected, self.scale)

    def check(self) -> float:
        """The relative error; raises as `assert_close` does."""
        __tracebackhide__ = True
        return assert_close(self.actual, self.expected, quantity=self.quantity, name=self.name, scale=self.scale)


def worst_errors(comparisons: Iterable[Comparison], *, check: bool = False) -> dict[str, float]:
    """The worst error of each quantity; with `check` the first one beyond its bound raises."""
    __tracebackhide__ = True
    errors: dict[str, float] = {}
    for comparison in comparisons:
        error = comparison.check() if check else comparison.error
        errors[comparison.quantity] = max(errors.get(comparison.quantity, 0.0), error)
    return errors


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


def output_kind(name: str) -> str:
    """What an output is: a value of `QUANTITIES`."""
    kind = name.split(".")[0]
    return QUANTITIES["logits" if kind.endswith("_logits") else kind]


def at_real_positions(name: str, values: Array, mask: Array) -> Array:
    """The part of an output that is promised (NUMERICS decision 1).

    Args:
        name: the output's name, as `reference.forward` gives it.
        values: `[B, L, ...]` for hidden states, `[B, H, Q, K]` for attentions, logits `[B, L, N]`, or one for each
            token of the mask, `[B, L]`; anything else is returned as it is.
        mask: bool `[B, L]`, true at real tokens.
    """
    kind = output_kind(name)
    per_token = kind == "logits" and (values.ndim == 3 or values.shape == mask.shape)
    if kind == "hidden" or per_token:
        return values[mask]
    if kind == "attentions":
        return values.swapaxes(1, 2)[mask]
    return values


def compare_outputs(
    actual: Mapping[str, Array],
    expected: Mapping[str, Array],
    mask: Array,
    *,
    quantities: Mapping[str, str] | None = None,
    label: str = "",
) -> Iterator[Comparison]:
    """Pairs every output in `actual` with the judge's, at real positions.

    Args:
        actual: named outputs of a framework.
        expected: named outputs of the reference, or of a golden file; may hold more.
        mask: bool `[B, L]`.
        quantities: the bound of each kind of output; None takes the kind's own.
        label: stands before the outputs' names.

    Raises:
        AssertionError: a name the judge does not know.
    """
    __tracebackhide__ = True
    unknown = set(actual) - set(expected)
    assert not unknown, f"outputs {sorted(unknown)} are not in {sorted(expected)}"
    for name, values in actual.items():
        kind = output_kind(name)
        own, judge = (at_real_positions(name, side, mask) for side in (values, expected[name]))
        yield Comparison(
            (quantities or {}).get(kind, kind), label + name, own, judge, output_scale(kind, expected[name])
        )


def assert_outputs_close(
    actual: Mapping[str, Array], expected: Mapping[str, Array], mask: Array, *, quantity: str | None = None
) -> dict[str, float]:
    """Compares every output in `actual` at real positions; returns the worst error per quantity.

    Args:
        actual: named outputs of a framework.
        expected: named outputs of the reference, or of a golden file; may hold more.
        mask: bool `[B, L]`.
        quantity: the bound for all of them, relative to each output's own size; None takes each output's own.

    Raises:
        AssertionError: a name the judge does not know, or a value beyond its bound.
    """
    __tracebackhide__ = True
    comparisons = compare_outputs(actual, expected, mask)
    if quantity is not None:
        comparisons = (Comparison(quantity, one.name, one.actual, one.expected) for one in comparisons)
    return worst_errors(comparisons, check=True)


def output_scale(kind: str, judge: Array) -> float | None:
    """The scale of an output against the reference; logits and losses may be near 0, so theirs is at least 1."""
    return max(1.0, float(np.abs(judge).max())) if kind in ("logits", "loss") else None


def _first(where: Array) -> tuple[int, ...]:
    return tuple(int(axis) for axis in np.argwhere(where)[0])
