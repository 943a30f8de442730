"""Attention scores taken apart, and attributions of tokens."""

import numpy as np
import pytest
import torch

from conformance.suite.cases import CASES, padding_mask, random_params
from deberta_core.errors import InputError
from deberta_torch import AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification, optimize
from deberta_torch.explain import integrated_gradients, score_parts
from deberta_torch.weights import assign
from tests.explained import CHOSEN, check_attributions, check_distances


def loaded(auto, config, params):
    model = auto.from_config(config).eval()
    assign(model, params)
    return model


@pytest.mark.parametrize("name", CHOSEN)
def test_every_pair_has_the_number_of_its_distance(name):
    def parts(config, params, layer, inputs):
        inputs = {name: torch.from_numpy(array) for name, array in inputs.items()}
        return score_parts(loaded(AutoModel, config, params), layer, **inputs)

    check_distances(name, parts)


@pytest.mark.parametrize(
    ("auto", "task", "index"),
    [
        (AutoModelForSequenceClassification, "sequence_classification", (1,)),
        (AutoModelForTokenClassification, "token_classification", (3, 0)),
    ],
)
@pytest.mark.parametrize("optimized", [False, True])
@pytest.mark.parametrize("name", ["v1_like", "v2_conv"])
def test_attributions_add_up(name, auto, task, index, optimized):
    config = CASES[name].config.replace(num_labels=3)
    model = loaded(auto, config, random_params(config, task, 3))
    model = optimize(model) if optimized else model
    ids = torch.from_numpy(np.random.default_rng(4).integers(10, config.vocab_size, (2, 9)))
    baseline = torch.full_like(ids, 9)
    mask = torch.from_numpy(padding_mask(2, 9))
    value = model(ids, attention_mask=mask).logits[(slice(None), *index)].detach()

    def attribute(steps):
        return integrated_gradients(
            model, "logits", index, input_ids=ids, baseline_ids=baseline, attention_mask=mask, steps=steps
        )

    check_attributions(attribute, value)
    assert (attribute(8).tokens[mask == 0] == 0).all()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_layer_counts_from_the_end_too():
    config = CASES["v3_like"].config
    model = AutoModel.from_config(config).eval()
    ids = torch.tensor([[11, 12, 13]])
    assert torch.equal(score_parts(model, -1, input_ids=ids).content, score_parts(model, 2, input_ids=ids).content)
    with pytest.raises(InputError, match="layer=3, but the model has layers 0 to 2"):
        score_parts(model, 3, input_ids=ids)
    with pytest.raises(InputError, match="steps=0"):
        integrated_gradients(model, "last_hidden_state", (0, 0), input_ids=ids, baseline_ids=ids, steps=0)
