"""The losses against the reference, their dtype, and what ignored labels do."""

import numpy as np
import pytest
import torch

from conformance.suite.cases import CASES, LABEL_SETTINGS, padding_mask, random_labels
from conformance.suite.compare import assert_close, output_scale
from deberta_core import reference
from deberta_core.loss_options import PLAIN
from deberta_core.tasks import TASKS
from deberta_torch.losses import LOSSES, cross_entropy, mean_loss, span_cross_entropy

TASK = "sequence_classification"
SETTINGS = LABEL_SETTINGS[TASK]
ONES = np.ones((5, 6), np.int64)


def case(setting: str, seed: int = 0):
    config = CASES["v3_like"].config.replace(**SETTINGS[setting])
    logits = 3 * np.random.default_rng(seed).standard_normal((5, config.num_labels)).astype(np.float32)
    return config, logits, random_labels(config, TASK, setting, {"attention_mask": ONES}, seed)["labels"]


def parts_of(config, logits, labels):
    predictions, targets = {"logits": logits}, {"labels": labels}
    return LOSSES[TASKS[TASK].loss](config, predictions, targets, torch.from_numpy(ONES).bool(), PLAIN)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("seed", range(3))
def test_against_the_reference(setting, seed):
    config, logits, labels = case(setting, seed)
    expected = reference.sequence_classification_loss(
        config, {"logits": logits.astype(float)}, {"labels": labels}, ONES
    )
    parts = parts_of(config, torch.from_numpy(logits), torch.from_numpy(labels))
    ((losses, counts),) = parts
    assert losses.shape == counts.shape == (5,)
    assert_close(
        mean_loss(parts).numpy(), expected, quantity="loss", name=setting, scale=output_scale("loss", expected)
    )


@pytest.mark.parametrize("setting", SETTINGS)
def test_labels_of_any_number_type(setting):
    config, logits, labels = case(setting)
    kinds = [torch.float32, torch.float64] if labels.dtype.kind == "f" else [torch.int32, torch.int64, torch.float32]
    results = [
        mean_loss(parts_of(config, torch.from_numpy(logits), torch.from_numpy(labels).to(kind))) for kind in kinds
    ]
    assert len({float(result) for result in results}) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("setting", SETTINGS)
def test_losses_of_half_precision_logits_are_float32(setting, dtype):
    config, logits, labels = case(setting)
    half = torch.from_numpy(logits).to(dtype)
    loss = mean_loss(parts_of(config, half, torch.from_numpy(labels)))
    assert loss.dtype == torch.float32
    expected = mean_loss(parts_of(config, half.float(), torch.from_numpy(labels)))
    assert float(loss) == float(expected)


def test_ignored_labels_give_zero_loss_and_gradient():
    logits = torch.tensor([[1e4, -1e4], [float("-inf"), 0.0]], requires_grad=True)
    loss = mean_loss([cross_entropy(logits, torch.tensor([-100, -1]))])
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(2, 2))


def test_the_mean_is_over_labels_that_count():
    logits = torch.zeros(4, 2)
    losses, counts = cross_entropy(logits, torch.tensor([[0], [-100], [1], [-100]]))
    assert counts.tolist() == [1, 0, 1, 0]
    assert losses[1] == 0
    assert float(mean_loss([(losses, counts)])) == float(torch.tensor(2.0).log())


# Tokens, choices, spans

OTHERS = {"masked_lm": (5, 6, 97), "token_classification": (5, 6, 4), "multiple_choice": (5, 3)}
REFERENCES = dict.fromkeys(OTHERS, reference.label_loss) | {
    "question_answering": reference.question_answering_loss,
    "replaced_token": reference.replaced_token_loss,
}


def other_case(task, side="right", seed=0):
    """Predictions and labels, float64 and integers, and a mask."""
    random = np.random.default_rng(seed)
    mask = padding_mask(5, 6, side)
    if task == "question_answering":
        predictions = {f"{name}_logits": 3 * random.standard_normal((5, 6)) for name in ("start", "end")}
        return predictions, {f"{name}_positions": random.integers(-1, 9, 5) for name in ("start", "end")}, mask
    if task == "replaced_token":
        labels = random.integers(-1, 2, (5, 6))
        return {"logits": 3 * random.standard_normal((5, 6))}, {"labels": np.where(labels < 0, -100, labels)}, mask
    labels = random.integers(0, OTHERS[task][-1], OTHERS[task][:-1])
    return {"logits": 3 * random.standard_normal(OTHERS[task])}, {"labels": np.where(labels == 1, -100, labels)}, mask


def loss_of(task, predictions, labels, mask, dtype=torch.float32):
    tensors = {name: torch.from_numpy(np.asarray(value)).to(dtype) for name, value in predictions.items()}
    targets = {name: torch.from_numpy(np.asarray(value)) for name, value in labels.items()}
    return mean_loss(
        LOSSES[TASKS[task].loss](CASES["v3_like"].config, tensors, targets, torch.from_numpy(mask).bool(), PLAIN)
    )


def test_every_task_has_its_losses():
    assert {spec.name for spec in TASKS.values()} == {TASK, *REFERENCES} == set(LABEL_SETTINGS)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("task", REFERENCES)
def test_other_tasks_against_the_reference(task, seed, side):
    predictions, labels, mask = other_case(task, side, seed)
    expected = REFERENCES[task](CASES["v3_like"].config, predictions, labels, mask.astype(bool))
    scale = output_scale("loss", expected)
    assert expected > 0
    actual = loss_of(task, predictions, labels, mask)
    assert_close(actual.numpy(), expected, quantity="loss", name=task, scale=scale)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("task", REFERENCES)
def test_losses_of_other_tasks_are_float32(task, dtype):
    predictions, labels, mask = other_case(task)
    half = loss_of(task, predictions, labels, mask, dtype)
    rounded = {name: torch.from_numpy(value).to(dtype).float() for name, value in predictions.items()}
    assert half.dtype == torch.float32
    assert torch.equal(half, loss_of(task, rounded, labels, mask))


def span(logits, position, mask=None):
    mask = torch.ones(1, logits.shape[1]) if mask is None else torch.tensor([mask])
    losses, counts = span_cross_entropy(logits, torch.tensor([position]), mask.bool())
    return losses[0].item(), counts[0].item()


def test_positions_of_spans():
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.7]])
    each = (-logits.log_softmax(-1))[0].tolist()
    assert [span(logits, position) for position in range(4)] == [(value, 1) for value in each]
    assert span(logits, -3) == (each[0], 1)
    assert span(logits, 4) == span(logits, 99) == (0, 0)


@pytest.mark.parametrize("mask", [(1, 1, 0, 0), (0, 0, 1, 1), (0, 1, 0, 1)])
def test_spans_see_real_positions_only(mask):
    """Whatever the scores at padding are."""
    real = [at for at in range(4) if mask[at]]
    logits = torch.tensor([[0.3, -1.0, 2.0, 0.7]])
    among = (-logits[:, real].log_softmax(-1))[0].tolist()
    for fill in (0.0, 1e4, -1e4, float("inf")):
        filled = torch.where(torch.tensor([mask]).bool(), logits, fill)
        assert span(filled, 0, mask) == (among[0], 1)  # the context token
        for position in range(1, 4):
            expected = (among[real.index(position)], 1) if mask[position] else (0, 0)
            assert span(filled, position, mask) == expected


def test_padding_of_spans_gets_no_gradient():
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    mask = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 0]]).bool()
    losses, counts = span_cross_entropy(logits, torch.tensor([0, 0]), mask)
    losses.sum().backward()
    assert counts.tolist() == [1, 0]
    assert losses.isfinite().all()
    assert torch.equal(logits.grad != 0, mask)


def test_the_mean_over_parts_is_a_mean_of_means():
    """Start and end count on their own, whatever the other side ignores."""
    parts = [(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0])), (torch.tensor([1.0, 2.0]), torch.ones(2))]
    assert mean_loss(parts).item() == (3 + 1.5) / 2
    assert mean_loss([parts[0], (torch.zeros(2), torch.zeros(2))]).item() == 1.5
