"""Enhanced decoder and replaced-token detection in float64, against Microsoft's code in float64: values, gradients."""

from __future__ import annotations

import pytest

from conformance.suite.compare import assert_close
from conformance.suite.golden import PRETRAINING, goldens
from conformance.suite.measure import gradient_scales
from conformance.suite.pairs import PAIRS, pair_goldens

SINGLE = [golden for golden in goldens() if golden.values[0].is_float64]
TWICE = "grad.discriminator.deberta.embeddings.word_embeddings.weight"  # under "es" the table is in both models


def assert_gradients_close(actual, expected):
    scales = gradient_scales(expected) if expected else {}
    for name, values in expected.items():
        assert_close(actual[name], values, quantity="golden float64", name=name, scale=scales[name])


def test_there_are_goldens():
    assert SINGLE
    if not PRETRAINING.exists():
        pytest.skip(f"only the repository's own goldens were compared: {PRETRAINING.name} is missing beside it")
    assert sum(golden.values[0].folder.parent == PRETRAINING for golden in [*SINGLE, *pair_goldens()]) == 14


@pytest.mark.parametrize("golden", SINGLE)
def test_torch_alone(golden):
    """Values and gradients of masked LM and of replaced-token detection; also with logits at labels alone."""
    import torch

    from conformance.suite.adapters import TorchAdapter

    adapter = TorchAdapter(golden.config, golden.task, golden.params(), dtype="float64")
    inputs, expected = golden.tensors("input"), golden.tensors("output")
    actual = adapter.forward(inputs)
    mask = golden.mask()
    for name in actual.keys() & expected.keys():
        values, judge = (v if v.ndim == 0 else v[mask] for v in (actual[name], expected[name]))
        assert_close(values, judge, quantity="golden float64", name=name)
    _, gradients = adapter.gradients(inputs)
    assert_gradients_close(gradients, golden.tensors("grad"))
    if golden.task == "masked_lm" and "logits" in expected:
        model = adapter.model.train()  # the goldens have no dropout
        model.zero_grad()
        output = model(**{n: torch.from_numpy(v) for n, v in inputs.items()}, labelled_logits_only=True)
        output.loss.backward()
        labelled = expected["logits"][inputs["labels"] >= 0]
        assert_close(output.logits.detach().numpy(), labelled, quantity="golden float64", name="labelled logits")
        found = {name: parameter.grad.numpy() for name, parameter in model.named_parameters()}
        assert_gradients_close(found, golden.tensors("grad"))


@pytest.mark.parametrize("framework", PAIRS)
@pytest.mark.parametrize("golden", list(pair_goldens()))
def test_a_step_of_generator_and_discriminator(golden, framework):
    inputs, expected = golden.tensors("input"), golden.tensors("output")
    outputs, gradients = PAIRS[framework](golden).step(inputs)
    mask = inputs["attention_mask"].astype(bool)
    assert expected.keys() <= outputs.keys()
    for name, judge in expected.items():
        values, judge = (v[mask] if name == "discriminator_logits" else v for v in (outputs[name], judge))
        assert_close(values, judge, quantity="golden float64", name=name)
    if framework == "reference":
        return
    stored = {
        f"{kind}.{name}": v for kind in ("grad", "grad_mlm", "grad_rtd") for name, v in golden.tensors(kind).items()
    }
    assert_gradients_close(gradients, stored)
    more = {name for name in gradients if name.startswith("grad.")} - stored.keys()
    assert more == ({TWICE} if golden.embedding_sharing == "es" else set())
