"""SiFT in Keras: Microsoft's numbers, PyTorch's, and `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deberta_tf
from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, InputError
from deberta_core.parameters import expand
from deberta_core.tasks import TASKS
from deberta_tf.sift import SiFT
from deberta_tf.weights import assign, parameter_variables
from tests.sift_cases import CASES, SIZES, make_case

WEIGHT = 5.0


def gradients(model, batch, first):
    """Loss, adversarial loss, and the gradients of both in PyTorch's layout."""
    named = {name: tf.convert_to_tensor(array) for name, array in batch.items()}
    with SiFT(model, WEIGHT) as sift, tf.GradientTape() as tape:
        output = model(named, return_dict=True, training=True)
        adversarial = sift.adversarial_loss(output, named, first)
        total = output.loss + WEIGHT * adversarial
    variables, table = parameter_variables(model), expand(model.config, model.task)
    found = tape.gradient(total, [variable.value for variable in variables.values()])
    arrays = {}
    for (name, variable), gradient in zip(variables.items(), found, strict=True):
        dense = np.zeros(variable.shape, np.float32) if gradient is None else tf.convert_to_tensor(gradient).numpy()
        arrays[name] = np.asarray(table[name].kind.convert(dense))
    return output, adversarial.numpy(), total.numpy(), arrays


@pytest.mark.parametrize("name", CASES)
def test_every_task_as_in_pytorch(name):
    """There the formula is written out."""
    torch = pytest.importorskip("torch")
    import deberta_torch
    from deberta_torch import sift as torch_sift

    config, task, batch, first = make_case(name)
    suffix = TASKS[task].class_suffix
    torch.manual_seed(0)
    model = getattr(deberta_torch, f"DebertaV2{suffix}")(config).train()
    twin = getattr(deberta_tf, f"TFDebertaV2{suffix}")(config)
    assign(twin, {own: parameter.detach().numpy() for own, parameter in model.named_parameters()})
    named = {own: torch.from_numpy(array) for own, array in batch.items()}
    with torch_sift.SiFT(model, WEIGHT) as sift:
        output = model(**named)
        wanted = sift.adversarial_loss(output, named, torch.from_numpy(first))
    (output.loss + WEIGHT * wanted).backward()
    _, adversarial, _, found = gradients(twin, batch, first)
    assert_close(adversarial, wanted.detach().numpy(), quantity="loss", name="adversarial loss", scale=1.0)
    own = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    scale = float(max(gradient.abs().max() for gradient in own.values()))
    for name, array in found.items():
        right = own[name].numpy() if name in own else np.zeros_like(array)
        assert_close(array, right, quantity="gradient", name=name, scale=scale)


@pytest.fixture
def classifier():
    config, _, batch, first = make_case("classes")
    model = deberta_tf.TFDebertaV2ForSequenceClassification(config)
    labels = batch.pop("labels")
    return model, batch, labels, first


def test_fit_adds_the_loss_and_leaves_no_trace(classifier):
    model, batch, labels, first = classifier
    before = model(batch, return_dict=True).logits.numpy()
    clean = model.get_weights()
    _, _, total, wanted = gradients(model, {**batch, "labels": labels}, np.zeros_like(first))
    model.compile(keras.optimizers.SGD(1.0))
    sift = SiFT(model, WEIGHT, radius=0.0)
    history = sift.fit(batch, labels, batch_size=4, shuffle=False, verbose=0, validation_data=(batch, labels))
    assert_close(np.float32(history.history["loss"][0]), total, quantity="loss", name="loss")
    scale = float(max(np.abs(array).max() for array in wanted.values()))
    table = expand(model.config, model.task)
    after = {name: variable.numpy() for name, variable in parameter_variables(model).items()}
    model.set_weights(clean)
    for name, variable in parameter_variables(model).items():
        moved = np.asarray(table[name].kind.convert(variable.numpy() - after[name]))
        assert_close(moved, wanted[name], quantity="gradient", name=name, scale=scale)
    assert np.array_equal(model(batch, return_dict=True).logits.numpy(), before)
    assert model.regularizer is None
    assert model.deberta.embeddings.before_norm is None
    assert np.isfinite(model.fit(batch, labels, verbose=0).history["loss"][0])  # traced anew, without


def test_evaluation_knows_nothing_of_it(classifier):
    model, batch, labels, _ = classifier
    model.compile("sgd")
    before = model.evaluate(batch, labels, verbose=0)
    with SiFT(model):
        assert model.evaluate(batch, labels, verbose=0) == before


def test_with_a_loss_of_kerass(classifier):
    model, batch, labels, _ = classifier
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    plain = model.evaluate(batch, labels, verbose=0)
    with SiFT(model, radius=0.0, step_size=0.0):
        total = float(model.compute_loss(batch, tf.convert_to_tensor(labels), model(batch, training=True)))
    assert total > plain + 1


def test_what_cannot_be_regularised_is_refused(classifier):
    model, *_ = classifier
    with pytest.raises(InputError, match="model is a TFDebertaV2Model, not one of a task"):
        SiFT(deberta_tf.TFDebertaV2Model(DebertaV2Config(**SIZES)))
    with pytest.raises(InputError, match="distance='js'"):
        SiFT(model, distance="js")
    with pytest.raises(InputError, match="SiFT has seen no output"):
        SiFT(model).loss({}, labels=np.zeros(1))
