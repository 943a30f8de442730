"""Training without padding by the Triton kernels, in the interpreter: the same loss and gradients as with it."""

import pytest

from conformance.suite.compare import relative_error
from conformance.suite.interpreted import interpreted
from conformance.tolerances import TOLERANCES
from deberta_torch import encoder
from tests.pt.optimized import ids, make, mask_of


@pytest.mark.parametrize("case", ["v3_like", "v2_conv", "v1_c2p"])
def test_padded_is_unpadded(case, monkeypatch):
    model = make(case, num_attention_heads=2, num_hidden_layers=2)
    model.set_attn_implementation("triton")
    mask = mask_of((0, 11), (7, 11), length=11)
    found = {}
    for name in ("packed", "padded"):
        model.zero_grad()
        if name == "padded":
            monkeypatch.setattr(encoder.Unpadded, "of", lambda *_: None)
        with interpreted():
            output = model(ids(2, 11), mask, output_hidden_states=True)
            assert model.attn_implementation_used.implementation == "triton"
            states = [state[mask.bool()] for state in output.hidden_states]
            sum(state.square().sum() for state in states).backward()
        found[name] = [*states, *(value.grad for value in model.parameters() if value.grad is not None)]
    for ours, theirs in zip(found["packed"], found["padded"], strict=True):
        assert relative_error(ours.detach().numpy(), theirs.detach().numpy()) < TOLERANCES["gradient"].limit
