"""What explanations must be, whatever framework makes them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from conformance.suite.cases import CASES, padding_mask, random_params
from conformance.suite.compare import assert_close
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
LENGTH = 9


def check_distances(name: str, score_parts: Callable[..., ScoreParts]) -> None:
    """Whether in every layer each pair of tokens has the number of its distance, key - query.

    The conformance suite compares the parts themselves with the reference's.

    Args:
        name: of a case.
        score_parts: of configuration, parameters, layer and inputs.
    """
    config = CASES[name].config
    params = random_params(config, None, 3)
    ids = np.random.default_rng(4).integers(10, config.vocab_size, (2, LENGTH))
    inputs = {"input_ids": ids, "attention_mask": padding_mask(2, LENGTH)}
    query, key = np.indices((LENGTH, LENGTH))
    for layer in range(config.num_hidden_layers):
        parts = score_parts(config, params, layer, inputs)
        for part, owner in (("c2p", query), ("p2c", key)):
            by_distance = getattr(parts, f"{part}_by_distance")
            assert (by_distance is None) == (getattr(parts, part) is None)
            if by_distance is not None:
                read = np.asarray(by_distance)[:, :, owner, key - query + LENGTH - 1]
                assert np.array_equal(read, np.asarray(getattr(parts, part)))
                assert parts.rows.shape == (2 * LENGTH - 1,)
                assert np.all(np.diff(parts.rows) <= 0)  # keys further on have smaller rows
        scores, probabilities = np.asarray(parts.scores), np.asarray(parts.probabilities)
        if not config.mixes_heads:  # probabilities are of mixed ones, then
            assert_close(
                _softmax(scores, inputs["attention_mask"]), probabilities, quantity="attentions", name="softmax"
            )


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


def _softmax(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    weights = np.exp(scores - scores.max(-1, keepdims=True)) * mask[:, None, None, :]
    return weights / weights.sum(-1, keepdims=True)
