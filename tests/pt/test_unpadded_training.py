"""Training without padding by the Triton kernels, in the interpreter: the same loss and gradients as with it."""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

SCRIPT = """
import torch
from conformance.suite.compare import relative_error
from conformance.tolerances import TOLERANCES
from deberta_torch import encoder
from tests.pt.optimized import MASKS, ids, make

for case in CASES:
    model = make(case)
    model.set_attn_implementation("triton")
    mask = MASKS["left"]()
    found = {}
    for name, own in (("padded", mask), ("packed", mask)):
        model.zero_grad()
        kept = encoder.Unpadded.of
        if name == "padded":
            encoder.Unpadded.of = classmethod(lambda *_: None)
        output = model.eval()(ids(), own, output_hidden_states=True)
        encoder.Unpadded.of = kept
        assert model.attn_implementation_used.implementation == "triton", model.attn_implementation_used
        states = [state[mask.bool()] for state in output.hidden_states]
        sum(state.square().sum() for state in states).backward()
        found[name] = [*states, *(value.grad for value in model.parameters() if value.grad is not None)]
    for ours, theirs in zip(found["packed"], found["padded"], strict=True):
        assert relative_error(ours.detach().numpy(), theirs.detach().numpy()) < TOLERANCES["gradient"].limit
print("the same")
"""


@pytest.mark.parametrize("case", ["v3_like", "v2_conv", "v1_c2p"])
def test_padded_is_unpadded(case):
    """In a process of its own: Triton reads when it is imported whether to interpret."""
    script = SCRIPT.replace("CASES", repr([case]))
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.stdout.strip() == "the same", done.stderr[-2000:]
