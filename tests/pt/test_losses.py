"""The losses against the reference, their dtype, and what ignored labels do."""

import numpy as np
import pytest
import torch

from conformance.suite.cases import CASES, LABEL_SETTINGS, random_labels
from conformance.suite.compare import assert_close, output_scale
from deberta_core import reference
from deberta_torch.losses import cross_entropy, mean_loss, sequence_classification_losses

TASK = "sequence_classification"
SETTINGS = LABEL_SETTINGS[TASK]


def case(setting: str, seed: int = 0):
    config = CASES["v3_like"].config.replace(**SETTINGS[setting])
    logits = 3 * np.random.default_rng(seed).standard_normal((5, config.num_labels)).astype(np.float32)
    return config, logits, random_labels(config, TASK, setting, 5, seed)["labels"]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("seed", range(3))
def test_against_the_reference(setting, seed):
    config, logits, labels = case(setting, seed)
    expected = reference.sequence_classification_loss(config, {"logits": logits.astype(float)}, labels)
    losses, counts = sequence_classification_losses(config, torch.from_numpy(logits), torch.from_numpy(labels))
    assert losses.shape == counts.shape == (5,)
    assert_close(
        mean_loss(losses, counts).numpy(), expected, quantity="loss", name=setting, scale=output_scale("loss", expected)
    )


@pytest.mark.parametrize("setting", SETTINGS)
def test_labels_of_any_number_type(setting):
    config, logits, labels = case(setting)
    kinds = [torch.float32, torch.float64] if labels.dtype.kind == "f" else [torch.int32, torch.int64, torch.float32]
    results = [
        mean_loss(*sequence_classification_losses(config, torch.from_numpy(logits), torch.from_numpy(labels).to(kind)))
        for kind in kinds
    ]
    assert len({float(result) for result in results}) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("setting", SETTINGS)
def test_losses_of_half_precision_logits_are_float32(setting, dtype):
    config, logits, labels = case(setting)
    half = torch.from_numpy(logits).to(dtype)
    loss = mean_loss(*sequence_classification_losses(config, half, torch.from_numpy(labels)))
    assert loss.dtype == torch.float32
    expected = mean_loss(*sequence_classification_losses(config, half.float(), torch.from_numpy(labels)))
    assert float(loss) == float(expected)


def test_ignored_labels_give_zero_loss_and_gradient():
    logits = torch.tensor([[1e4, -1e4], [float("-inf"), 0.0]], requires_grad=True)
    loss = mean_loss(*cross_entropy(logits, torch.tensor([-100, -1])))
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(logits.grad, torch.zeros(2, 2))


def test_the_mean_is_over_labels_that_count():
    logits = torch.zeros(4, 2)
    losses, counts = cross_entropy(logits, torch.tensor([[0], [-100], [1], [-100]]))
    assert counts.tolist() == [1, 0, 1, 0]
    assert losses[1] == 0
    assert float(mean_loss(losses, counts)) == float(torch.tensor(2.0).log())
