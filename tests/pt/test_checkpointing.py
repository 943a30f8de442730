"""Gradient checkpointing: the same numbers to the last bit, from less that is kept."""

import pytest
import torch
from torch import Tensor

from conformance.suite.cases import CASES
from deberta_core.errors import DebertaWarning
from deberta_torch import DebertaForMaskedLM, DebertaV2ForSequenceClassification, DebertaV2Model

MODELS = {
    "v1_talking_head": (DebertaForMaskedLM, lambda ids: ids),
    "v2_conv_groups": (DebertaV2ForSequenceClassification, lambda ids: torch.tensor([0, 1])),
}
IDS = torch.arange(14).reshape(2, 7) + 5


def make(name: str, dropout: float) -> DebertaV2Model:
    torch.manual_seed(0)
    config = CASES[name].config.replace(hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    return MODELS[name][0](config).train()


def step(model: DebertaV2Model, labels: Tensor) -> tuple[Tensor, dict[str, Tensor | None], int]:
    """Loss, gradients, and how many numbers the forward pass keeps for the backward pass."""
    kept = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = model(IDS, labels=labels).loss
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}, kept


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradients_are_the_same_to_the_last_bit(name, dropout):
    model, labels = make(name, dropout), MODELS[name][1](IDS)
    loss, gradients, kept = step(model, labels)
    model.zero_grad()
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    same_loss, same_gradients, fewer = step(model, labels)
    assert fewer < 0.6 * kept
    assert torch.equal(same_loss, loss)
    for parameter, gradient in gradients.items():
        assert (gradient is None) == (same_gradients[parameter] is None), parameter
        assert gradient is None or torch.equal(same_gradients[parameter], gradient), parameter
    model.zero_grad()
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    assert step(model, labels)[2] == kept


def test_reentrant_checkpoints_are_replaced_and_said_to_be():
    name = "v2_conv_groups"
    model, labels = make(name, 0.0), MODELS[name][1](IDS)
    _, gradients, kept = step(model, labels)
    model.zero_grad()
    with pytest.warns(DebertaWarning, match="use_reentrant=False is used"):
        model.gradient_checkpointing_enable({"use_reentrant": True})
    _, same_gradients, fewer = step(model, labels)
    assert fewer < kept
    assert all(gradient is None or torch.equal(same_gradients[one], gradient) for one, gradient in gradients.items())


def test_requested_outputs_and_evaluation():
    model = make("v2_conv_groups", 0.0)
    plain = model(IDS, output_attentions=True, output_hidden_states=True)
    model.gradient_checkpointing_enable({"preserve_rng_state": False})
    for mode in (model.train(), model.eval()):
        output = mode(IDS, output_attentions=True, output_hidden_states=True)
        assert torch.equal(output.logits, plain.logits)
        assert all(map(torch.equal, output.attentions, plain.attentions))
        assert all(map(torch.equal, output.hidden_states, plain.hidden_states))
