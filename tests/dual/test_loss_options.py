"""Class weights, label smoothing and focal loss: PyTorch's own, or the formula in NumPy, in both frameworks."""

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, InputError
from deberta_core.loss_options import PLAIN, LossOptions
from tests.sift_cases import SIZES

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

import torch.nn.functional as F  # noqa: E402

from deberta_tf import losses as keras_losses  # noqa: E402
from deberta_torch import losses as torch_losses  # noqa: E402

WEIGHTS = (0.2, 1.5, 3.0, 0.0)
LOGITS = 2 * np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
LABELS = np.array([2, 0, 1, -100, 2, 3])
TRUTHS = np.random.default_rng(1).integers(0, 2, (6, 4)).astype(np.float32)
OPTIONS = {
    "plain": PLAIN,
    "weights": LossOptions(class_weights=WEIGHTS),
    "smoothing": LossOptions(label_smoothing=0.1),
    "weights and smoothing": LossOptions(class_weights=WEIGHTS, label_smoothing=0.3),
    "focal": LossOptions(focal_gamma=2.0),
    "focal and weights": LossOptions(focal_gamma=0.5, class_weights=WEIGHTS),
}


def wanted_loss(logits, options):
    """The mean over the labels that count, of PyTorch's own functions."""
    labels = torch.from_numpy(LABELS)
    weights = None if options.class_weights is None else logits.new_tensor(options.class_weights)
    if not options.focal_gamma:
        return F.cross_entropy(logits, labels, weights, label_smoothing=options.label_smoothing)
    kept = labels >= 0
    p = logits[kept].softmax(-1)[range(int(kept.sum())), labels[kept]]
    own = torch.ones_like(p) if weights is None else weights[labels[kept]]
    return (-own * (1 - p) ** options.focal_gamma * p.log()).sum() / own.sum()


def wanted_binary(logits, options):
    truths = torch.from_numpy(TRUTHS).double()
    truths = truths * (1 - options.label_smoothing) + options.label_smoothing / 2
    p = logits.sigmoid()
    elements = -(truths * p.log() + (1 - truths) * (1 - p).log())
    return (elements * (1 - (-elements).exp()) ** options.focal_gamma).mean()


def in_torch(function, labels, options):
    logits = torch.from_numpy(LOGITS).requires_grad_()
    loss = torch_losses.mean_loss([getattr(torch_losses, function)(logits, torch.from_numpy(labels), options)])
    loss.backward()
    return loss.detach().numpy(), logits.grad.numpy()


def in_keras(function, labels, options):
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = keras_losses.mean_loss([getattr(keras_losses, function)(logits, tf.constant(labels), options)])
    return loss.numpy(), tape.gradient(loss, logits).numpy()


def check(function, labels, options, formula, compute):
    logits = torch.from_numpy(LOGITS).double().requires_grad_()
    wanted = formula(logits, options)
    wanted.backward()
    loss, gradient = compute(function, labels, options)
    assert_close(loss, wanted.detach().numpy(), quantity="loss", name="loss")
    assert_close(gradient, logits.grad.numpy(), quantity="gradient", name="gradient")


@pytest.mark.parametrize("compute", [in_torch, in_keras])
@pytest.mark.parametrize("name", OPTIONS)
def test_losses_over_classes(name, compute):
    check("cross_entropy", LABELS, OPTIONS[name], wanted_loss, compute)


@pytest.mark.parametrize("compute", [in_torch, in_keras])
@pytest.mark.parametrize("name", ["plain", "smoothing", "focal"])
def test_losses_of_labels_that_may_all_be_true(name, compute):
    check("binary_cross_entropy", TRUTHS, OPTIONS[name], wanted_binary, compute)


@pytest.mark.parametrize("compute", [in_torch, in_keras])
def test_a_power_of_zero_is_cross_entropy(compute):
    for found, wanted in zip(
        compute("cross_entropy", LABELS, LossOptions(focal_gamma=0.0)),
        compute("cross_entropy", LABELS, PLAIN),
        strict=True,
    ):
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize("compute", [in_torch, in_keras])
def test_certainty_has_a_finite_slope(compute, monkeypatch):
    """The slope of the root of 1 - p is infinite where p is 1."""
    monkeypatch.setitem(globals(), "LOGITS", np.array([[200.0, 0.0, 0.0, 0.0]] * 6, np.float32))
    _, gradient = compute("cross_entropy", np.zeros(6, np.int64), LossOptions(focal_gamma=0.5))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("compute", [in_torch, in_keras])
def test_labels_that_all_weigh_nothing_have_no_loss(compute):
    loss, gradient = compute("cross_entropy", np.full(6, 3), LossOptions(class_weights=WEIGHTS))
    assert loss == 0
    assert not gradient.any()


def test_models_have_the_options():
    """In a call, in `fit`, and not in what is saved."""
    import deberta_tf
    import deberta_torch

    config = DebertaV2Config(**{**SIZES, "num_labels": 4})
    ids, labels = np.ones((6, 5), np.int64), np.maximum(LABELS, 0)
    options = OPTIONS["weights and smoothing"]
    model = deberta_torch.DebertaV2ForSequenceClassification(config).eval()
    model.loss_options = options
    output = model(torch.from_numpy(ids), labels=torch.from_numpy(labels))
    wanted = F.cross_entropy(
        output.logits, torch.from_numpy(labels), torch.tensor(WEIGHTS), label_smoothing=options.label_smoothing
    )
    assert_close(output.loss.detach().numpy(), wanted.detach().numpy(), quantity="loss", name="PyTorch")
    twin = deberta_tf.TFDebertaV2ForSequenceClassification(config)
    deberta_tf.weights.assign(twin, {name: value.detach().numpy() for name, value in model.named_parameters()})
    twin.loss_options = options
    assert_close(twin(ids, labels=labels).loss.numpy(), wanted.detach().numpy(), quantity="loss", name="a call")
    twin.compile("sgd")
    found = np.float32(twin.evaluate(ids, labels, verbose=0))
    assert_close(found, wanted.detach().numpy(), quantity="loss", name="evaluate")
    assert "loss_options" not in str(twin.get_config())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": (0.0, 0.0)}, r"class_weights=\(0\.0, 0\.0\)"),
        ({"class_weights": (1.0, float("nan"))}, "class_weights"),
        ({"label_smoothing": 1.0}, r"label_smoothing=1\.0"),
        ({"focal_gamma": -1.0}, r"focal_gamma=-1\.0"),
        ({"focal_gamma": 1.0, "label_smoothing": 0.1}, "no one probability"),
    ],
)
def test_options_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        LossOptions(**settings)
