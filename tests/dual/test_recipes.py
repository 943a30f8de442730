"""Recipes of fine-tuning: what is refused, and what both frameworks have."""

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, InputError
from deberta_dual.finetuning import TrainingOptions, finetune
from deberta_dual.finetuning.class_weights import label_weight, loss_options
from tests.finetuning_data import QUIET, small_start, write_examples

NAMES = {0: "bad", 1: "good", 2: "fair"}
FEATURES = [{"labels": label} for label in (0, 0, 0, 1)] + [{"labels": [1, -100, 0]}]


def options(**settings):
    return loss_options(TrainingOptions(**settings), FEATURES, DebertaV2Config(id2label=NAMES))


def test_weights_of_classes():
    """Four labels are of the first class, two of the second; the third counts as if it had one."""
    assert options().class_weights is None
    assert options(class_weights="balanced").class_weights == (6 / 12, 6 / 6, 6 / 3)
    found = options(class_weights={"good": 2, "Bad": 0.5, "fair": 0})
    assert found.class_weights == (0.5, 2.0, 0.0)
    weigh = label_weight(found)
    assert [weigh(feature) for feature in FEATURES] == [0.5, 0.5, 0.5, 2.0, 2.5]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": {"good": 1, "bad": 1}}, "class_weights has none for fair"),
        ({"class_weights": {"good": 1, "bad": 1, "ugly": 1}}, "'ugly' is none of the classes"),
        ({"class_weights": {"good": -1}}, r"class_weights\['good'\]=-1"),
        ({"class_weights": "equal"}, "class_weights='equal'"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"label_smoothing": 0.1, "focal_loss": 2.0}, "Give one of label_smoothing, focal_loss"),
        ({"ema": True}, "ema=True"),
        ({"awp_start": 3}, "awp_start=3 needs awp"),
    ],
)
def test_values_that_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        options(**settings)


@pytest.mark.parametrize(
    ("task", "framework", "settings", "message"),
    [
        ("question-answering", "torch", {"label_smoothing": 0.1}, "label_smoothing=0.1 is not for question answering"),
        ("reward", "torch", {"r_drop": 1.0}, "r_drop=1.0 is not for texts that are compared"),
        ("text-classification", "tf", {"r_drop": 1.0}, "r_drop=1.0 is not there in Keras"),
        ("text-classification", "tf", {"sift": 5.0}, "sift=5.0 is not there in Keras"),
        ("text-classification", "tf", {"awp": 0.01, "awp_start": 2}, "awp=0.01 is not there in Keras"),
        ("text-classification", "tf", {"ema": 0.9}, "ema=0.9 is not there in Keras"),
    ],
)
def test_uses_that_are_refused(task, framework, settings, message, prose, small_tokenizer, tmp_path):
    file = write_examples(tmp_path, task, prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer)
    with pytest.raises(InputError, match=message):
        finetune(task, file, tmp_path / "out", start, TrainingOptions(**settings), framework=framework)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "settings",
    [{"class_weights": {"long": 1, "short": 4, "even": 0.5}}, {"class_weights": "balanced", "focal_loss": 2.0}],
)
def test_both_frameworks_learn_alike(settings, prose, small_tokenizer, tmp_path):
    file = write_examples(tmp_path, "text-classification", prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    training = {"epochs": 1, "batch_size": 6, "accumulation": 2, "learning_rate": 1e-3}
    losses = {}
    for name in ("torch", "tf", "plain"):
        own = TrainingOptions(**training, **({} if name == "plain" else settings))
        framework = "torch" if name == "plain" else name
        rows = finetune("text-classification", file, tmp_path / name, start, own, framework=framework, device="cpu")
        losses[name] = np.array([rows[0]["loss"]])
    assert_close(losses["tf"], losses["torch"], quantity="training curve, AdamW", name="loss")
    assert losses["plain"] != losses["torch"]
