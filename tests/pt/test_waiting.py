"""Nothing in a forward pass, a loss or a step of the optimizer asks a device for a number: that would wait for it."""

import pytest
import torch

import deberta_torch
from conformance.suite.cases import CASES
from conformance.suite.compare import assert_close
from conformance.suite.interpreted import leave_out_kernels
from deberta_torch.encoder import Convolution, convolve_by_products
from deberta_torch.kernels import attention_functions

LABELS = {
    "SequenceClassification": (3,),
    "TokenClassification": (3, 7),
    "MaskedLM": (3, 7),  # on the CPU: those on a device are asked how many they are
    "ReplacedTokenDetection": (3, 7),
}


def make(task, implementation="sdpa", case="v3_like"):
    """A model on torch's meta device, whose tensors have no numbers: to ask for one is an error."""
    with torch.device("meta"):
        model = getattr(deberta_torch, f"DebertaV2For{task}")(CASES[case].config.replace(num_labels=2))
    model.set_attn_implementation(implementation)
    return model


def ones(*shape, device="meta"):
    return torch.ones(shape, dtype=torch.long, device=device)


def test_the_device_notices():
    for ask in (torch.Tensor.item, torch.Tensor.nonzero, bool, lambda values: values[values > 0]):
        with pytest.raises((RuntimeError, NotImplementedError)):
            ask(ones(1))


@pytest.mark.parametrize("place", ["meta", "cpu"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager", "triton"])
@pytest.mark.parametrize("task", LABELS)
def test_a_training_step(task, implementation, place, monkeypatch):
    if implementation == "triton":  # as if it could run there; the kernels do nothing, and what is around them all
        monkeypatch.setattr(attention_functions, "why_not", lambda *_: None)
        leave_out_kernels(monkeypatch)
    model = make(task, implementation).train()
    optimizer = torch.optim.AdamW(model.parameters())
    labels = ones(*LABELS[task], device="cpu" if task == "MaskedLM" else "meta")
    padding = "ignore" if labels.device.type == "meta" or place == "cpu" else "error"
    loss = model(ones(3, 7), ones(3, 7, device=place), labels=labels, labels_at_padding=padding).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    assert loss.device.type == "meta"
    assert model.attn_implementation_used == (implementation, None)


@pytest.mark.parametrize("case", ["v2_conv", "v2_conv_groups", "v2_enhanced", "v2_absolute_types"])
def test_a_forward_pass(case):
    model = make("MaskedLM", case=case).eval()
    with torch.no_grad():
        assert model(ones(3, 7), ones(3, 7)).logits.device.type == "meta"
        assert model(ones(3, 7), ones(3, 7, 7)).logits.device.type == "meta"
        assert model(ones(3, 7), ones(3, 7, device="cpu")).logits.device.type == "meta"


@pytest.mark.parametrize("case", ["v2_conv", "v2_conv_groups"])
def test_the_convolution_by_products_is_the_convolution(case):
    convolution = Convolution(CASES[case].config)
    hidden = torch.randn(3, 11, CASES[case].config.hidden_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = convolution.conv(hidden.transpose(1, 2)).transpose(1, 2)
        found = convolve_by_products(convolution.conv, hidden)
    assert_close(found.numpy(), expected.numpy(), quantity="hidden", name="convolution")
