"""Attention scores taken apart, and attributions of tokens."""

import numpy as np
import pytest

from conformance.suite.cases import CASES, padding_mask, random_params
from deberta_core.errors import InputError
from deberta_tf import TFAutoModel, TFAutoModelForSequenceClassification, TFAutoModelForTokenClassification
from deberta_tf.explain import integrated_gradients, score_parts
from deberta_tf.weights import assign
from tests.explained import CHOSEN, check_attributions, check_distances


def loaded(auto, config, params):
    model = auto.from_config(config)
    assign(model, params)
    return model


@pytest.mark.parametrize("name", CHOSEN)
def test_every_pair_has_the_number_of_its_distance(name):
    made = {}

    def parts(config, params, layer, inputs):
        made.setdefault("model", None)
        made["model"] = made["model"] or loaded(TFAutoModel, config, params)
        return score_parts(made["model"], layer, **inputs)

    check_distances(name, parts)


@pytest.mark.parametrize(
    ("name", "auto", "task", "index"),
    [
        ("v1_like", TFAutoModelForSequenceClassification, "sequence_classification", (1,)),
        ("v2_conv", TFAutoModelForTokenClassification, "token_classification", (3, 0)),
    ],
)
def test_attributions_add_up(name, auto, task, index):
    config = CASES[name].config.replace(num_labels=3)
    model = loaded(auto, config, random_params(config, task, 3))
    ids = np.random.default_rng(4).integers(10, config.vocab_size, (2, 9))
    baseline, mask = np.full_like(ids, 9), padding_mask(2, 9)
    value = np.asarray(model(ids, attention_mask=mask).logits)[(slice(None), *index)]

    def attribute(steps):
        return integrated_gradients(
            model, "logits", index, input_ids=ids, baseline_ids=baseline, attention_mask=mask, steps=steps
        )

    check_attributions(attribute, value)
    assert (np.asarray(attribute(2).tokens)[mask == 0] == 0).all()


def test_a_layer_counts_from_the_end_too():
    model = TFAutoModel.from_config(CASES["v3_like"].config)
    ids = np.array([[11, 12, 13]])
    last = np.asarray(score_parts(model, -1, input_ids=ids).content)
    assert np.array_equal(last, np.asarray(score_parts(model, 2, input_ids=ids).content))
    with pytest.raises(InputError, match="layer=3, but the model has layers 0 to 2"):
        score_parts(model, 3, input_ids=ids)
    with pytest.raises(InputError, match="steps=0"):
        integrated_gradients(model, "last_hidden_state", (0, 0), input_ids=ids, baseline_ids=ids, steps=0)
