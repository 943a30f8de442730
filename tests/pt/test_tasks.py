"""Sequence classification: outputs, labels, the context token."""

import pytest
import torch

from conformance.suite.cases import CASES
from deberta_core import InputError
from deberta_torch import DebertaV2ForSequenceClassification, SequenceClassifierOutput

CONFIG = CASES["v3_like"].config.replace(num_labels=3)
IDS = torch.arange(14).reshape(2, 7) + 5
LABELS = torch.tensor([2, 0])


def make(**changes) -> DebertaV2ForSequenceClassification:
    torch.manual_seed(0)
    return DebertaV2ForSequenceClassification(CONFIG.replace(initializer_range=0.3, **changes)).eval()


def test_named_outputs():
    model = make()
    output = model(IDS)
    assert isinstance(output, SequenceClassifierOutput)
    assert list(output.keys()) == ["logits"]
    assert output.loss is None
    assert output.logits.shape == (2, 3)
    output = model(IDS, labels=LABELS, output_hidden_states=True, output_attentions=True)
    assert list(output.keys()) == ["loss", "logits", "hidden_states", "attentions"]
    assert output.loss.shape == ()
    assert len(output.hidden_states) == CONFIG.num_hidden_layers + 1
    assert len(output.attentions) == CONFIG.num_hidden_layers
    loss, logits = model(IDS, labels=LABELS, return_dict=False)
    assert torch.equal(loss, output.loss)
    assert torch.equal(logits, output.logits)


def test_the_loss_is_that_of_the_logits():
    output = make()(IDS, labels=LABELS)
    assert torch.equal(output.loss, torch.nn.functional.cross_entropy(output.logits, LABELS))


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({}, torch.tensor([0, 3]), r"labels holds 3: a class must be an integer in \[0, 3\)"),
        ({}, torch.tensor([0, 1, 2]), r"labels has shape \(3,\), but single_label_classification"),
        ({"problem_type": "multi_label_classification"}, LABELS, r"takes \(2, 3\)"),
        ({}, [0, 1], "labels is a list"),
    ],
)
def test_labels_that_are_refused(changes, labels, message):
    with pytest.raises(InputError, match=message):
        make(**changes)(IDS, labels=labels)


def test_regression_logits_keep_their_shape():
    model = make(num_labels=1)
    assert model(IDS).logits.shape == (2, 1)
    assert model(IDS, labels=torch.tensor([0.5, 1.0])).logits.shape == (2, 1)


def test_ignored_labels_give_no_gradient():
    model = make()
    output = model(IDS, labels=torch.tensor([-100, -100]))
    output.loss.backward()
    assert output.loss.item() == 0.0
    assert not any(parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)


def test_the_context_token_is_the_first_real_one():
    """The logits are those of the hidden state at it, whatever is at index 0."""
    model = make(pooler_hidden_act="linear")
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0]])
    output = model(IDS, mask, output_hidden_states=True)
    context = output.hidden_states[-1][[0, 1], [2, 0]]
    assert torch.equal(output.logits, model.classifier(model.pooler.dense(context)))
    changed = torch.where(mask == 1, IDS, 1)
    assert torch.equal(model(changed, mask).logits, output.logits)


def test_a_step_of_training_lowers_the_loss():
    model = make(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    before = model(IDS, labels=LABELS).loss
    before.backward()
    optimizer.step()
    unused = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert unused == set()
    assert model(IDS, labels=LABELS).loss < before
