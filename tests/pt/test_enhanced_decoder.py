"""The enhanced mask decoder in every way a model is run: the numbers are those of the plain forward pass."""

import numpy as np
import pytest
import torch

from conformance.suite.adapters import TorchAdapter
from conformance.suite.cases import CASES, padding_mask, random_params
from conformance.suite.compare import assert_close
from deberta_core.errors import InputError
from deberta_torch import DebertaV2ForMaskedLM, DebertaV2ForSequenceClassification, optimize

NAMES = ["v1_enhanced", "v2_enhanced", "v2_enhanced_conv", "v2_enhanced_no_relative", "v2_enhanced_one_layer"]
over_cases = pytest.mark.parametrize("name", NAMES)
MASK = torch.from_numpy(padding_mask(3, 17))
PLACES = torch.tensor([[0, 0], [0, 16], [1, 3], [2, 5], [2, 6]])


def make(name="v2_enhanced", **changes):
    config = CASES[name].config.replace(**changes)
    return TorchAdapter(config, "masked_lm", random_params(config, "masked_lm")).model.eval()


def inputs_of(model, side="right"):
    ids = torch.from_numpy(np.random.default_rng(0).integers(1, model.config.vocab_size, (3, 17)))
    return {"input_ids": ids, "attention_mask": torch.from_numpy(padding_mask(3, 17, side).copy())}


def logits_of(model, inputs, **options):
    with torch.no_grad():
        return model(**inputs, **options).logits.numpy()


@over_cases
@pytest.mark.parametrize("side", ["right", "left", "none"])
def test_optimized_models_decode(name, side):
    model = make(name)
    inputs = inputs_of(model, side)
    real = inputs["attention_mask"].numpy() == 1
    expected = logits_of(model, inputs)
    states = model(**inputs, output_hidden_states=True).hidden_states
    optimize(model)
    for options in ({}, {"output_hidden_states": True}):
        assert_close(logits_of(model, inputs, **options)[real], expected[real], quantity="logits", name=name)
    with torch.no_grad():
        found = model.scores_at(PLACES, inputs).numpy()
        packed = model(**inputs, output_hidden_states=True).hidden_states
    at_places = expected[tuple(PLACES.T.numpy())]
    chosen = real[tuple(PLACES.T.numpy())]
    assert_close(found[chosen], at_places[chosen], quantity="logits", name=name)
    for own, other in zip(packed, states, strict=True):
        assert_close(own.numpy()[real], other.detach().numpy()[real], quantity="hidden", name=name)


@over_cases
def test_some_places_have_the_scores_of_all(name):
    model = make(name)
    inputs = inputs_of(model, "none")
    with torch.no_grad():
        found = model.scores_at(PLACES, inputs).numpy()
    expected = logits_of(model, inputs)[tuple(PLACES.T.numpy())]
    assert_close(found, expected, quantity="logits", name=name)


def test_sdpa_decodes():
    model = make()
    inputs = inputs_of(model)
    real = inputs["attention_mask"].numpy() == 1
    eager = logits_of(model, inputs, output_attentions=True)
    assert_close(logits_of(model, inputs)[real], eager[real], quantity="logits", name="sdpa")


def test_checkpointing_changes_no_bit():
    model = make(hidden_dropout_prob=0.1).train()
    inputs = inputs_of(model)
    labels = torch.where(inputs["attention_mask"] == 1, inputs["input_ids"], -100)
    gradients = []
    for enable in (lambda: None, model.gradient_checkpointing_enable):
        enable()
        model.zero_grad()
        torch.manual_seed(3)
        model(**inputs, labels=labels, labelled_logits_only=True).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(map(torch.equal, *gradients))


def test_the_encoders_own_last_pass_is_made_where_it_is_asked_for():
    model = make()
    calls = []
    model.deberta.encoder.layer[-1].register_forward_hook(lambda *_: calls.append(1))
    for options, expected in (({}, 2), ({"output_hidden_states": True}, 3), ({"output_attentions": True}, 3)):
        calls.clear()
        output = model(**inputs_of(model), **options)
        assert len(calls) == expected
    assert len(output.attentions) == model.config.num_hidden_layers


def test_a_text_longer_than_the_table_is_refused():
    model = make()
    with pytest.raises(InputError, match="65 tokens, but max_position_embeddings=64 and mlm_decoder is enhanced"):
        model(torch.ones((1, 65), dtype=torch.long))
    assert model.deberta(torch.ones((1, 65), dtype=torch.long)).last_hidden_state.shape == (1, 65, 32)


def test_the_decoder_matters():
    model = make()
    plain = make(mlm_decoder="plain")
    plain.load_state_dict(model.state_dict())
    inputs = inputs_of(model, "none")
    assert np.abs(logits_of(model, inputs) - logits_of(plain, inputs)).max() > 1


def test_it_is_loaded_by_its_names_and_saved_with_its_table(tmp_path):
    make().save_pretrained(tmp_path)
    loaded = DebertaV2ForMaskedLM.from_pretrained(tmp_path)
    assert loaded.config.mlm_decoder == "enhanced"
    inputs = inputs_of(loaded)
    assert np.array_equal(logits_of(loaded, inputs), logits_of(make(), inputs))
    with pytest.warns(UserWarning, match="start fresh"):
        classifier = DebertaV2ForSequenceClassification.from_pretrained(tmp_path)
    assert classifier.deberta.embeddings.position_embeddings is None
