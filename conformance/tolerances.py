"""The one table of bounds, each with what was measured and why it has that size.

Errors are relative to the output's scale: `max |actual - expected| / max |expected|` over real positions. A bound is
four times the worst error `tools/measure_tolerances.py` saw, rounded up to one digit; it changes only with a new
measurement. Measured 2026-11-22 with 12 seeds on every named v2 case with sequence classification, in both frameworks:
torch 2.13.0, TensorFlow 2.21.0, Keras 3.15.1, NumPy 2.4.6, x86-64 with AVX2. v1 and the other heads are held to the
same bounds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound.

    Attributes:
        limit: the largest error allowed, relative to the scale.
        measured: the worst seen by `tools/measure_tolerances.py`; None where the limit is a requirement.
        reason: why it has this size.
    """

    limit: float
    measured: float | None
    reason: str


TOLERANCES: dict[str, Bound] = {
    "exact": Bound(0.0, None, "integers, and numbers that are only moved"),
    "hidden": Bound(1e-5, 2.4e-6, "float32 against float64: rounding of each sublayer, renormalised by LayerNorm"),
    "attentions": Bound(2e-5, 2.8e-6, "float32 against float64: the scores' rounding times the softmax's slope"),
    "logits": Bound(2e-5, 3.2e-6, "float32 against float64: one or two more products, relative to the logits or to 1"),
    "loss": Bound(7e-6, 1.7e-6, "float32 against float64: a mean over logits, relative to the loss or to 1"),
    "gradient": Bound(9e-5, 2.0e-5, "float32, each framework's rounding: sums over all tokens, through every layer"),
    "converted": Bound(2e-5, None, "the requirement; a wrong layout or a swapped parameter gives more than 1e-2"),
    "golden": Bound(2e-5, None, "the requirement: both sides are float32 here"),
    "golden gradient": Bound(1e-3, None, "the requirement: both sides are float32 here"),
}
