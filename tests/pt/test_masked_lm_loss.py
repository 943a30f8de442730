"""The masked-LM loss in training: from labelled tokens alone, the same numbers."""

import pytest
import torch

from conformance.suite.cases import CASES
from conformance.suite.compare import assert_close
from conformance.suite.measure import gradient_scales
from deberta_core.errors import InputError
from deberta_torch import DebertaForMaskedLM, DebertaV2ForMaskedLM

MODELS = {
    "v1_like": DebertaForMaskedLM,
    "v2_conv_groups": DebertaV2ForMaskedLM,
    "v1_enhanced": DebertaForMaskedLM,
    "v2_enhanced_conv": DebertaV2ForMaskedLM,
}
IDS = torch.arange(18).reshape(2, 9) + 5
SOME = torch.full_like(IDS, -100).index_put((torch.tensor([0, 0, 1]), torch.tensor([1, 4, 7])), torch.tensor([7, 0, 9]))
NONE = torch.full_like(IDS, -100)
LABELS = {"some": SOME, "none": NONE, "all": IDS}


def make(name: str, legacy: bool = True) -> torch.nn.Module:
    torch.manual_seed(0)
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.3}
    return MODELS[name](CASES[name].config.replace(legacy=legacy, num_hidden_layers=1 + ("enhanced" in name), **off))


def step(model, labels, **options):
    model.zero_grad()
    output = model(IDS, labels=labels, **options)
    output.loss.backward()
    return output, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_those_of_all_logits(name, labels, legacy):
    model = make(name, legacy)
    expected, gradients = step(model.eval(), LABELS[labels])  # in evaluation mode the loss is that of the logits
    for options in ({}, {"labelled_logits_only": True}):
        for mode in (model.train(), model.eval()):
            output, found = step(mode, LABELS[labels], **options)
            assert_close(output.loss.detach().numpy(), expected.loss.detach().numpy(), quantity="loss", name="loss")
            assert found.keys() == gradients.keys()
            scales = gradient_scales({key: gradient.numpy() for key, gradient in gradients.items()})
            for key, gradient in gradients.items():
                values = found[key].numpy(), gradient.numpy()
                assert_close(*values, quantity="gradient", name=key, scale=scales[key])
            logits = expected.logits[LABELS[labels] >= 0] if options else expected.logits
            assert_close(output.logits.detach().numpy(), logits.detach().numpy(), quantity="logits", name="logits")


def test_the_vocabulary_meets_labelled_tokens_alone():
    model = make("v2_conv_groups").train()
    seen = []
    model.cls["predictions"].register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape[:-1])))
    model(IDS, labels=SOME, labelled_logits_only=True)
    model(IDS, labels=SOME)
    model(IDS, labels=IDS)
    assert seen == [(3,), (2, 9), (3,), (2, 9)]


def test_logits_in_training_have_gradients_of_their_own():
    """A loss of the caller's may read them, beside ours."""
    model = make("v2_conv_groups").train()
    output = model(IDS, labels=SOME)
    (gradient,) = torch.autograd.grad(output.logits.square().sum(), model.cls["predictions"].bias)
    assert torch.equal(gradient, 2 * output.logits.detach().sum(dim=(0, 1)))


def test_graphs_make_no_shape_of_the_labels():
    model = make("v2_conv_groups").train()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    actual, expected = compiled(IDS, labels=SOME), model(IDS, labels=SOME)
    assert_close(actual.loss.detach().numpy(), expected.loss.detach().numpy(), quantity="loss", name="loss")


def test_nothing_to_return_is_refused():
    with pytest.raises(InputError, match="leaves nothing to return"):
        make("v2_conv_groups")(IDS, labelled_logits_only=True)
