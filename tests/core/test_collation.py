"""Padding collators, on texts of the small vocabulary."""

import numpy as np
import pytest

from deberta_core import (
    DataCollatorForMultipleChoice,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    InputError,
)
from deberta_core.tokenization import DebertaV2Tokenizer

TEXTS = ("The river is high.", "A map.", "Nobody builds there now, said the ferryman.")


@pytest.fixture(scope="module", params=["right", "left"])
def tokenizer(small_tokenizer, tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("tokenizer")
    small_tokenizer.save_pretrained(folder)
    return DebertaV2Tokenizer.from_pretrained(folder, padding_side=request.param)


@pytest.fixture
def features(tokenizer):
    return [dict(tokenizer(text)) for text in TEXTS]


def real_parts(array, mask):
    return [row[kept == 1].tolist() for row, kept in zip(array, mask, strict=True)]


@pytest.mark.parametrize(
    ("options", "multiple", "shortest"),
    [
        ({}, 1, 0),
        ({"padding": "max_length"}, 64, 64),
        ({"pad_to_multiple_of": 8}, 8, 0),
        ({"padding": "longest"}, 1, 0),
    ],
)
def test_padding(tokenizer, features, options, multiple, shortest):
    batch = DataCollatorWithPadding(tokenizer, **options)([{**row, "label": 1} for row in features])
    longest = max(len(row["input_ids"]) for row in features)
    length = max(-(-longest // multiple) * multiple, shortest)
    assert {name: array.shape for name, array in batch.items()} == {
        **dict.fromkeys(("input_ids", "token_type_ids", "attention_mask"), (3, length)),
        "labels": (3,),
    }
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
    mask = batch["attention_mask"]
    assert real_parts(batch["input_ids"], mask) == [row["input_ids"] for row in features]
    assert (batch["input_ids"][mask == 0] == tokenizer.pad_token_id).all()
    assert mask[1, 0 if tokenizer.padding_side == "left" else -1] == 0


def test_rows_of_one_length_need_no_padding(tokenizer, features):
    ids = DataCollatorWithPadding(tokenizer, padding=False)(features[:1] * 2)["input_ids"]
    assert ids.tolist() == [features[0]["input_ids"]] * 2
    with pytest.raises(InputError, match=r"input_ids has rows of different shapes.*padding=True"):
        DataCollatorWithPadding(tokenizer, padding=False)(features)


@pytest.mark.parametrize(
    ("labels", "shape", "dtype"),
    [
        ((1, 0, 2), (3,), np.int64),
        ((True, False, True), (3,), np.int64),
        ((0.5, 1.25, -1.0), (3,), np.float32),
        (([0.0, 1.0], [1.0, 1.0], [0.0, 0.0]), (3, 2), np.float32),
        ((np.float64(0.5), np.float64(1.0), np.float64(2.0)), (3,), np.float32),
    ],
)
@pytest.mark.parametrize("name", ["label", "labels", "label_ids"])
def test_labels_of_texts(tokenizer, features, labels, shape, dtype, name):
    rows = [{**row, name: label} for row, label in zip(features, labels, strict=True)]
    found = DataCollatorWithPadding(tokenizer)(rows)["labels"]
    assert (found.shape, found.dtype) == (shape, dtype)
    np.testing.assert_array_equal(found, np.array(labels, dtype))


def test_answer_positions_move_with_the_padding(tokenizer, features):
    positions = [(1, 2), (0, 0), (2, 4)]
    rows = [
        {**row, "start_positions": start, "end_positions": end}
        for row, (start, end) in zip(features, positions, strict=True)
    ]
    batch = DataCollatorWithPadding(tokenizer)(rows)
    for row, (start, end) in enumerate(positions):
        found = batch["start_positions"][row], batch["end_positions"][row]
        if start == 0:
            assert found == (0, 0)
        else:
            token_ids = batch["input_ids"][row, list(found)].tolist()
            assert token_ids == [features[row]["input_ids"][place] for place in (start, end)]


def test_labels_of_tokens(tokenizer, features):
    rows = [{**row, "labels": list(range(len(row["input_ids"])))} for row in features]
    batch = DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=16)(rows)
    assert batch["labels"].shape == batch["input_ids"].shape
    assert real_parts(batch["labels"], batch["attention_mask"]) == [row["labels"] for row in rows]
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()


def test_choices_are_folded(tokenizer):
    choices = [["of wood", "of stone, which is still in use"], ["the sea", "a quiet place"]]
    rows = [{**tokenizer(["Two bridges were"] * 2, pair), "label": number} for number, pair in enumerate(choices)]
    batch = DataCollatorForMultipleChoice(tokenizer)(rows)
    assert batch["input_ids"].shape == (2, 2, max(len(ids) for row in rows for ids in row["input_ids"]))
    assert batch["labels"].tolist() == [0, 1]
    for example, row in enumerate(rows):
        assert real_parts(batch["input_ids"][example], batch["attention_mask"][example]) == row["input_ids"]


@pytest.mark.parametrize(("kind", "module"), [("pt", "torch"), ("tf", "tensorflow")])
def test_tensors(tokenizer, features, kind, module):
    framework = pytest.importorskip(module)
    batch = DataCollatorWithPadding(tokenizer, return_tensors=kind)([{**row, "label": 0.5} for row in features])
    tensor = framework.Tensor
    assert all(isinstance(value, tensor) for value in batch.values())
    assert batch["labels"].dtype == framework.float32
    expected = DataCollatorWithPadding(tokenizer)(features)["input_ids"]
    np.testing.assert_array_equal(batch["input_ids"].numpy(), expected)


def test_examples_may_hold_arrays(tokenizer, features):
    arrays = [{name: np.array(values) for name, values in row.items()} for row in features]
    expected = DataCollatorWithPadding(tokenizer)(features)
    found = DataCollatorWithPadding(tokenizer)(arrays)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda rows: [], {}, "features is empty"),
        (lambda rows: [rows[0], {**rows[1], "label": 1}], {}, r"features\[1\] and features\[0\].*labels?"),
        (lambda rows: [{"labels": 1}], {}, "no input_ids, but: labels"),
        (lambda rows: [{**rows[0], "label": 1, "labels": 1}], {}, "several names: label, labels"),
        (lambda rows: [{**row, "text": "a"} for row in rows], {}, r"text holds 'a', which is no number.*remove"),
        (lambda rows: [{**row, "labels": row["input_ids"]} for row in rows], {}, r"labels has rows of different"),
        (lambda rows: rows, {"padding": "max_length", "max_length": 5}, r"more than max_length=5.*truncation=True"),
        (lambda rows: rows, {"return_tensors": "jax"}, "return_tensors='jax' is unknown"),
    ],
)
def test_refusals(tokenizer, features, change, options, message):
    with pytest.raises(InputError, match=message):
        DataCollatorWithPadding(tokenizer, **options)(change(features))


def test_refused_labels_of_tokens_and_choices(tokenizer, features):
    with pytest.raises(InputError, match=r"labels of example 0 has 1 entries for \d+ tokens.*align_word_labels"):
        DataCollatorForTokenClassification(tokenizer)([{**features[0], "labels": [1]}])
    rows = [dict(tokenizer(list(texts))) for texts in (("a", "b"), ("a", "b", "c"))]
    with pytest.raises(InputError, match="2 to 3 choices"):
        DataCollatorForMultipleChoice(tokenizer)(rows)
    with pytest.raises(InputError, match="0 to 0 choices"):
        DataCollatorForMultipleChoice(tokenizer)(features)
