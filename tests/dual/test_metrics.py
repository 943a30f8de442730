"""Scores, against what is counted by hand."""

import numpy as np
import pytest

from deberta_core import DebertaV2Config
from deberta_core.errors import DebertaWarning
from deberta_dual.data.records import Record
from deberta_dual.evaluation.answers import answer_scores, no_answer_threshold
from deberta_dual.evaluation.calibration import calibration_error, cross_entropy, fit_temperature, reliability
from deberta_dual.evaluation.classes import (
    average_precision,
    best_threshold,
    class_scores,
    classification_scores,
    confusion_matrix,
    matthews,
    multi_label_scores,
    roc_auc,
)
from deberta_dual.evaluation.entities import entities, entity_scores, scores_by_name
from deberta_dual.evaluation.judges import JUDGES
from deberta_dual.evaluation.numbers import quadratic_kappa, ranking_scores, regression_scores, spearman


def test_classification():
    found, wanted = np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 2, 2, 0])
    # F1 of 0: 1 of 2 and 2; of 1: 1 of 1 and 2; of 2: 2 of 3 and 2.
    assert classification_scores(found, wanted) == pytest.approx({"accuracy": 4 / 6, "f1": (1 / 2 + 2 / 3 + 4 / 5) / 3})


def test_a_class_that_is_never_found_counts_and_one_that_does_not_occur_does_not():
    scores = classification_scores(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 3]))
    assert scores == pytest.approx({"accuracy": 3 / 4, "f1": (6 / 7 + 0) / 2})


def test_one_class_alone():
    assert classification_scores(np.array([1, 1]), np.array([1, 1])) == {"accuracy": 1.0, "f1": 1.0}


def test_multi_label():
    found = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]]) > 0
    wanted = np.array([[1, 0, 0], [0, 0, 0], [0, 1, 1]]) > 0
    assert multi_label_scores(found, wanted) == pytest.approx({"f1": 2 * 3 / (4 + 3), "accuracy": 2 / 3})


def test_multi_label_without_any():
    assert multi_label_scores(np.zeros((2, 3), bool), np.zeros((2, 3), bool)) == {"f1": 0.0, "accuracy": 1.0}


def test_regression():
    found, wanted = np.array([[1.0], [2.0], [4.0]]), np.array([[1.0], [3.0], [2.0]])
    # Around the means 7/3 and 2: (-4/3, -1/3, 5/3) and (-1, 1, 0); their product 1, their squares 42/9 and 2.
    assert regression_scores(found, wanted) == pytest.approx({"pearson": 1 / (28 / 3) ** 0.5, "mse": 5 / 3})
    assert regression_scores(-found, found)["pearson"] == pytest.approx(-1)


def test_regression_of_a_constant():
    assert regression_scores(np.ones((3, 1)), np.array([[1.0], [2.0], [3.0]])) == pytest.approx(
        {"pearson": 0.0, "mse": 5 / 3}
    )


# Labels of words, with one blank between them -> what `conlleval`, and seqeval by default, make of them.
ENTITIES = {
    "": set(),
    "O O": set(),
    "B-A": {("A", 0, 1)},
    "B-A I-A O": {("A", 0, 2)},
    "B-A B-A": {("A", 0, 1), ("A", 1, 2)},
    "B-A I-A B-A I-A": {("A", 0, 2), ("A", 2, 4)},
    "B-A I-B": {("A", 0, 1), ("B", 1, 2)},
    "O I-A I-A": {("A", 1, 3)},
    "I-A O I-A": {("A", 0, 1), ("A", 2, 3)},
    "I-A I-B I-B": {("A", 0, 1), ("B", 1, 3)},
    "I-A B-A": {("A", 0, 1), ("A", 1, 2)},
    "B-A I-A": {("A", 0, 2)},
    "B-a-b I-a-b": {("a-b", 0, 2)},
    "A A O A": {("A", 0, 2), ("A", 3, 4)},  # without prefixes
    "A B B": {("A", 0, 1), ("B", 1, 3)},
    "A B-A I-A A": {("A", 0, 1), ("A", 1, 3), ("A", 3, 4)},
    "S-A S-A": {("A", 0, 1), ("A", 1, 2)},  # BIOES
    "B-A I-A E-A I-A": {("A", 0, 3), ("A", 3, 4)},
    "B-A L-A U-A": {("A", 0, 2), ("A", 2, 3)},  # BILOU
    "O E-A E-A": {("A", 1, 2), ("A", 2, 3)},
    "X-A X-A": {("X-A", 0, 2)},  # a prefix that nobody knows is a part of the name
}


@pytest.mark.parametrize("labels", ENTITIES)
def test_entities(labels):
    assert entities(labels.split()) == ENTITIES[labels]


def test_entity_scores():
    wanted = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-PER", "O"]]
    found = [["B-PER", "I-PER", "O", "B-PER"], ["B-LOC", "B-PER", "I-PER"]]
    # Right: (PER, 0, 2) of the first text alone. Found are 2 + 2, true 2 + 1; of the words 3 + 1 of 7 are right.
    assert entity_scores(found, wanted) == pytest.approx(
        {"precision": 1 / 4, "recall": 1 / 3, "f1": 2 / 7, "accuracy": 4 / 7}
    )


def test_the_same_entity_in_another_text_is_another():
    scores = entity_scores([["B-A"], ["O"]], [["O"], ["B-A"]])
    assert scores == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "accuracy": 0.0}


def test_no_entity_at_all():
    assert entity_scores([["O", "O"]], [["O", "O"]]) == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "accuracy": 1.0}


# Answer, true answers, exact match, F1: as SQuAD's script says.
ANSWERS = {
    "equal": ("hills", ["hills"], 1, 1),
    "letters, articles and punctuation": ("The  Old-Town!", ["an oldtown"], 1, 1),
    "an article within a word stays": ("theatre", ["atre"], 0, 0),
    "overlap": ("in the old town", ["old town hall"], 0, 2 * 2 / (3 + 3)),
    "a word twice counts as often": ("mill mill mill", ["mill mill bridge"], 0, 2 * 2 / 6),
    "the best of several": ("old town", ["river", "the old town", "old"], 1, 1),
    "each score has its best": ("old town", ["town old", "old"], 0, 1),
    "none, and rightly": ("", [], 1, 1),
    "none, wrongly": ("", ["hills"], 0, 0),
    "one where there is none": ("hills", [], 0, 0),
    "nothing but an article": ("the", [], 1, 1),
    "other letters": ("Zürich 東京", ["zürich 東京"], 1, 1),
}


@pytest.mark.parametrize(("answer", "truths", "exact", "overlap"), ANSWERS.values(), ids=ANSWERS)
def test_answers(answer, truths, exact, overlap):
    assert answer_scores([answer], [truths]) == pytest.approx({"exact_match": exact, "f1": overlap})


def test_answers_are_averaged():
    assert answer_scores(["a b c", "x"], [["b"], ["y"]]) == pytest.approx({"exact_match": 0, "f1": (2 / 3) / 2})


def test_entities_by_name():
    rows = scores_by_name([["B-A", "B-B", "O"]], [["B-A", "O", "B-B"]])
    assert rows == {
        "A": {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 1},
        "B": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
    }


def test_when_to_give_no_answer():
    # Answering the two with the lowest margins is right once and wrong once; the third has no answer.
    threshold, f1 = no_answer_threshold(["a", "x", "y"], [["a"], ["b"], []], [0.1, 0.2, 0.9])
    assert (threshold, f1) == (0.1, pytest.approx(2 / 3))
    assert no_answer_threshold(["x"], [[]], [0.5]) == (-0.5, 1.0)


@pytest.fixture(scope="module")
def sklearn():
    """The module `sklearn.metrics`, which judges ours."""
    return pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("seed", range(5))
def test_classes_against_scikit_learn(sklearn, seed):
    random = np.random.default_rng(seed)
    found, wanted = random.integers(0, 4, 60), random.integers(0, 4, 60)
    wanted[:30] = found[:30]
    matrix = confusion_matrix(found, wanted, 5)
    np.testing.assert_array_equal(matrix, sklearn.confusion_matrix(wanted, found, labels=range(5)))
    report = sklearn.classification_report(wanted, found, output_dict=True)
    for number, row in enumerate(class_scores(matrix)[:4]):
        theirs = report[str(number)]
        assert row == pytest.approx({key: theirs[other] for key, other in SKLEARN_NAMES.items()})
    assert matthews(matrix) == pytest.approx(sklearn.matthews_corrcoef(wanted, found))
    assert classification_scores(found, wanted)["f1"] == pytest.approx(sklearn.f1_score(wanted, found, average="macro"))
    assert quadratic_kappa(found, wanted) == pytest.approx(
        sklearn.cohen_kappa_score(found, wanted, weights="quadratic")
    )


SKLEARN_NAMES = {"precision": "precision", "recall": "recall", "f1": "f1-score", "support": "support"}


@pytest.mark.parametrize("seed", range(5))
def test_areas_against_scikit_learn(sklearn, seed):
    random = np.random.default_rng(seed)
    scores, wanted = random.integers(0, 9, 50) / 8, random.random(50) < 0.4  # with ties
    assert roc_auc(scores, wanted) == pytest.approx(sklearn.roc_auc_score(wanted, scores))
    assert average_precision(scores, wanted) == pytest.approx(sklearn.average_precision_score(wanted, scores))
    threshold, f1 = best_threshold(scores, wanted)
    assert f1 == pytest.approx(max(sklearn.f1_score(wanted, scores >= one) for one in np.unique(scores)))
    assert f1 == pytest.approx(sklearn.f1_score(wanted, scores >= threshold))
    relevances = random.integers(0, 4, 50).astype(float)
    gains = 2.0 ** relevances[None] - 1
    ours = ranking_scores([random.permutation(50) + 0.0], [relevances])
    assert 0 < ours["ndcg@10"] <= 1
    distinct = random.permutation(50) + 0.0
    ours = ranking_scores([distinct], [relevances])
    assert ours["ndcg@10"] == pytest.approx(sklearn.ndcg_score(gains, distinct[None], k=10))
    assert ours["map"] == pytest.approx(sklearn.average_precision_score(relevances > 0, distinct))


def test_spearman_against_scipy():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    a, b = random.integers(0, 6, 40) + 0.0, random.integers(0, 6, 40) + 0.0
    assert spearman(a[:, None], b[:, None]) == pytest.approx(stats.spearmanr(a, b).statistic)


def test_areas_of_one_class_alone_are_no_numbers():
    assert np.isnan(roc_auc(np.array([0.1, 0.2]), np.array([True, True])))
    assert np.isnan(average_precision(np.array([0.1, 0.2]), np.array([False, False])))


def test_ranks():
    scores, relevances = np.array([0.9, 0.5, 0.7]), np.array([0.0, 2.0, 0.0])
    # The relevant document is third: 1/3; its gain 3 / log2(4), the best 3 / log2(2).
    assert ranking_scores([scores], [relevances]) == pytest.approx({"mrr@10": 1 / 3, "ndcg@10": 0.5, "map": 1 / 3})
    assert ranking_scores([scores], [relevances], depth=2) == pytest.approx({"mrr@2": 0, "ndcg@2": 0, "map": 1 / 3})
    assert set(ranking_scores([scores], [np.zeros(3)]).values()) == {0.0}


def test_grades_that_agree_by_more_than_chance():
    assert quadratic_kappa(np.array([1, 2, 3]), np.array([1, 2, 3])) == 1.0
    assert quadratic_kappa(np.array([2, 2]), np.array([2, 2])) == 1.0
    assert quadratic_kappa(np.array([3, 2, 1]), np.array([1, 2, 3])) == pytest.approx(-1.0)


def test_calibration():
    confidences, right = np.array([0.95, 0.95, 0.55, 0.55]), np.array([1.0, 0.0, 1.0, 1.0])
    # Two bins of two answers: |0.95 - 0.5| / 2 + |0.55 - 1| / 2.
    assert calibration_error(confidences, right) == pytest.approx(0.45)
    assert reliability(confidences, right) == [(pytest.approx(0.55), 1.0, 2), (pytest.approx(0.95), 0.5, 2)]


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(true):
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = (shares.cumsum(axis=1) > random.random((20_000, 1))).argmax(axis=1)
    found = fit_temperature(logits * true, wanted)
    assert abs(np.log(found / true)) < 0.05
    best = cross_entropy(logits * true / found, wanted)
    assert best <= min(cross_entropy(logits * true / found * step, wanted) for step in (0.99, 1.01))


@pytest.mark.filterwarnings("error")
def test_classes_of_which_the_model_has_none():
    """All wrong; there is no loss, and nothing to calibrate by."""
    config = DebertaV2Config(
        hidden_size=8, num_attention_heads=1, problem_type="single_label_classification", id2label={0: "a", 1: "b"}
    )
    records = [Record({"text": "t", "label": label}, f"f, line {line}", line) for line, label in ((2, "c"), (3, "d"))]
    with pytest.warns(DebertaWarning, match="is none of the model's"):
        found = JUDGES["text-classification"](config, np.array([[1.0, 0.0], [0.0, 1.0]]), records)
    assert np.isnan(found.metrics["loss"])
    assert (found.metrics["micro_f1"], found.metrics["ece"], found.temperature) == (0.0, 0.0, None)
    assert "calibrated_loss" not in found.metrics
