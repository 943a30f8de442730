"""Labelled tokens alone, and steps of generator and discriminator, against Microsoft's numbers and gradients."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

import deberta_tf
from conformance.suite.adapters import KerasAdapter
from conformance.suite.compare import assert_close
from conformance.suite.golden import Golden
from deberta_core import AutoConfig
from deberta_core.parameters import DELTA_NAMES, expand
from deberta_tf.weights import parameter_variables

WORDS = "deberta.embeddings.word_embeddings.weight"
MASKED_LM = (
    "emd-v2",
    "emd-v2-conv",
    "emd-v2-padded",
    "emd-v2-position-ids",
    "emd-v2-wide",
    "emd-biased",
    "emd-no-relative",
    "emd-v1style",
)
STEPS = ("rtd-step-gdes", "rtd-step-es", "rtd-step-none")


@pytest.fixture
def read(shared):
    """Reads a golden folder: what its case says, and the golden, with the decoder that the case names."""

    def read(name):
        folder = shared / "goldens-pretraining" / name
        case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        config = AutoConfig.from_pretrained(folder).replace(mlm_decoder=case.get("decoder", "plain"))
        tasks = {"ForMaskedLM": "masked_lm", "ForReplacedTokenDetection": "replaced_token"}
        return case, Golden(folder, config, tasks.get(case["head"]))

    return read


def compare_gradients(found, expected):
    """What is expected, and nothing where nothing is."""
    largest = max(float(np.abs(values).max()) for values in expected.values())
    for name, values in found.items():
        if name not in expected:
            assert not values.any(), name
            continue
        scale = max(float(np.abs(expected[name]).max()), 1e-3 * largest)
        assert_close(values, expected[name], quantity="golden gradient", name=name, scale=scale)
    assert set(expected) <= set(found)


@pytest.mark.parametrize("name", MASKED_LM)
def test_labelled_tokens_alone(read, name):
    """The same numbers and gradients, in a graph whose inputs have no fixed shape."""
    _, golden = read(name)
    model, inputs = KerasAdapter(golden.config, golden.task, golden.params()), golden.tensors("input")
    variables = [variable.value for variable in model.variables.values()]

    @tf.function(input_signature=[{key: tf.TensorSpec([None, None], values.dtype) for key, values in inputs.items()}])
    def step(batch):
        with tf.GradientTape() as tape:
            output = model.model(batch, labelled_logits_only=True, training=False)
        gradients = [tf.convert_to_tensor(one) for one in tape.gradient(output.loss, variables)]
        return output.loss, output.logits, gradients

    loss, logits, gradients = step({key: tf.convert_to_tensor(values) for key, values in inputs.items()})
    expected = golden.tensors("output")
    chosen = expected["logits"][inputs["labels"] >= 0]
    assert_close(logits.numpy(), chosen, quantity="golden", name="logits")
    assert_close(loss.numpy(), expected["loss"], quantity="golden", name="loss")
    found = {
        key: model.table[key].kind.convert(one.numpy()) for key, one in zip(model.variables, gradients, strict=True)
    }
    compare_gradients(found, golden.tensors("grad"))


def pair(read, name):
    """The model of a step, with the golden's parameters as they are stored, its inputs, and its case."""
    case, golden = read(name)
    model = deberta_tf.TFDebertaV2ForPreTraining.from_pretrained(
        golden.folder, embedding_sharing=case["embedding_sharing"], rtd_lambda=case["rtd_lambda"]
    )
    return model, golden, case


def part_gradients(model, tape, loss):
    """Of both models, by the names of the goldens: that of the difference has its own."""
    found = {}
    for part in ("generator", "discriminator"):
        inner = getattr(model, part)
        variables, table = parameter_variables(inner), expand(inner.config, inner.task)
        gradients = tape.gradient(loss, [variable.value for variable in variables.values()])
        for (key, variable), gradient in zip(variables.items(), gradients, strict=True):
            is_delta = part == "discriminator" and model.embedding_sharing == "gdes" and key in DELTA_NAMES
            values = np.zeros(variable.shape, np.float32) if gradient is None else tf.convert_to_tensor(gradient)
            name = f"{part}.{DELTA_NAMES[key] if is_delta else key}"
            found[name] = table[key].kind.convert(np.asarray(values))
    return found


@pytest.mark.parametrize("name", STEPS)
def test_a_joint_step(read, name):
    model, golden, _ = pair(read, name)
    inputs, expected, mask = golden.tensors("input"), golden.tensors("output"), golden.mask()
    with tf.GradientTape(persistent=True) as tape:
        output = model(dict(inputs))
        rtd_loss = model.rtd_lambda * output.rtd_loss
    np.testing.assert_array_equal(output.corrupted_ids, inputs["corrupted_ids"])
    np.testing.assert_array_equal(output.replaced, expected["discriminator_labels"])
    found = {"generator_logits_at_labels": output.generator_logits, "discriminator_logits": output.logits}
    for key, values in {**found, **{key: output[key] for key in ("loss", "mlm_loss", "rtd_loss")}}.items():
        promised = mask if key == "discriminator_logits" else ...
        judge = expected[key].reshape(np.shape(values))
        assert_close(np.asarray(values)[promised], judge[promised], quantity="golden", name=key)
    compare_gradients(part_gradients(model, tape, output.loss), golden.tensors("grad"))
    # Each table gets the gradient of its own loss alone, but for one that is shared as a whole.
    for kind, loss in (("grad_mlm", output.mlm_loss), ("grad_rtd", rtd_loss)):
        tables = {key: one for key, one in part_gradients(model, tape, loss).items() if "embeddings.word_e" in key}
        wanted = {key: one for key, one in golden.tensors(kind).items() if key in tables}
        compare_gradients(tables, wanted)


def test_a_decoupled_step(read):
    """The generator is trained first, and the discriminator reads the new table."""
    model, golden, case = pair(read, "rtd-step-gdes-decoupled")
    inputs, expected, mask = golden.tensors("input"), golden.tensors("output"), golden.mask()
    with tf.GradientTape(persistent=True) as tape:
        made = model.corrupt(**inputs)
    gradients = part_gradients(model, tape, made.mlm_loss)
    compare_gradients(gradients, golden.tensors("grad_mlm"))
    table = expand(model.generator.config, "masked_lm")
    for key, variable in parameter_variables(model.generator).items():
        step = case["generator_sgd_rate"] * gradients[f"generator.{key}"]
        variable.assign_sub(table[key].kind.convert(step))
    with tf.GradientTape(persistent=True) as tape:
        judged = model.discriminate(made.corrupted_ids, inputs["attention_mask"], replaced=made.replaced)
        loss = model.rtd_lambda * judged.rtd_loss
    assert_close(np.asarray(judged.logits)[mask], expected["discriminator_logits"][mask], quantity="golden", name="rtd")
    assert_close(np.asarray(judged.rtd_loss).reshape(1), expected["rtd_loss"], quantity="golden", name="rtd loss")
    compare_gradients(part_gradients(model, tape, loss), golden.tensors("grad_rtd"))
