"""Enhanced decoder and replaced-token detection against Microsoft's code in float64: values and gradients."""

from __future__ import annotations

import pytest

from conformance.suite.compare import assert_close
from conformance.suite.golden import PRETRAINING, goldens
from conformance.suite.measure import gradient_scales
from conformance.suite.pairs import PAIRS, pair_goldens
from conformance.suite.report import record

SINGLE = [golden for golden in goldens() if golden.values[0].is_float64]
MASKED_LM = [
    golden
    for golden in goldens(with_gradients=True)
    if golden.values[0].is_float64 and golden.values[0].task == "masked_lm"
]
FLOOR = 1e-3  # of the largest gradient, for those that are 0 in exact arithmetic
FLOAT32 = ("golden", "golden gradient")
BOUNDS = {"keras": FLOAT32}  # the others compute in float64


def assert_gradients_close(actual, expected, quantity="golden float64"):
    """Returns the worst error."""
    scales = gradient_scales(expected, FLOOR) if expected else {}
    return max(
        (
            assert_close(actual[name], values, quantity=quantity, name=name, scale=scales[name])
            for name, values in expected.items()
        ),
        default=0.0,
    )


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


@pytest.mark.parametrize("golden", MASKED_LM)
def test_keras_with_logits_at_labels_alone(golden):
    """Values and gradients, in a graph whose inputs have no fixed shape; with all logits: test_goldens.py."""
    import tensorflow as tf

    from conformance.suite.adapters import KerasAdapter

    model, inputs = KerasAdapter(golden.config, golden.task, golden.params()), golden.tensors("input")
    variables = [variable.value for variable in model.variables.values()]

    @tf.function(input_signature=[{key: tf.TensorSpec([None, None], values.dtype) for key, values in inputs.items()}])
    def step(batch):
        with tf.GradientTape() as tape:
            output = model.model(batch, labelled_logits_only=True, training=False)
        gradients = [tf.convert_to_tensor(one) for one in tape.gradient(output.loss, variables)]
        return output.loss, output.logits, gradients

    loss, logits, gradients = step({key: tf.convert_to_tensor(values) for key, values in inputs.items()})
    expected, bound = golden.tensors("output"), BOUNDS["keras"][0]
    chosen = expected["logits"][inputs["labels"] >= 0]
    assert_close(logits.numpy(), chosen, quantity=bound, name="logits")
    assert_close(loss.numpy(), expected["loss"], quantity=bound, name="loss")
    found = {
        key: model.table[key].kind.convert(one.numpy()) for key, one in zip(model.variables, gradients, strict=True)
    }
    wanted = golden.tensors("grad")
    assert found.keys() == wanted.keys()
    assert_gradients_close(found, wanted, BOUNDS["keras"][1])


@pytest.mark.parametrize("framework", PAIRS)
@pytest.mark.parametrize("golden", list(pair_goldens()))
def test_a_step_of_generator_and_discriminator(golden, framework):
    inputs, expected = golden.tensors("input"), golden.tensors("output")
    outputs, gradients = PAIRS[framework](golden).step(inputs)
    bound, of_gradients = BOUNDS.get(framework, ("golden float64", "golden float64"))
    mask, errors = inputs["attention_mask"].astype(bool), []
    assert expected.keys() <= outputs.keys()
    for name, judge in expected.items():
        values, judge = (v[mask] if name == "discriminator_logits" else v for v in (outputs[name], judge))
        errors.append(assert_close(values, judge, quantity=bound, name=name))
    record(golden.folder.name, framework, {bound: max(errors)})
    if framework == "reference":
        return
    stored = {
        f"{kind}.{name}": v for kind in ("grad", "grad_mlm", "grad_rtd") for name, v in golden.tensors(kind).items()
    }
    record(golden.folder.name, framework, {of_gradients: assert_gradients_close(gradients, stored, of_gradients)})
    # Each table gets the gradient of its own loss alone; of a joint step the parts are stored for the tables only.
    assert not {
        name
        for name in gradients.keys() - stored.keys()
        if name.startswith("grad.") or "word_embeddings" in name or golden.generator_rate is not None
    }
