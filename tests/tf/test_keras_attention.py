"""Attention whose queries are of another source than keys and values."""

import numpy as np
import pytest

from conformance.suite.cases import CASES, padding_mask, random_params
from conformance.suite.compare import assert_close
from deberta_core import reference
from deberta_core.positions import position_indices
from deberta_tf import TFDebertaModel, TFDebertaV2Model
from deberta_tf.masks import make_masks
from deberta_tf.weights import assign


def filled(name):
    """A lively model of a case, and two sources `[2, L, C]`."""
    config, length = CASES[name].config, 7
    model = (TFDebertaModel if config.model_type == "deberta" else TFDebertaV2Model)(config)
    assign(model, random_params(config, None))
    return model, np.random.default_rng(0).standard_normal((2, 2, length, config.hidden_size)).astype(np.float32)


@pytest.mark.parametrize("name", ["v1_like", "v1_head_size", "v1_pruned_heads", "v3_like"])
def test_content_with_a_query(name):
    """The query is made of the other source alone, key and value of the hidden states alone."""
    model, (hidden, other) = filled(name)
    layer = model.encoder.layer[0].attention.self
    parts = layer.content(hidden, query=other[:, :4])
    expected = (layer.content(other[:, :4])[0], *layer.content(hidden)[1:])
    for kind, actual, wanted in zip("qkv", parts, expected, strict=True):
        assert_close(np.asarray(actual), np.asarray(wanted), quantity="hidden", name=kind)


@pytest.mark.parametrize("queries", [7, 4])
@pytest.mark.parametrize("name", ["v1_like", "v1_talking_head", "v3_like", "v2_unshared_c2p", "v2_no_terms"])
def test_a_layer_with_a_query(name, queries):
    """Against the reference: queries and residual of the other source, keys and values of the hidden states."""
    model, (hidden, other) = filled(name)
    other, mask = other[:, :queries], padding_mask(2, 7)
    positions = model.encoder.relative_positions(queries, 7)
    found = model.encoder.layer[1](hidden, make_masks(mask, 2, 7), positions, other)
    scope = reference.Scope({key: value.astype(float) for key, value in random_params(model.config, None).items()})
    expected = reference.layer(
        model.config,
        scope / "encoder" / "layer" / 1,
        hidden.astype(float),
        reference.key_mask(mask),
        reference.relative_table(model.config, scope / "encoder"),
        position_indices(queries, 7, model.config),
        query=other.astype(float),
    )
    assert_close(np.asarray(found[0]), expected[0], quantity="hidden", name="hidden states")
    assert_close(np.asarray(found[1]), expected[1], quantity="attentions", name="probabilities")
