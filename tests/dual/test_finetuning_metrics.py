"""Scores, against what is counted by hand."""

import numpy as np
import pytest

from deberta_dual.finetuning.metrics import (
    answer_scores,
    classification_scores,
    entities,
    entity_scores,
    multi_label_scores,
    regression_scores,
)


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
    found, wanted = np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 2.0])
    # Around the means 7/3 and 2: (-4/3, -1/3, 5/3) and (-1, 1, 0); their product 1, their squares 42/9 and 2.
    assert regression_scores(found, wanted) == pytest.approx({"pearson": 1 / (28 / 3) ** 0.5, "mse": 5 / 3})
    assert regression_scores(-found, found)["pearson"] == pytest.approx(-1)


def test_regression_of_a_constant():
    assert regression_scores(np.ones(3), np.array([1.0, 2.0, 3.0])) == pytest.approx({"pearson": 0.0, "mse": 5 / 3})


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
