"""Recipes of fine-tuning: what is refused, and what both frameworks have."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, InputError
from deberta_dual import pipeline
from deberta_dual.backends import get_backend
from deberta_dual.data.records import Record
from deberta_dual.finetuning import Start, TrainingOptions, finetune
from deberta_dual.finetuning.class_weights import label_weight, loss_options
from deberta_dual.finetuning.tasks.text_classification import TextClassification
from deberta_dual.finetuning.teacher import add_teacher
from deberta_torch import DebertaV2ForSequenceClassification
from tests.finetuning_data import QUIET, SIZES, small_start, write_examples

TASK = "text-classification"
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
        ({"teacher_temperature": 3.0}, "teacher_temperature=3.0 needs teacher"),
        ({"keep_adapter": True}, "keep_adapter=True needs lora_rank"),
        ({"lora_rank": 2, "frozen_layers": 1}, "Leave frozen_layers out"),
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
        ("ranking", "torch", {"teacher": "somewhere"}, "teacher='somewhere' is not for"),
        ("text-classification", "torch", {"frozen_layers": 3}, "frozen_layers=3 is more than the 2 that may be"),
        ("sentence-embeddings", "torch", {"frozen_layers": 2}, "frozen_layers=2 is more than the 1 that may be"),
        ("text-classification", "tf", {"awp": 0.01, "accumulation": 2}, "awp=0.01 needs whole steps in Keras"),
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
    [
        {"class_weights": {"long": 1, "short": 4, "even": 0.5}},
        {"class_weights": "balanced", "focal_loss": 2.0, "accumulation": 2, "r_drop": 1.0},
        {"frozen_layers": 1, "awp": 0.05, "awp_start": 1, "ema": 0.5},
        {"teacher": "teacher", "teacher_temperature": 3.0},
    ],
)
def test_both_frameworks_learn_alike(settings, prose, small_tokenizer, tmp_path):
    file = write_examples(tmp_path, "text-classification", prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    training = {"epochs": 1, "batch_size": 6, "learning_rate": 1e-3}
    if "teacher" in settings:
        make_teacher(tmp_path / "teacher", small_tokenizer, ("long", "short", "even"))
        settings = {**settings, "teacher": str(tmp_path / "teacher")}
    losses = {}
    for name in ("torch", "tf", "plain"):
        own = TrainingOptions(**training, **({} if name == "plain" else settings))
        framework = "torch" if name == "plain" else name
        rows = finetune("text-classification", file, tmp_path / name, start, own, framework=framework, device="cpu")
        losses[name] = np.array([rows[0]["loss"]])
    assert_close(losses["tf"], losses["torch"], quantity="training curve, AdamW", name="loss")
    assert losses["plain"] != losses["torch"]


@pytest.mark.parametrize("framework", ["torch", "tf"])
def test_a_teacher_is_learned(framework, prose, small_tokenizer, tmp_path):
    """With all the weight on a teacher, the labels of the data are not looked at."""
    file = write_examples(tmp_path, TASK, prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    training = TrainingOptions(epochs=1, batch_size=15, learning_rate=1e-3)
    make_teacher(tmp_path / "teacher", small_tokenizer, ("even", "long", "short"))
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    turned = {"long": "short", "short": "even", "even": "long"}
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text("\n".join(json.dumps({**one, "label": turned[one["label"]]}) for one in lines), encoding="utf-8")
    settings = {"framework": framework, "device": "cpu"}
    own = replace(training, teacher=str(tmp_path / "teacher"), teacher_weight=1.0)
    for name, data in {"right": file, "turned": wrong}.items():
        finetune(TASK, data, tmp_path / name, start, own, **settings)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("right", "turned"))
    for name, array in first.items():
        assert np.array_equal(array, second[name]), name
    finetune(TASK, file, tmp_path / "alone", start, training, **settings)
    assert not np.array_equal(
        first["classifier.bias"], load_file(tmp_path / "alone" / "model.safetensors")["classifier.bias"]
    )


def test_a_teacher_of_other_classes_is_refused(prose, small_tokenizer, tmp_path):
    file = write_examples(tmp_path, TASK, prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    make_teacher(tmp_path / "teacher", small_tokenizer, ("even", "long", "short"))
    other = tmp_path / "other.jsonl"
    other.write_text(file.read_text(encoding="utf-8").replace('"even"', '"odd"'), encoding="utf-8")
    own = TrainingOptions(teacher=str(tmp_path / "teacher"))
    with pytest.raises(InputError, match=r"has the classes .*even.*, and the data .*odd"):
        finetune(TASK, other, tmp_path / "out", start, own, framework="torch", device="cpu")
    assert not (tmp_path / "out").exists()


def make_teacher(folder, tokenizer, names, **changes):
    """A classifier with random weights and these classes."""
    torch.manual_seed(1)
    own = {**SIZES, **QUIET, "initializer_range": 0.5, "vocab_size": len(tokenizer)}
    config = DebertaV2Config(**own, id2label=dict(enumerate(names)), **changes)
    DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("own", "theirs", "order"),
    [
        (("a", "b", "c"), ("C", "a", "B"), (1, 2, 0)),
        (("LABEL_0", "LABEL_1", "LABEL_2"), ("even", "long", "short"), (0, 1, 2)),
    ],
)
@pytest.mark.parametrize("choices", [{}, {"long_texts": "windows"}])
def test_what_a_teacher_says(own, theirs, order, choices, prose, small_tokenizer, tmp_path):
    """Its logits in the order of the data's classes; of a text in windows, those of the mean of the probabilities."""
    make_teacher(tmp_path, small_tokenizer, theirs)
    records = [Record({"text": " ".join(prose[n : n + 3]), "label": own[n % 3]}, "", n) for n in range(4)]
    config = DebertaV2Config(id2label=dict(enumerate(own)), problem_type="single_label_classification")
    work = TextClassification(small_tokenizer, max_length=32, batch_size=3, **choices)
    features = work.features(records, config)
    assert (len(features) > 4) == bool(choices)
    rows = add_teacher(features, records, work, config, str(tmp_path), get_backend("torch"), "cpu")
    settings = {"long_texts": "windows"} if choices else {"truncation": True}
    ask = pipeline(TASK, tmp_path, framework="torch", device="cpu", max_length=32, top_k=None, **settings)
    scores = [{one["label"]: one["score"] for one in row} for row in ask([one.values["text"] for one in records])]
    for feature, row in zip(features, rows, strict=True):
        given = np.exp(row.pop("teacher_logits"))
        assert row == feature
        found = scores[feature.get("record", features.index(feature))]
        wanted = np.array([found[theirs[place]] for place in order])
        assert_close(given / given.sum(), wanted, quantity="pipeline", name="teacher")


def test_a_teacher_of_another_problem_is_refused(prose, small_tokenizer, tmp_path):
    file = write_examples(tmp_path, TASK, prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    make_teacher(tmp_path / "teacher", small_tokenizer, NAMES.values(), problem_type="regression")
    own = TrainingOptions(teacher=str(tmp_path / "teacher"))
    message = "is for regression, and the data for single_label_classification. Give another"
    with pytest.raises(InputError, match=message):
        finetune(TASK, file, tmp_path / "out", start, own, framework="torch", device="cpu")
    assert not (tmp_path / "out").exists()


def test_frozen_layers_and_all_below_stay(prose, small_tokenizer, tmp_path):
    file = write_examples(tmp_path, TASK, prose)
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    training = TrainingOptions(epochs=1, batch_size=15, learning_rate=1e-3)
    finetune(TASK, file, tmp_path / "first", start, training, framework="torch", device="cpu")
    before = load_file(tmp_path / "first" / "model.safetensors")
    for framework in ("torch", "tf"):
        own = replace(training, frozen_layers=1)
        again = Start(model=tmp_path / "first")
        finetune(TASK, file, tmp_path / framework, again, own, framework=framework, device="cpu")
        after = load_file(tmp_path / framework / "model.safetensors")
        same = {name for name in before if np.array_equal(before[name], after[name])}
        above = ("deberta.encoder.layer.1.", "pooler.", "classifier.")
        assert same == {name for name in before if not name.startswith(above)}
