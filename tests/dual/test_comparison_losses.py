"""Losses of texts that are compared with each other, against loops over plain numbers, in both frameworks."""

import math

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core.comparisons import ANCHOR, GROUP_LOSSES, MARGIN, NEGATIVE, POOLINGS, POSITIVE, SCALE, VECTOR_LOSSES
from deberta_dual.pipelines.sentence_modules import POOLINGS as POOLINGS_OF_ROWS

WIDTH = 5
# (group, role, text, score): a pair, two triplets with two negatives, and a pair whose positive is that of the first.
PAIRS = [
    *[(0, ANCHOR, 0, 0.3), (0, POSITIVE, 1, 0.3)],
    *[(1, ANCHOR, 2, 1.0), (1, POSITIVE, 3, 1.0), (1, NEGATIVE, 4, 1.0), (1, NEGATIVE, 0, 1.0)],
    *[(2, ANCHOR, 5, -0.5), (2, POSITIVE, 6, -0.5), (2, NEGATIVE, 7, -0.5), (2, NEGATIVE, 8, -0.5)],
    *[(3, ANCHOR, 9, 0.0), (3, POSITIVE, 1, 0.0)],
]
# (group, relevance): three, two that are equal, one alone, four of which two are equal.
DOCUMENTS = [(0, 1.0), (0, 0.0), (0, 0.25), (1, 2.0), (1, 2.0), (2, 1.0), (3, 0.0), (3, 3.0), (3, 1.0), (3, 1.0)]
LABELS = {**dict.fromkeys(VECTOR_LOSSES, PAIRS), **dict.fromkeys(GROUP_LOSSES, DOCUMENTS)}


def cosine(a, b):
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def groups_of(labels):
    return [[n for n, row in enumerate(labels) if row[0] == group] for group in sorted({row[0] for row in labels})]


def negatives_by_hand(vectors, labels):
    found = []
    for anchor, positive, *_ in groups_of(labels):
        sums = 0.0
        for other, (_, role, text, _) in enumerate(labels):
            if other == positive or (role != ANCHOR and text not in (labels[anchor][2], labels[positive][2])):
                sums += math.exp(SCALE * cosine(vectors[anchor], vectors[other]))
        found.append(math.log(sums) - SCALE * cosine(vectors[anchor], vectors[positive]))
    return np.mean(found)


def cosine_by_hand(vectors, labels):
    pairs = [group[:2] for group in groups_of(labels)]
    return np.mean([(cosine(vectors[a], vectors[b]) - labels[a][3]) ** 2 for a, b in pairs])


def triplet_by_hand(vectors, labels):
    unit = [vector / math.sqrt(vector @ vector) for vector in vectors]
    found = []
    for anchor, positive, *negatives in groups_of(labels):
        for negative in negatives:
            near, far = (float(((unit[anchor] - unit[other]) ** 2).sum()) for other in (positive, negative))
            found.append(max(0.0, near - far + MARGIN))
    return np.mean(found)


def pairwise_by_hand(scores, labels):
    return np.mean(
        [
            math.log1p(math.exp(-(scores[a, 0] - scores[b, 0])))
            for group in groups_of(labels)
            for a in group
            for b in group
            if labels[a][1] > labels[b][1]
        ]
    )


def listwise_by_hand(scores, labels):
    found = []
    for group in groups_of(labels):
        if len(group) > 1:
            wanted = np.exp([labels[n][1] for n in group])
            given = np.exp(scores[group, 0])
            found.append(-(wanted / wanted.sum() * np.log(given / given.sum())).sum())
    return np.mean(found)


BY_HAND = {
    "multiple-negatives": negatives_by_hand,
    "cosine": cosine_by_hand,
    "triplet": triplet_by_hand,
    "pairwise": pairwise_by_hand,
    "listwise": listwise_by_hand,
}


def torch_loss(name, values, labels):
    torch = pytest.importorskip("torch")
    from deberta_torch import comparison_losses, losses

    given = torch.tensor(values, requires_grad=True)
    loss = losses.mean_loss([comparison_losses.COMPARISONS[name](given, torch.tensor(labels))])
    loss.backward()
    return loss.item(), given.grad.numpy()


def keras_loss(name, values, labels):
    pytest.importorskip("keras")
    import tensorflow as tf

    from deberta_tf import comparison_losses, losses

    given = tf.Variable(values)
    with tf.GradientTape() as tape:
        loss = losses.mean_loss([comparison_losses.COMPARISONS[name](given, tf.constant(labels))])
    return float(loss), tf.convert_to_tensor(tape.gradient(loss, given)).numpy()


FRAMEWORKS = {"torch": torch_loss, "tf": keras_loss}


def case(name):
    labels = np.array(LABELS[name], dtype="float32")
    random = np.random.default_rng(3)
    return random.normal(size=(len(labels), 1 if name in GROUP_LOSSES else WIDTH)).astype("float32"), labels


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", BY_HAND)
def test_the_loss_by_hand(name, framework):
    values, labels = case(name)
    found, gradient = FRAMEWORKS[framework](name, values, labels)
    by_hand = BY_HAND[name](values.astype("float64"), LABELS[name])
    assert_close(np.array([found]), np.array([by_hand]), quantity="loss", name=name)
    assert np.isfinite(gradient).all()
    step = 1e-5  # the gradient along itself, by differences
    way = gradient / np.linalg.norm(gradient)
    ahead, behind = (BY_HAND[name](values + side * step * way.astype("float64"), LABELS[name]) for side in (1, -1))
    slope = (ahead - behind) / (2 * step)
    assert_close(np.array([np.linalg.norm(gradient)]), np.array([slope]), quantity="gradient", name=name)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("name", GROUP_LOSSES)
def test_groups_that_teach_nothing(name, framework):
    """A single document, and for pairs documents of one relevance."""
    labels = [(0, 1.0), (1, 0.0)] if name == "listwise" else [(0, 1.0), (0, 1.0), (1, 0.0)]
    loss, gradient = FRAMEWORKS[framework](name, np.ones((len(labels), 1), "float32"), np.array(labels, "float32"))
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_is_that_of_the_pipeline(pooling):
    """With padding on either side."""
    hidden = np.random.default_rng(1).normal(size=(3, 6, 4)).astype("float32")
    mask = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1]]) == 1
    wanted = np.array([POOLINGS_OF_ROWS[pooling](one[real]) for one, real in zip(hidden, mask, strict=True)])
    torch, keras = pytest.importorskip("torch"), pytest.importorskip("keras")
    from deberta_tf.comparison_losses import pool as keras_pool
    from deberta_torch.comparison_losses import pool as torch_pool

    found = torch_pool(torch.tensor(hidden), torch.tensor(mask), pooling).numpy()
    assert_close(found, wanted, quantity="hidden", name="torch")
    found = keras.ops.convert_to_numpy(keras_pool(keras.ops.convert_to_tensor(hidden), mask, pooling))
    assert_close(found, wanted, quantity="hidden", name="keras")
