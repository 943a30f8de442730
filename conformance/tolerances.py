"""The one table of bounds, each with what was measured and why it has that size.

Errors are relative to the output's scale: `max |actual - expected| / max |expected|` over real positions. A bound is
four times the worst error `tools/measure_tolerances.py` saw, rounded up to one digit; it changes only with a new
measurement. Measured 2026-11-22 with 11 seeds, so that each named case of both versions met every task and kind of
labels once, in both frameworks: torch 2.13.0, TensorFlow 2.21.0, Keras 3.15.1, NumPy 2.4.6, x86-64 with AVX2; "scores"
so on 2026-11-27. The worst cases are v1's talking heads (hidden states, attentions, logits), whose mixes add to the
rounding of every layer. The rows "fused" are of 6 cases with 3 seeds each, in SDPA and flex attention, and of
`test_attention_implementations.py`; the rows "optimized" are of all cases without talking heads with 11 seeds. That of
int8 is twice the worst error: at 1, the error of numbers that have nothing to do with each other, a bound could tell
nothing.
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
    "hidden": Bound(2e-5, 3.6e-6, "float32 against float64: rounding of each sublayer, renormalised by LayerNorm"),
    "attentions": Bound(2e-5, 3.1e-6, "float32 against float64: the scores' rounding times the softmax's slope"),
    "scores": Bound(8e-6, 1.9e-6, "float32 against float64: products of projections, relative to the whole scores"),
    "logits": Bound(3e-5, 6.4e-6, "float32 against float64: one or two more products, relative to the logits or to 1"),
    "loss": Bound(2e-5, 2.7e-6, "float32 against float64: a mean over logits, relative to the loss or to 1"),
    "gradient": Bound(2e-4, 4.9e-5, "float32, each framework's rounding: sums over all tokens, through every layer"),
    "deep hidden": Bound(
        6e-6, 1.4e-6, "as hidden, 12 layers 768 wide: LayerNorm over more numbers divides by less noise"
    ),
    "deep attentions": Bound(2e-5, 3.0e-6, "as attentions, 12 layers 768 wide: sums over more numbers average out"),
    "deep logits": Bound(6e-6, 1.3e-6, "as logits, 12 layers 768 wide: relative to the largest of many logits"),
    "deep loss": Bound(1e-6, 2.2e-7, "as loss, 12 layers 768 wide: relative to a loss well above 1"),
    "fused hidden": Bound(6e-6, 1.4e-6, "as hidden, by SDPA and flex attention; without talking heads"),
    "fused logits": Bound(6e-6, 1.5e-6, "as logits, likewise"),
    "fused loss": Bound(2e-6, 4.3e-7, "as loss, likewise"),
    "fused float16": Bound(3e-2, 5.5e-3, "as half, of hidden states, logits and losses with SDPA and flex attention"),
    "fused bfloat16": Bound(2e-1, 3.8e-2, "bfloat16 of 8 bits: seven or eight times the rounding of float16"),
    "half": Bound(3e-2, 5.6e-3, "float16 of 11 bits: 5e-4 a rounding, some ten of them a layer, logits of differences"),
    "converted": Bound(2e-5, None, "the requirement; a wrong layout or a swapped parameter gives more than 1e-2"),
    "exported float16": Bound(
        2e-2, 4.6e-3, "weights rounded to 11 bits, computed in float32; 32 numbers wide, all cases"
    ),
    "exported bfloat16": Bound(
        2e-1, 4.5e-2, "weights rounded to 8 bits, computed in float32; 32 numbers wide, all cases"
    ),
    "golden": Bound(2e-5, None, "the requirement: both sides are float32 here"),
    "golden float64": Bound(1e-12, 1.6e-14, "float64 on both sides: sums in another order"),
    "golden gradient": Bound(1e-3, None, "the requirement: both sides are float32 here"),
    "pipeline": Bound(1e-4, None, "the requirement: scores and vectors of pipelines, of both frameworks"),
    "integrated gradients": Bound(
        7e-6, 1.7e-6, "128 points of Gauss and Legendre's sum, relative to what the output moved; test_explain.py alone"
    ),
    "training curve": Bound(1e-4, None, "the requirement: 50 steps of SGD, each loss relative to itself"),
    "training curve, AdamW": Bound(
        3e-3, 6.6e-4, "50 steps; AdamW divides by the root of v: rounding noise of tiny gradients"
    ),
    "optimized bfloat16": Bound(
        3e-1, 6.4e-2, "bfloat16 of 8 bits: 4e-3 a rounding, in products and attention, float32 between; 32 numbers wide"
    ),
    "optimized int8": Bound(
        7e-1,
        3.5e-1,
        "one scale for all activations of a call, 7 bits on this CPU; 32 numbers wide. Products are exact",
    ),
    # By `tools/gpu/check.py`, 2026-11-26: all goldens on an NVIDIA H200, torch 2.11.0, Triton 3.6.0; see docs/gpu.md.
    "gpu float32": Bound(6e-6, 1.4e-6, "as hidden, by each implementation and optimised; nothing in TF32"),
    "gpu gradient": Bound(5e-4, 1.2e-4, "as gradient, by each implementation, against transformers' on a CPU"),
    "gpu float16": Bound(2e-2, 4.0e-3, "float16 of 11 bits: 5e-4 a rounding; sums, softmax and LayerNorm in float32"),
    "gpu bfloat16": Bound(2e-1, 4.4e-2, "bfloat16 of 8 bits: eight times the rounding of float16"),
}
