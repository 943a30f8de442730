"""The losses of the reference, computed by hand."""

import math

import numpy as np
import pytest

from deberta_core import DebertaV2Config, InputError, reference
from deberta_core.initialization import draw_parameters
from deberta_core.parameters import expand
from deberta_core.tasks import sequence_problem

LOGITS = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
MASK = np.ones((2, 5), bool)


def log_probability(row: int, label: int) -> float:
    return LOGITS[row, label] - math.log(sum(math.exp(value) for value in LOGITS[row]))


def loss(labels, logits=LOGITS, **changes) -> float:
    config = DebertaV2Config(**{"num_labels": logits.shape[1]} | changes)
    result = reference.sequence_classification_loss(config, {"logits": logits}, {"labels": np.asarray(labels)}, MASK)
    assert result.shape == ()
    return float(result)


def test_cross_entropy():
    assert loss([1, 2]) == pytest.approx(-(log_probability(0, 1) + log_probability(1, 2)) / 2)
    assert loss([[1], [2]]) == loss([1, 2])
    single = {"problem_type": "single_label_classification"}
    assert loss([1, -100], **single) == pytest.approx(-log_probability(0, 1))
    assert loss([-1, 0]) == pytest.approx(-log_probability(1, 0))  # problem_type not given: below 0 is ignored


@pytest.mark.parametrize("changes", [{}, {"problem_type": "single_label_classification"}])
def test_cross_entropy_with_every_label_ignored_is_zero(changes):
    assert loss([-100, -100], **changes) == 0.0


def test_soft_cross_entropy():
    labels = [[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]
    first = -(0.2 * log_probability(0, 0) + 0.3 * log_probability(0, 1) + 0.5 * log_probability(0, 2))
    assert loss(labels) == pytest.approx((first - log_probability(1, 0)) / 2)


def test_binary_cross_entropy():
    labels = np.array([[0, 1, 1], [1, 0, 0]])
    probability = 1 / (1 + np.exp(-LOGITS))
    expected = -np.mean(np.where(labels == 1, np.log(probability), np.log(1 - probability)))
    assert loss(labels, problem_type="multi_label_classification") == pytest.approx(expected)
    far = np.array([[-1e4, 1e4]])
    assert loss([[0, 1]], far, problem_type="multi_label_classification") == 0.0
    assert loss([[1, 0]], far, problem_type="multi_label_classification") == 1e4


def test_mean_squared_error():
    numbers = np.array([[1.0], [3.0]])
    assert loss([0.0, 1.0], numbers) == loss([[0.0], [1.0]], numbers) == 2.5
    labels = [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]
    assert loss(labels, problem_type="regression") == pytest.approx((0 + 1 + 0.25 + 0 + 1 + 9) / 6)


@pytest.mark.parametrize(
    ("changes", "shape", "problem"),
    [
        ({"num_labels": 1}, (4,), "regression"),
        ({"num_labels": 1}, (4, 1), "regression"),
        ({"num_labels": 3}, (4,), "single_label_classification"),
        ({"num_labels": 3}, (4, 1), "single_label_classification"),
        ({"num_labels": 3}, (4, 3), "soft_labels"),
        ({"num_labels": 3, "problem_type": "regression"}, (4, 3), "regression"),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, (4, 3), "multi_label_classification"),
        ({"num_labels": 1, "problem_type": "single_label_classification"}, (4,), "single_label_classification"),
    ],
)
def test_which_loss(changes, shape, problem):
    assert sequence_problem(DebertaV2Config(**changes), shape) == problem


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("problem", ["regression", "multi_label_classification", None])
def test_the_loss_has_the_dtype_of_the_logits(dtype, problem):
    config = DebertaV2Config(num_labels=3, problem_type=problem)
    outputs = {"logits": LOGITS.astype(dtype)}
    result = reference.sequence_classification_loss(config, outputs, {"labels": np.full((2, 3), 1 / 3)}, MASK)
    assert result.dtype == np.dtype(dtype)


# Tokens, choices and spans


def test_labels_of_tokens():
    """A mean over the labels that count, not over texts."""
    logits = np.stack([LOGITS, LOGITS[::-1]])
    labels = np.array([[1, -100], [2, 0]])
    expected = -(log_probability(0, 1) + log_probability(1, 2) + log_probability(0, 0)) / 3
    result = reference.label_loss(DebertaV2Config(), {"logits": logits}, {"labels": labels}, MASK)
    assert float(result) == pytest.approx(expected)
    ignored = {"labels": np.full((2, 2), -100)}
    assert float(reference.label_loss(DebertaV2Config(), {"logits": logits}, ignored, MASK)) == 0.0


SPAN_LOGITS = np.array([[0.3, -1.0, 2.0, 0.7, -0.2]])


def span(position, mask=(1, 1, 1, 1, 1)) -> float:
    real = np.array([mask], bool)
    return float(reference.span_cross_entropy(SPAN_LOGITS, np.array([position]), real))


def by_hand(position, real) -> float:
    return math.log(sum(math.exp(SPAN_LOGITS[0, at]) for at in real)) - SPAN_LOGITS[0, position]


def test_spans():
    assert span(3) == pytest.approx(by_hand(3, range(5)))
    assert span(-7) == span(0) == pytest.approx(by_hand(0, range(5)))  # clipped
    assert span(5) == span(6) == span(1000) == 0.0  # beyond the text: ignored
    for mask in [(1, 1, 1, 0, 0), (0, 0, 1, 1, 1), (1, 0, 1, 0, 1)]:
        real = [at for at in range(5) if mask[at]]
        for position in range(1, 5):
            expected = by_hand(position, real) if mask[position] else 0.0  # on padding: ignored
            assert span(position, mask) == pytest.approx(expected)
        assert span(0, mask) == pytest.approx(by_hand(real[0], real))  # no answer: the context token
    assert span(0, (0, 0, 0, 0, 0)) == span(2, (0, 0, 0, 0, 0)) == 0.0


def test_padding_does_not_change_the_loss_of_a_span():
    longer = np.concatenate([SPAN_LOGITS, np.full((1, 2), 50.0)], axis=1)
    mask = np.array([[1, 1, 1, 1, 1, 0, 0]], bool)
    assert float(reference.span_cross_entropy(longer, np.array([3]), mask)) == pytest.approx(span(3))


def test_question_answering_is_the_mean_of_both_sides():
    """Each side is a mean over its own positions that count."""
    outputs = {"start_logits": np.repeat(SPAN_LOGITS, 2, axis=0), "end_logits": np.repeat(SPAN_LOGITS, 2, axis=0)}
    labels = {"start_positions": np.array([1, 5]), "end_positions": np.array([2, 3])}
    expected = (by_hand(1, range(5)) + (by_hand(2, range(5)) + by_hand(3, range(5))) / 2) / 2
    result = reference.question_answering_loss(DebertaV2Config(), outputs, labels, MASK)
    assert result.shape == ()
    assert float(result) == pytest.approx(expected)
    ignored = dict.fromkeys(labels, np.array([5, 9]))
    assert float(reference.question_answering_loss(DebertaV2Config(), outputs, ignored, MASK)) == 0.0


def test_labels_at_padding_may_be_ignored():
    config = DebertaV2Config(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=12, num_labels=3
    )
    parameters = draw_parameters(config, "token_classification", expand(config, "token_classification"), seed=0)
    inputs = {"input_ids": [[1, 2, 3]], "attention_mask": [[1, 1, 0]], "labels": [[0, 2, 1]]}
    with pytest.raises(InputError, match="at a padding position"):
        reference.forward(config, parameters, inputs, "token_classification")
    ignoring = reference.forward(config, parameters, inputs, "token_classification", labels_at_padding="ignore")
    right = reference.forward(config, parameters, inputs | {"labels": [[0, 2, -100]]}, "token_classification")
    assert ignoring["loss"] == right["loss"]
    with pytest.raises(InputError, match="labels_at_padding='no' is unknown"):
        reference.forward(config, parameters, inputs, "token_classification", labels_at_padding="no")
