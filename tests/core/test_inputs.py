"""The checks at the boundary of a call."""

import numpy as np
import pytest

from deberta_core import DebertaV2Config, InputError
from deberta_core.inputs import INPUT_NAMES, check_inputs, check_labels, fold_choices
from deberta_core.tasks import BACKBONE, task_spec

SPEC = task_spec("sequence_classification")
IDS = np.array([[1, 2, 3], [4, 5, 9]])
ONES = np.ones((2, 3), np.int64)


def config(**changes) -> DebertaV2Config:
    sizes = {"vocab_size": 10, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    return DebertaV2Config(
        **sizes | {"intermediate_size": 8, "max_position_embeddings": 4, "type_vocab_size": 2} | changes
    )


def check(made=None, **inputs):
    return check_inputs(made or config(), {"input_ids": IDS} | inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"input_ids": IDS.astype(np.uint8)},
        {"input_ids": IDS.astype(np.int32), "attention_mask": None},
        {"input_ids": None, "inputs_embeds": np.zeros((2, 3, 8))},
        *({"attention_mask": ONES.astype(dtype)} for dtype in (np.bool_, np.int32, np.uint8, np.float16, np.float64)),
        {"attention_mask": np.zeros((2, 3))},
        {"attention_mask": np.ones((2, 3, 3), bool)},
        {"attention_mask": np.ones((2, 1, 3, 3))},
        {"position_ids": np.array([[0, 1, 3]])},
        {"position_ids": ONES},
        {"token_type_ids": ONES},
    ],
)
def test_what_is_allowed(inputs):
    assert check(**inputs) == (2, 3)


def test_a_batch_may_be_empty():
    assert check(input_ids=IDS[:0]) == (0, 3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"inputs_embeds": np.zeros((2, 3, 8))}, "both of input_ids and inputs_embeds were given. Give exactly one"),
        ({"input_ids": None}, "neither of input_ids and inputs_embeds were given"),
        ({"input_ids": IDS[0]}, r"input_ids has shape \(3,\): it must be \[B, L\]"),
        ({"input_ids": IDS[None]}, r"input_ids has shape \(1, 2, 3\): it must be \[B, L\]"),
        ({"input_ids": IDS[:, :0]}, r"the inputs have shape \(2, 0\): a text must have at least one token"),
        ({"input_ids": IDS.astype(float)}, "input_ids has dtype float64: it must hold integers. Convert it"),
        ({"input_ids": IDS > 3}, "input_ids has dtype bool: it must hold integers"),
        ({"input_ids": IDS - 2}, r"input_ids holds -1: it must be in \[0, 10\), the range of vocab_size"),
        ({"input_ids": IDS + 1}, r"input_ids holds 10: it must be in \[0, 10\).*Does the tokenizer belong"),
        ({"input_ids": None, "inputs_embeds": np.zeros((2, 8))}, r"inputs_embeds has shape \(2, 8\).*\[B, L, E\]"),
        ({"input_ids": None, "inputs_embeds": np.zeros((2, 3, 7))}, "the last axis must be the embedding width 8"),
        *(
            ({"attention_mask": np.ones(shape)}, r"attention_mask has shape .*: it must be \(2, 3\) or \(2, 3, 3\) or")
            for shape in [(3,), (1, 3), (2, 1), (2, 2), (3, 2), (2, 1, 3), (2, 3, 2), (2, 2, 3, 3), (2, 1, 1, 3)]
        ),
        ({"attention_mask": (1 - ONES) * 1.0 - 1e4}, r"holds -10000.0: it must hold 1 \(keep\).*`mask == 0`"),
        ({"attention_mask": np.full((2, 3), -np.inf)}, r"attention_mask holds -inf"),
        ({"attention_mask": np.full((2, 3), np.nan)}, r"attention_mask holds nan"),
        ({"attention_mask": 2 * ONES}, r"attention_mask holds 2"),
        ({"position_ids": ONES[:, :2]}, r"position_ids has shape \(2, 2\): it must be \(2, 3\)"),
        ({"position_ids": 4 * ONES}, r"position_ids holds 4: .* the range of max_position_embeddings"),
        ({"position_ids": -ONES}, r"position_ids holds -1"),
        ({"input_ids": np.ones((1, 5), int)}, "the text has 5 tokens, but max_position_embeddings=4 .*Truncate"),
        ({"token_type_ids": ONES[:1]}, r"token_type_ids has shape \(1, 3\): it must be \(2, 3\)"),
        ({"token_type_ids": 2 * ONES}, r"token_type_ids holds 2: .* the range of type_vocab_size"),
        ({"token_type_ids": 1.0 * ONES}, "token_type_ids has dtype float64"),
    ],
)
def test_what_is_refused(inputs, message):
    with pytest.raises(InputError, match=message):
        check(**inputs)


def test_what_is_not_read_is_not_checked():
    made = config(position_biased_input=False, type_vocab_size=0)
    assert check(made, input_ids=np.ones((1, 99), int), token_type_ids=7 * ONES, position_ids=9 * ONES) == (1, 99)


def test_embeddings_have_the_embedding_width():
    made = config(embedding_size=5)
    assert check(made, input_ids=None, inputs_embeds=np.zeros((2, 3, 5))) == (2, 3)
    with pytest.raises(InputError, match="the embedding width 5"):
        check(made, input_ids=None, inputs_embeds=np.zeros((2, 3, 8)))


def test_the_documented_order():
    assert INPUT_NAMES == ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")


# Labels

SINGLE, MULTI = "single_label_classification", "multi_label_classification"


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"num_labels": 3}, [0, 2]),
        ({"num_labels": 3}, [[0], [2]]),
        ({"num_labels": 3}, [0.0, 2.0]),
        ({"num_labels": 3}, [-100, -1]),
        ({"num_labels": 3, "problem_type": SINGLE}, [-100, 2]),
        ({"num_labels": 3}, [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]),
        ({"num_labels": 3, "problem_type": MULTI}, [[0, 1, 1], [0, 0, 0]]),
        ({"num_labels": 1}, [0.5, -3.0]),
        ({"num_labels": 1}, [[0.5], [-3.0]]),
        ({"num_labels": 3, "problem_type": "regression"}, [[0.5, 1, 2], [-3.0, 1, 2]]),
        ({"num_labels": 1, "problem_type": SINGLE}, [0, 0]),
    ],
)
def test_labels_that_are_allowed(changes, labels):
    check_labels(config(**changes), SPEC, {"labels": np.array(labels)}, (2, 3))


@pytest.mark.parametrize(
    ("changes", "labels", "message"),
    [
        ({"num_labels": 3}, [0, 3], r"labels holds 3: a class must be an integer in \[0, 3\), or -100 to be ignored"),
        ({"num_labels": 3, "problem_type": SINGLE}, [0, -1], r"labels holds -1: a class"),
        ({"num_labels": 3}, [0, 0.5], r"labels holds 0\.5: a class must be an integer"),
        ({"num_labels": 3}, [0, float("nan")], "labels holds nan"),
        ({"num_labels": 3}, [0, 1, 2], r"labels has shape \(3,\), but single_label_classification with num_labels=3"),
        ({"num_labels": 3}, [[0, 1], [1, 0]], r"labels has shape \(2, 2\), but soft_labels .* takes \(2, 3\)\. Change"),
        ({"num_labels": 3, "problem_type": SINGLE}, [[0, 1, 0]] * 2, r"takes \(2,\) or \(2, 1\)"),
        ({"num_labels": 3, "problem_type": MULTI}, [0, 1], r"labels has shape \(2,\), but multi_label_classification"),
        ({"num_labels": 3, "problem_type": "regression"}, [0.0, 1.0], r"but regression .* takes \(2, 3\)"),
        ({"num_labels": 1}, [[0.0, 1.0]] * 2, r"but regression with num_labels=1 and 2 texts takes \(2,\) or \(2, 1\)"),
    ],
)
def test_labels_that_are_refused(changes, labels, message):
    with pytest.raises(InputError, match=message):
        check_labels(config(**changes), SPEC, {"labels": np.array(labels)}, (2, 3))


def test_without_labels_there_is_nothing_to_check():
    check_labels(config(), SPEC, {}, (2, 3))
    check_labels(config(), SPEC, {"labels": None}, (2, 3))
    check_labels(config(), BACKBONE, {"labels": np.array([77])}, (2, 3))


# Labels of the other tasks; three tokens a text, ids below 10

MASK = np.array([[1, 1, 0], [0, 1, 1]])
WIDE = np.broadcast_to(MASK[:, None], (2, 3, 3))
TOKENS = np.array([[0, 4, -100], [-100, -100, 2]])


def labels_of(task, mask=None, choices=1, changes=None, **labels):
    arrays = {name: np.asarray(value) for name, value in labels.items()} | {"attention_mask": mask}
    check_labels(config(num_labels=5, **changes or {}), task_spec(task), arrays, (2 * choices, 3), choices)


@pytest.mark.parametrize("task", ["masked_lm", "token_classification"])
@pytest.mark.parametrize("mask", [None, MASK, MASK.astype(bool), MASK.astype(float), WIDE, WIDE[:, None]])
def test_token_labels_that_are_allowed(task, mask):
    labels_of(task, mask, labels=TOKENS)
    labels_of(task, mask, labels=TOKENS.astype(np.int32))
    labels_of(task, mask, labels=np.full((2, 3), -100))


@pytest.mark.parametrize("task", ["masked_lm", "token_classification"])
@pytest.mark.parametrize("mask", [MASK, MASK.astype(bool), MASK.astype(float), WIDE, WIDE[:, None]])
def test_labels_at_padding_must_be_ignored(task, mask):
    with pytest.raises(InputError, match=r"labels holds 4 at a padding position: labels must be -100 there\. Set them"):
        labels_of(task, mask, labels=np.where(TOKENS < 0, 4, TOKENS))


def test_the_range_of_token_labels():
    """The vocabulary in masked LM, the labels of the configuration otherwise."""
    labels_of("masked_lm", labels=np.full((2, 3), 9))
    with pytest.raises(InputError, match=r"labels holds 10: a class must be an integer in \[0, 10\), or -100"):
        labels_of("masked_lm", labels=np.full((2, 3), 10))
    with pytest.raises(InputError, match=r"labels holds 5: a class must be an integer in \[0, 5\), or -100"):
        labels_of("token_classification", labels=np.full((2, 3), 5))
    for task in ("masked_lm", "token_classification"):
        with pytest.raises(InputError, match="labels holds -1: a class"):
            labels_of(task, labels=np.full((2, 3), -1))
        for shape in [(2,), (2, 1), (6,), (2, 4), (2, 3, 1), (1, 3)]:
            with pytest.raises(InputError, match=r"labels has shape .*, but 2 texts of 3 tokens takes \(2, 3\)"):
                labels_of(task, labels=np.zeros(shape, int))


@pytest.mark.parametrize("positions", [[0, 2], [[0], [2]], [-5, 99], [0.0, 1.0]])
def test_positions_that_are_allowed(positions):
    labels_of("question_answering", MASK, start_positions=positions, end_positions=positions)


@pytest.mark.parametrize("name", ["start_positions", "end_positions"])
@pytest.mark.parametrize(
    ("positions", "message"),
    [([0, 1, 2], r"has shape \(3,\), but 2 texts takes \(2,\) or \(2, 1\)"), ([0.5, 1], "holds 0.5: a class must be")],
)
def test_positions_that_are_refused(name, positions, message):
    with pytest.raises(InputError, match=f"{name} {message}"):
        labels_of("question_answering", **{"start_positions": [0, 1], "end_positions": [0, 1]} | {name: positions})


@pytest.mark.parametrize("labels", [[0, 3], [[0], [3]], [-100, 1]])
def test_choices_that_are_allowed(labels):
    labels_of("multiple_choice", choices=4, labels=labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 4], r"labels holds 4: a class must be an integer in \[0, 4\)"),
        ([-1, 0], "labels holds -1"),
        ([0] * 8, r"labels has shape \(8,\), but 2 texts takes \(2,\) or \(2, 1\)"),
    ],
)
def test_choices_that_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        labels_of("multiple_choice", choices=4, labels=labels)


# Folding of multiple choice


def folded(**inputs):
    return fold_choices([inputs.get(name) for name in INPUT_NAMES])


def test_folding_keeps_the_texts_in_order():
    texts = np.arange(2 * 4 * 3).reshape(2, 4, 3)
    wide = np.zeros((2, 4, 3, 3))
    arrays, choices = folded(input_ids=texts, attention_mask=wide, position_ids=texts[:1, :1])
    assert choices == 4
    assert [None if a is None else a.shape for a in arrays] == [(8, 3), (8, 3, 3), None, (1, 3), None]
    assert arrays[0][5].tolist() == texts[1, 1].tolist()
    arrays, choices = folded(inputs_embeds=np.zeros((2, 4, 3, 8)), attention_mask=np.zeros((2, 4, 1, 3, 3)))
    assert (choices, arrays[4].shape, arrays[1].shape) == (4, (8, 3, 8), (8, 1, 3, 3))


def test_nothing_to_fold_is_left_to_the_other_checks():
    assert folded() == ((None,) * 5, 1)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": IDS}, r"input_ids has shape \(2, 3\): multiple choice takes \[B, N, L\], N choices each"),
        ({"input_ids": IDS[None], "attention_mask": ONES}, r"attention_mask has shape \(2, 3\): multiple choice"),
        ({"inputs_embeds": np.zeros((2, 3, 8))}, r"inputs_embeds has shape \(2, 3, 8\): .* \[B, N, L, E\]"),
        (
            {"input_ids": np.zeros((2, 4, 3)), "attention_mask": np.ones((4, 2, 3))},
            r"attention_mask has shape \(4, 2, 3\): the first two axes, texts and choices, must be \(2, 4\)",
        ),
        (
            {"inputs_embeds": np.zeros((2, 4, 3, 8)), "token_type_ids": np.ones((1, 1, 3))},
            r"token_type_ids has shape \(1, 1, 3\)",
        ),
        (
            {"input_ids": np.zeros((2, 0, 3))},
            r"the inputs have shape \(2, 0, 3\): a text must have at least one choice",
        ),
    ],
)
def test_what_cannot_be_folded(inputs, message):
    with pytest.raises(InputError, match=message):
        folded(**inputs)
