"""What explanations must be, whatever framework makes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.suite.cases import CASES, padding_mask, random_params
from conformance.suite.compare import assert_close
from deberta_core import reference
from deberta_core.explanations import Attributions, ScoreParts

CHOSEN = (
    "v1_like",
    "v1_p2c",
    "v1_talking_head",
    "v3_like",
    "v2_conv",
    "v2_unshared_c2p",
    "v2_no_buckets",
    "v2_no_relative",
)
STEPS = 128


def check_parts(name: str, score_parts: Callable[..., ScoreParts]) -> None:
    """Whether the parts of every layer are the reference's, and hold what they say by distance.

    Args:
        name: of a case.
        score_parts: of configuration, parameters, layer and inputs.
    """
    config = CASES[name].config
    params = random_params(config, None, 3)
    ids = np.random.default_rng(4).integers(10, config.vocab_size, (2, 9))
    inputs = {"input_ids": ids, "attention_mask": padding_mask(2, 9)}
    wanted = reference.forward(config, params, inputs)
    for layer in range(config.num_hidden_layers):
        parts = score_parts(config, params, layer, inputs)
        expected = {part: wanted.get(f"scores.{layer}.{part}") for part in ("content", "c2p", "p2c")}
        total = sum(one for one in expected.values() if one is not None)
        for part, values in expected.items():
            assert (getattr(parts, part) is None) == (values is None)
            if values is not None:  # a part may be small beside the whole, to whose scale its rounding belongs
                found = np.asarray(getattr(parts, part)) - values + total
                assert_close(found, total, quantity="hidden", name=f"{part} of layer {layer}")
        assert_close(np.asarray(parts.scores), total, quantity="hidden", name=f"scores of layer {layer}")
        probabilities = np.asarray(parts.probabilities)
        assert_close(probabilities, wanted[f"attentions.{layer}"], quantity="attentions", name="probabilities")
        check_distances(parts)


def check_distances(parts: ScoreParts) -> None:
    """Whether every pair of tokens has the number of its distance, key - query."""
    length = np.asarray(parts.content).shape[-1]
    query, key = np.indices((length, length))
    for part, owner in (("c2p", query), ("p2c", key)):
        if (by_distance := getattr(parts, f"{part}_by_distance")) is not None:
            read = np.asarray(by_distance)[:, :, owner, key - query + length - 1]
            assert np.array_equal(read, np.asarray(getattr(parts, part)))
            assert parts.rows.shape == (2 * length - 1,)
            assert np.all(np.diff(parts.rows) <= 0)  # keys further on have smaller rows


def check_attributions(attribute: Callable[[int], Attributions], value: object) -> None:
    """Completeness: what the tokens moved adds up to what the output moved.

    Args:
        attribute: of a number of steps.
        value: the output for the texts, by the model itself.
    """
    found = attribute(STEPS)
    moved = np.asarray(found.value) - np.asarray(found.baseline_value)
    assert_close(np.asarray(found.value), np.asarray(value), quantity="logits", name="value")
    assert np.abs(moved).min() > 1e-2, "the output did not move: the test can say nothing"
    assert_close(np.asarray(found.tokens).sum(-1), moved, quantity="integrated gradients", name="sum of tokens")
    rough = np.abs(np.asarray(attribute(1).tokens).sum(-1) - moved).max()
    assert rough > np.abs(np.asarray(found.tokens).sum(-1) - moved).max()
