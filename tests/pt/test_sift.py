"""SiFT against Microsoft's numbers, and for every task against its formula written out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import deberta_torch
from conformance.suite.compare import assert_close, output_scale
from deberta_core import InputError
from deberta_core.loss_options import PLAIN
from deberta_core.tasks import TASKS
from deberta_torch.losses import LOSSES, mean_loss
from deberta_torch.masks import make_masks
from deberta_torch.models import Encoded
from deberta_torch.sift import SiFT
from tests.sift_cases import CASES, make_case

WEIGHT = 5.0


def formula(model, batch, first, distance):
    """The total loss as NUMERICS 9 has it, by the model's parts: embeddings are summed and normalised here."""
    spec, embeddings = model.spec, model.deberta.embeddings
    ids, mask = (batch[name].flatten(0, -2) for name in ("input_ids", "attention_mask"))
    masks = make_masks(mask, *ids.shape, ids.device)
    total = embeddings.embed_proj(embeddings.word_embeddings(ids))
    mean, variance = total.mean(-1, keepdim=True), total.var(-1, unbiased=False, keepdim=True)
    normalised = (total - mean) / torch.sqrt(variance + 1e-7)

    def predict(vectors):
        hidden = embeddings.LayerNorm(vectors).masked_fill(~masks.tokens[:, :, None], 0.0)
        hidden, *_ = model.deberta.encoder(hidden, masks, False, False)
        named = model.predict_outputs(Encoded(hidden, masks, None, None))
        if spec.folds_choices:
            named = {"logits": named["logits"].reshape(-1, 2)}
        if spec.loss == "spans":
            rows = [row[real] for values in named.values() for row, real in zip(values, masks.tokens, strict=True)]
        elif spec.per_token:
            rows = [*named["logits"][batch["labels"] >= 0]]
        else:
            rows = [*named["logits"]]
        return named, rows

    def differ(given, logits):
        return torch.stack([distance(one.detach(), other) for one, other in zip(given, logits, strict=True)])

    named, clean = predict(normalised)
    first = first.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(differ(clean, predict(normalised.detach() + first)[1]).sum(), first)
    second = first.detach() + 1e-4 * gradient / (gradient.abs().amax(-1, keepdim=True) + 1e-6)
    moved = predict(normalised.detach() + second)[1]
    adversarial = (differ(clean, moved) + differ(moved, clean)).mean()
    labels = {name: batch[name] for name in spec.labels}
    task = mean_loss(LOSSES[spec.loss](model.config, named, labels, masks.tokens, PLAIN))
    return task + WEIGHT * adversarial, adversarial


DISTANCES = {
    "labels": lambda given, logits: F.binary_cross_entropy_with_logits(logits, given.sigmoid()),
    "numbers": lambda given, logits: ((given - logits) ** 2).mean(),
}


def of_classes(given, logits):
    return -(given.softmax(-1) * logits.log_softmax(-1)).sum()


def build(name):
    config, task, batch, first = make_case(name)
    torch.manual_seed(0)
    model = getattr(deberta_torch, f"DebertaV2{TASKS[task].class_suffix}")(config).train()
    return model, {name: torch.from_numpy(array) for name, array in batch.items()}, torch.from_numpy(first)


def close_losses(found, wanted):
    wanted = wanted.detach().numpy()
    assert_close(found.detach().numpy(), wanted, quantity="loss", name="loss", scale=output_scale("loss", wanted))


@pytest.mark.parametrize("name", CASES)
def test_every_task_against_the_formula(name):
    model, batch, first = build(name)
    total, adversarial = formula(model, batch, first, DISTANCES.get(name, of_classes))
    wanted = torch.autograd.grad(total, [*model.parameters()], allow_unused=True)
    with SiFT(model, WEIGHT) as sift:
        output = model(**batch)
        loss = sift.adversarial_loss(output, batch, first)
    (output.loss + WEIGHT * loss).backward()
    close_losses(loss, adversarial)
    scale = float(max(gradient.abs().max() for gradient in wanted if gradient is not None))
    for (own, parameter), gradient in zip(model.named_parameters(), wanted, strict=True):
        assert (gradient is None) == (parameter.grad is None), own
        if gradient is not None:
            found = parameter.grad.numpy()
            assert_close(found, gradient.numpy(), quantity="gradient", name=own, scale=scale)


def test_mean_squared_error_of_logits():
    model, batch, first = build("classes")
    _, wanted = formula(model, batch, first, DISTANCES["numbers"])
    with SiFT(model, distance="mse") as sift:
        loss = sift.adversarial_loss(model(**batch), batch, first)
    close_losses(loss, wanted)


def test_the_divergence_is_that_of_both_predictions():
    """Zero where nothing moves, unlike the loss, which also holds their entropies."""
    model, batch, first = build("classes")
    with SiFT(model, step_size=0.0) as sift:
        loss = sift.adversarial_loss(model(**batch), batch, torch.zeros_like(first))
    assert loss.item() > 1
    assert_close(sift.kl.numpy(), np.zeros((), np.float32), quantity="loss", name="kl", scale=1.0)


def test_a_first_perturbation_is_drawn_and_clipped():
    model, batch, first = build("classes")
    with SiFT(model, radius=0.5) as sift:
        model(**batch)
        noise = sift._draw()
    assert noise.shape == first.shape
    assert float(noise.abs().max()) == 1.0
    assert 0.3 < float(noise.std()) < 0.5


def test_a_gradient_that_is_not_finite_moves_nothing():
    model, _, first = build("classes")
    gradient = torch.ones_like(first)
    gradient[0, 0, 3], gradient[0, 1, 2] = float("nan"), float("inf")
    moved = SiFT(model)._ascend(first, gradient)
    assert torch.equal(moved[0, :2], first[0, :2])
    assert not torch.equal(moved[0, 2], first[0, 2])


def test_outside_and_in_evaluation_nothing_changes():
    model, batch, _ = build("classes")
    model.eval()
    before = model(**batch).logits
    with SiFT(model) as sift:
        assert torch.equal(model(**batch).logits, before)
        with pytest.raises(InputError, match="SiFT has seen no output"):
            sift.loss(model(**batch), **batch)
        model.train()
        assert not torch.equal(model(**batch).logits, before)
    model.eval()
    assert torch.equal(model(**batch).logits, before)


def test_what_cannot_be_regularised_is_refused():
    model, *_ = build("classes")
    with pytest.raises(InputError, match="model is a Backbone, not one of a task"):
        SiFT(model.deberta)
    with pytest.raises(InputError, match="distance='js'"):
        SiFT(model, distance="js")
