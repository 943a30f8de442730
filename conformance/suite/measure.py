"""How a subject is measured; the suite's tests and `python -m conformance` both ask here."""

from __future__ import annotations

import dataclasses
import unittest.mock
from collections.abc import Callable, Iterator, Mapping

import ml_dtypes  # noqa: F401 - teaches NumPy the name bfloat16
import numpy as np

from conformance.suite.adapters import IMPLEMENTATIONS, INTERPRETED, REDUCED, Array
from conformance.suite.compare import (
    FUSED_HALF_QUANTITIES,
    FUSED_QUANTITIES,
    OPTIMIZED_QUANTITIES,
    Comparison,
    compare_outputs,
    output_scale,
)
from conformance.suite.invariances import compare_changes
from conformance.suite.subjects import Subject

# Of the largest gradient: a floor for the scale of those that are 0 in exact arithmetic, as a key bias has.
GRADIENT_FLOOR = 1e-2
_ELEMENTS = 3  # of each parameter, drawn at random, whose derivative is looked at beside the largest and the whole


def compare_values(subject: Subject, framework: str) -> Iterator[Comparison]:
    """Every output of a framework, and the loss where there are labels, with the reference's."""
    actual = subject.model(framework).forward(subject.inputs)
    assert ("loss" in actual) == ("loss" in subject.expected), f"{framework}: a loss without labels, or the reverse"
    yield from compare_outputs(actual, subject.expected, subject.mask, quantities=subject.quantities)


def compare_implementation(subject: Subject, implementation: str, dtype: str = "float32") -> Iterator[Comparison]:
    """What an implementation of attention computes in evaluation mode, of a dtype, with the reference's."""
    if dtype == "float32":
        yield from compare_values(dataclasses.replace(subject, quantities=FUSED_QUANTITIES), implementation)
        return
    params = {name: values.astype(dtype).astype(np.float32) for name, values in subject.params.items()}
    model = {**IMPLEMENTATIONS, **INTERPRETED}[implementation](subject.config, subject.task, params, dtype)
    quantities = dict.fromkeys(FUSED_QUANTITIES, FUSED_HALF_QUANTITIES[dtype])
    rounded = dataclasses.replace(subject, params=params, quantities=quantities, models={implementation: model})
    yield from compare_values(rounded, implementation)


def compare_reduced(subject: Subject, implementation: str) -> Iterator[Comparison]:
    """What an optimised encoder of fewer bits computes, with the reference's."""
    bound = OPTIMIZED_QUANTITIES[REDUCED[implementation].precision]
    quantities = dict.fromkeys(FUSED_QUANTITIES, bound)
    yield from compare_values(dataclasses.replace(subject, quantities=quantities), implementation)


def compare_explanations(subject: Subject, framework: str) -> Iterator[Comparison]:
    """The parts of every layer's scores with the reference's, at pairs of real tokens, relative to the whole scores."""
    judge = {name: values for name, values in subject.expected.items() if name.startswith("scores.")}
    actual = subject.model(framework).score_parts(subject.inputs)
    assert set(actual) == set(judge), f"{framework}: parts {sorted(actual)}, but should be {sorted(judge)}"
    pairs = subject.mask[:, None, :, None] & subject.mask[:, None, None, :]  # [B, 1, L, L]
    for name, values in actual.items():
        layer = name.rpartition(".")[0]
        whole = sum(judge.get(f"{layer}.{part}", 0.0) for part in ("content", "c2p", "p2c"))
        own, expected, whole = (np.where(pairs, part, 0.0) for part in (values, judge[name], whole))
        yield Comparison(quantity="scores", name=name, actual=own, expected=expected, scale=float(np.abs(whole).max()))


def compare_gradients(subject: Subject, framework: str) -> Iterator[Comparison]:
    """The gradient of every parameter with differences of the reference's loss, along a few directions each.

    They are the axis of the gradient's largest element, axes drawn at random, and the gradient itself.
    """
    loss, gradients = subject.model(framework).gradients(subject.inputs)
    judge = subject.judge
    expected_loss = np.asarray(subject.expected["loss"])
    yield Comparison(subject.quantity("loss"), "loss", loss, expected_loss, output_scale("loss", expected_loss))
    sizes = gradient_scales(gradients)
    generator = np.random.default_rng(0)
    for name, gradient in gradients.items():
        for direction in _directions(gradient, generator):
            if name.endswith("word_embeddings.weight"):
                # The reference has no notion of a gradient that is stopped: the padding row's lookup is left out.
                direction[subject.config.pad_token_id] = 0
            expected = judge.directional_derivative(name, direction, subject.inputs)
            actual = float((gradient * direction).sum())
            scale = max(sizes[name], abs(expected))
            yield Comparison(
                subject.quantity("gradient"), f"gradient of {name}", np.asarray(actual), np.asarray(expected), scale
            )


def compare_gradients_with_torch(subject: Subject, framework: str) -> Iterator[Comparison]:
    """Every element of every gradient with PyTorch's, which `compare_gradients` checks."""
    expected_loss, expected = subject.model("torch").gradients(subject.inputs)
    loss, gradients = subject.model(framework).gradients(subject.inputs)
    assert set(gradients) == set(expected)
    yield Comparison(subject.quantity("loss"), "loss", loss, expected_loss, output_scale("loss", expected_loss))
    sizes = gradient_scales(expected)
    for name, gradient in gradients.items():
        yield Comparison(subject.quantity("gradient"), f"gradient of {name}", gradient, expected[name], sizes[name])


def compare_fused_gradients(subject: Subject) -> Iterator[Comparison]:
    """Gradients through SDPA, which it is not chosen for on CPUs, with those through eager attention."""
    from deberta_torch import encoder
    from deberta_torch.kernels.attention_functions import AttentionUsed

    expected = subject.model("torch").gradients(subject.inputs)[1]
    with unittest.mock.patch.object(encoder, "choose_attention", return_value=AttentionUsed("sdpa")):
        gradients = subject.model("torch sdpa").gradients(subject.inputs)[1]
    sizes = gradient_scales(expected)
    for name, gradient in gradients.items():
        yield Comparison(subject.quantity("gradient"), f"gradient of {name}", gradient, expected[name], sizes[name])


def gradient_scales(gradients: Mapping[str, Array], floor: float = GRADIENT_FLOOR) -> dict[str, float]:
    """Per parameter the size of its gradient, and at least a share of the largest one."""
    sizes = {name: float(np.abs(values).max()) for name, values in gradients.items()}
    least = floor * max(sizes.values())
    return {name: max(size, least) for name, size in sizes.items()}


def _directions(gradient: Array, generator: np.random.Generator) -> Iterator[Array]:
    flat = gradient.ravel().astype(np.float64)
    for element in {int(np.abs(flat).argmax()), *generator.integers(0, flat.size, _ELEMENTS).tolist()}:
        yield np.eye(1, flat.size, element).reshape(gradient.shape)
    if np.linalg.norm(flat) > 0:
        yield (flat / np.linalg.norm(flat)).reshape(gradient.shape)


# What can be measured of a subject.
MEASURES: dict[str, Callable[[Subject, str], Iterator[Comparison]]] = {
    "values": compare_values,
    "explanations": compare_explanations,
    "gradients": compare_gradients,
    "invariances": compare_changes,
}
