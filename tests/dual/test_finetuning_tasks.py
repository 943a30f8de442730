"""The tasks: which head data ask for, and what is learnt from records."""

import json

import numpy as np
import pytest

from deberta_core import DebertaV2Config, InputError, TokenizationError
from deberta_core.errors import DebertaWarning
from deberta_core.inputs import IGNORED_LABEL
from deberta_dual.finetuning import FINETUNE_TASKS, Record
from deberta_dual.finetuning.labels import ClassIds, find_classes
from deberta_dual.finetuning.tasks.base import at

TEXTS, WORDS, ANSWERS, CHOICES, RANKS, MASKS, VECTORS, REWARDS = FINETUNE_TASKS
NLI = {0: "contradiction", 1: "neutral", 2: "entailment"}
CONTEXT = "The river rises in the hills above the old town and runs for ninety miles before it meets the sea."
QUESTION = {"question": "Where does it rise?", "context": CONTEXT}


@pytest.fixture
def config(small_tokenizer):
    return DebertaV2Config(
        vocab_size=len(small_tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )


@pytest.fixture
def make(small_tokenizer):
    """Makes a task by its name."""
    return lambda name, length=24: FINETUNE_TASKS[name](small_tokenizer, max_length=length, batch_size=2)


def records(*values):
    return [Record(dict(one), f"f, line {number}") for number, one in enumerate(values, 1)]


def labelled(*labels):
    return records(*({"text": f"river {number}", "label": label} for number, label in enumerate(labels)))


def check(name, record):
    with at(record):
        FINETUNE_TASKS[name].check(record)


# Labels; the names that the model starts from; the classes found, and whether the head is new.
CLASSES = {
    "names": (["pos", "neg", "pos"], None, ({0: "neg", 1: "pos"}, True)),
    "numbers": ([1, 0, 1], None, ({0: "LABEL_0", 1: "LABEL_1"}, False)),  # those of the configuration
    "fewer numbers than known": ([1, 0], NLI, ({0: "LABEL_0", 1: "LABEL_1"}, True)),
    "digits": (["1", " 0", "2"], None, ({0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}, True)),
    "truths": ([True, False], None, ({0: "LABEL_0", 1: "LABEL_1"}, False)),
    "outside first": (["I-a", "B-a", "O"], None, ({0: "O", 1: "B-a", 2: "I-a"}, True)),
    "negative": ([-1, 1], None, ({0: "-1", 1: "1"}, True)),
    "white space": (["pos", "pos ", " neg"], None, ({0: "neg", 1: "pos"}, True)),
    "known": (["Entailment", "NEUTRAL", "contradiction"], NLI, (NLI, False)),
    "some of the known": (["entailment", "neutral"], NLI, (NLI, False)),
    "numbers of known": ([0, 2, 1], NLI, (NLI, False)),
    "others": (["entailment", "no"], NLI, ({0: "entailment", 1: "no"}, True)),
    "unicode": (["sí", "não"], None, ({0: "não", 1: "sí"}, True)),
}


@pytest.mark.parametrize(("labels", "known", "expected"), CLASSES.values(), ids=CLASSES)
def test_classes(config, labels, known, expected):
    assert find_classes(labels, config.replace(id2label=known) if known else config) == expected


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["O", "O"], "All labels are 'O'. There must be at least two classes"),
        ([0, "0"], "All labels are '0'"),
        (["0", "00"], "stand for 1 numbers. Write each"),
        ([], "No example has a label"),
    ],
)
def test_classes_that_cannot_be(config, labels, message):
    with pytest.raises(InputError, match=message):
        find_classes(labels, config)


@pytest.mark.parametrize(
    ("labels", "names"), [([2, "1"], ["1", "2"]), ([0, 10, 2], ["0", "2", "10"]), (range(1, 6), list("12345"))]
)
def test_numbers_that_do_not_begin_with_0_are_names(config, labels, names):
    assert find_classes(list(labels), config) == (dict(enumerate(names)), True)
    tuned = config.replace(id2label=dict(enumerate(names)))
    assert find_classes(list(labels), tuned) == (tuned.id2label, False)
    ids = ClassIds(tuned.id2label)
    assert [ids[label] for label in labels] == [names.index(str(label)) for label in labels]


def test_a_class_that_only_the_evaluation_data_have(make, config):
    work, own = make(TEXTS), config.replace(problem_type="single_label_classification", id2label={0: "a", 1: "b"})
    with pytest.raises(InputError, match="none of the classes"):
        work.features(labelled("c"), own)
    with pytest.warns(DebertaWarning, match="'c' is none of the model's"):
        (row,) = work.features(labelled("c"), own, judged=True)
    assert row["labels"] == IGNORED_LABEL


COLUMNS = {
    "0 and 1": ([{"toxic": "1", "mild": "0"}, {"toxic": 0, "mild": 1}], "multi_label_classification", [1.0, 0.0]),
    "numbers": ([{"cohesion": "3.5", "syntax": "4"}], "regression", [3.5, 4.0]),
}


@pytest.mark.parametrize(("labels", "problem", "first"), COLUMNS.values(), ids=COLUMNS)
def test_labels_of_several_columns(make, config, labels, problem, first):
    work, data = make(TEXTS), labelled(*labels)
    for record in data:
        work.check(record)
    head = work.head(data, config, None)
    assert head.changes == {"problem_type": problem, "id2label": dict(enumerate(labels[0]))}
    assert work.features(data, config.replace(**head.changes))[0]["labels"] == first


def test_a_column_that_is_no_number(make):
    with pytest.raises(InputError, match="column 'syntax': the label 'x' is no number"):
        make(TEXTS).check(labelled({"cohesion": 1, "syntax": "x"})[0])


@pytest.mark.parametrize("label", ["B", 1, "1", "with a spoon", " B "])
def test_the_name_of_a_choice(make, config, label):
    data = records({"text": "Cut wood", "choices": ["with a saw", "with a spoon"], "label": label})
    make(CHOICES).check(data[0])
    assert make(CHOICES).features(data, config)[0]["labels"] == 1


def test_numbers_of_classes():
    ids = ClassIds(NLI)
    assert [ids["Neutral"], ids[" entailment "], ids[0], ids["2"]] == [1, 2, 0, 2]
    assert (len(ids), list(ids)) == (3, list(NLI.values()))
    for label in ("maybe", 3, -1, ""):
        with pytest.raises(InputError, match="is none of the classes: contradiction, entailment, neutral"):
            ids[label]


def test_names_that_differ_in_case_alone_are_two_classes():
    ids = ClassIds({0: "US", 1: "us"})
    assert (ids["US"], ids["us"]) == (0, 1)


# Labels; problem_type; the changes of the configuration.
HEADS = {
    "single": (["a", "b"], None, ("single_label_classification", {0: "a", 1: "b"})),
    "multi": ([["a"], [], ["a", "b"]], None, ("multi_label_classification", {0: "a", 1: "b"})),
    "said": (["a", "b"], "single_label_classification", ("single_label_classification", {0: "a", 1: "b"})),
    "versions": (["v1.0", "v2.0"], None, ("single_label_classification", {0: "v1.0", 1: "v2.0"})),
}


@pytest.mark.parametrize(("labels", "problem", "expected"), HEADS.values(), ids=HEADS)
def test_the_head_of_texts(make, config, labels, problem, expected):
    head = make(TEXTS).head(labelled(*labels), config, problem)
    changed = config.replace(**head.changes)
    assert head.is_new
    assert (changed.problem_type, changed.id2label) == expected


def test_the_head_of_numbers(make, config):
    head = make(TEXTS).head(labelled("2.5", -1, 3.5), config, "regression")
    changed = config.replace(**head.changes)
    assert (changed.problem_type, changed.num_labels, head.is_new) == ("regression", 1, True)
    assert not make(TEXTS).head(labelled(1, 2), changed, "regression").is_new


@pytest.mark.parametrize(
    ("labels", "problem", "message"),
    [
        (["a", ["b"]], None, "line 2: the label is .'b'.. Give a list everywhere, or nowhere"),
        (["a", "b"], "multi_label_classification", "but the first label is 'a'. Lists are for multi_label"),
        ([["a"], ["b"]], "single_label_classification", "Lists are for multi_label_classification"),
        ([[1, 2], [3]], "regression", "The labels have 1, 2 numbers. Give all equally many"),
        ([[1, 0], [0, 0]], None, "line 2: the label .0, 0. has a class twice.* a column of its own"),
        ([1, 0.5], None, "The label 0.5 is a number with a fraction, no class. For regression say problem_type="),
        (["2", "2.5"], None, "The label '2.5' is a number with a fraction"),
        ([[], []], None, "No example has a label"),
    ],
)
def test_labels_without_a_head(make, config, labels, problem, message):
    with pytest.raises(InputError, match=message):
        make(TEXTS).head(labelled(*labels), config, problem)


@pytest.mark.parametrize("name", [WORDS, ANSWERS, CHOICES])
def test_problem_types_are_for_texts(make, config, name):
    with pytest.raises(InputError, match="problem_type='regression' is for text-classification alone"):
        make(name).head(records({"words": ["a"], "labels": ["O"]}), config, "regression")


PARAGRAPH = {**QUESTION, "answers": []}
# Task; a record; what is wrong with it.
WRONG = {
    "no text": (TEXTS, {"sentence": "a", "label": 0}, "there is no 'text', but: label, sentence. .*--columns text="),
    "null": (TEXTS, {"text": None, "label": 0}, "there is no 'text'"),
    "nothing": (TEXTS, {}, "there is no 'text', but: nothing"),
    "no label": (TEXTS, {"text": "a"}, "there is no 'label', but: text"),
    "empty text": (TEXTS, {"text": " ", "label": 0}, "text=' ' is empty"),
    "number as text": (TEXTS, {"text": 5, "label": 0}, "text is 5, of type int"),
    "empty pair": (TEXTS, {"text": "a", "text_pair": "", "label": 0}, "text_pair='' is empty"),
    "empty label": (TEXTS, {"text": "a", "label": " "}, "the label is ' '. Give the name or the number of a class"),
    "dict as label": (TEXTS, {"text": "a", "label": {"a": "b"}}, "column 'a': the label 'b' is no number"),
    "null in labels": (TEXTS, {"text": "a", "label": ["x", None]}, "the label is None. Give the name"),
    "list in labels": (TEXTS, {"text": "a", "label": [["x"]]}, "the label is .'x'.. Give the name"),
    "no words": (WORDS, {"words": [], "labels": []}, "two lists of the same length, at least 1"),
    "text as words": (WORDS, {"words": "ab", "labels": ["O", "O"]}, "two lists of the same length"),
    "number as labels": (WORDS, {"words": ["a"], "labels": 5}, "two lists of the same length"),
    "fewer labels": (WORDS, {"words": ["a", "b"], "labels": ["O"]}, "two lists of the same length"),
    "number as word": (WORDS, {"words": ["a", 5], "labels": ["O", "O"]}, "words hold 5, of type int"),
    "null as label": (WORDS, {"words": ["a"], "labels": [None]}, "the label is None"),
    "no context": (ANSWERS, {"question": "a", "answers": []}, "there is no 'context'"),
    "no answers": (ANSWERS, QUESTION, "there is no 'answers'"),
    "empty question": (ANSWERS, {**PARAGRAPH, "question": ""}, "question='' is empty"),
    "text as answers": (ANSWERS, {**QUESTION, "answers": "hills"}, "are not like SQuAD's. Give a list"),
    "no start": (ANSWERS, {**QUESTION, "answers": [{"text": "hills"}]}, "are not like SQuAD's"),
    "lengths": (ANSWERS, {**QUESTION, "answers": {"text": ["a"], "answer_start": []}}, "are not like SQuAD's"),
    "start": (ANSWERS, {**QUESTION, "answers": [{"text": "hills", "answer_start": 22}]}, "not stand at character 22"),
    "negative": (ANSWERS, {**QUESTION, "answers": [{"text": "sea", "answer_start": -4}]}, "at -4 is no text at the"),
    "start as text": (
        ANSWERS,
        {**QUESTION, "answers": [{"text": "hills", "answer_start": "23"}]},
        "at '23' is no text",
    ),
    "number": (ANSWERS, {**QUESTION, "answers": [{"text": 90, "answer_start": 3}]}, "the answer 90 at 3 is no text"),
    "empty answer": (ANSWERS, {**QUESTION, "answers": [{"text": "", "answer_start": 3}]}, "leave the list empty"),
    "number as choices": (CHOICES, {"text": "a", "choices": 5, "label": 0}, "choices=5 must be a list of at least two"),
    "text as choices": (CHOICES, {"text": "a", "choices": "bc", "label": 0}, "choices='bc' must be a list"),
    "one choice": (CHOICES, {"text": "a", "choices": ["b"], "label": 0}, "must be a list of at least two texts"),
    "empty choice": (CHOICES, {"text": "a", "choices": ["b", ""], "label": 0}, "a choice='' is empty"),
    "choice 2 of 2": (
        CHOICES,
        {"text": "a", "choices": ["b", "c"], "label": 2},
        "label 2 is none of the choices. Give its number, 0 to 1",
    ),
    "choice -1": (CHOICES, {"text": "a", "choices": ["b", "c"], "label": "-1"}, "label '-1' is none of the choices"),
}


@pytest.mark.parametrize(("name", "values", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_record_is_named(name, values, message):
    with pytest.raises(InputError, match=f"f, line 1: .*{message}"):
        check(name, *records(values))


RIGHT = {
    "ints": (TEXTS, {"text": "a", "label": 0}),
    "null as pair": (TEXTS, {"text": "a", "text_pair": None, "label": "x"}),
    "no class": (TEXTS, {"text": "a", "label": []}),
    "words": (WORDS, {"words": ["a", "\u200b"], "labels": ["O", 1]}),
    "impossible": (ANSWERS, {**QUESTION, "is_impossible": True}),
    "impossible, with a guess": (ANSWERS, {**PARAGRAPH, "is_impossible": True, "plausible_answers": [{}]}),
    "at the end": (ANSWERS, {**QUESTION, "answers": [{"text": "the sea.", "answer_start": len(CONTEXT) - 8}]}),
    "digit": (CHOICES, {"text": "a", "choices": ["b", "c"], "label": "1"}),
}


@pytest.mark.parametrize(("name", "values"), RIGHT.values(), ids=RIGHT)
def test_a_right_record(name, values):
    check(name, *records(values))


def test_a_vocabulary_is_trained_on_texts_alone():
    both = {"text": "A river.", "text_pair": "A mill.", "label": "entailment", "source": "a book"}
    one = {"text": "A river.", "label": "1"}
    cases = {TEXTS: [both, one], WORDS: [{"words": ["A", "mill"], "labels": ["O", "O"]}]}
    cases[ANSWERS] = [QUESTION | {"answers": [], "id": "5"}]
    cases[CHOICES] = [{"text": "A", "choices": ["b", "c"], "label": "0"}]
    found = {name: [FINETUNE_TASKS[name].texts(one) for one in records(*values)] for name, values in cases.items()}
    assert found == {
        TEXTS: [["A river.", "A mill."], ["A river."]],
        WORDS: [["A mill"]],
        ANSWERS: [[QUESTION["question"], CONTEXT]],
        CHOICES: [["A", "b", "c"]],
    }


def test_texts_and_pairs(make, config, small_tokenizer):
    work = make(TEXTS)
    own = config.replace(id2label=NLI, problem_type="single_label_classification")
    long = " ".join([CONTEXT] * 3)
    rows = work.features(
        records({"text": "A river.", "text_pair": "A mill.", "label": "Neutral"}, {"text": long, "label": 2}), own
    )
    assert rows[0] == {**small_tokenizer("A river.", "A mill."), "labels": 1}
    assert (len(rows[1]["input_ids"]), rows[1]["labels"], work.count(rows[1])) == (24, 2, 1)
    batch = work.collate(rows)
    assert {name: array.dtype.name for name, array in batch.items()} == dict.fromkeys(batch, "int64")
    assert batch["labels"].tolist() == [1, 2]
    json.dumps(rows)  # as the identity of a run needs


@pytest.mark.parametrize(
    ("problem", "label", "expected"),
    [
        ("multi_label_classification", ["entailment", 0], [1.0, 0.0, 1.0]),
        ("multi_label_classification", [], [0.0, 0.0, 0.0]),
        ("regression", "2.5", 2.5),
        ("regression", -1, -1.0),
    ],
)
def test_labels_of_floats(make, config, problem, label, expected):
    sizes = {"num_labels": 1} if problem == "regression" else {"id2label": NLI}
    rows = make(TEXTS).features(labelled(label), config.replace(problem_type=problem, **sizes))
    batch = make(TEXTS).collate(rows)
    assert batch["labels"].dtype == np.float32
    assert batch["labels"].tolist() == [expected]


@pytest.mark.parametrize(
    ("problem", "label", "message"),
    [
        ("single_label_classification", "maybe", "the label 'maybe' is none of the classes"),
        ("single_label_classification", ["neutral"], "the label is .'neutral'., but problem_type='single_label"),
        ("multi_label_classification", "neutral", "the label is 'neutral', but problem_type='multi_label"),
        ("multi_label_classification", ["neutral", "maybe"], "the label 'maybe' is none of the classes"),
        ("regression", "high", "the label 'high' is no number. Regression learns finite numbers"),
        ("regression", "nan", "the label 'nan' is no number"),
    ],
)
def test_a_label_of_other_data_that_training_has_not_seen(make, config, problem, label, message):
    with pytest.raises(InputError, match=f"^f, line 1: {message}"):
        make(TEXTS).features(labelled(label), config.replace(problem_type=problem, id2label=NLI))


@pytest.mark.parametrize("name", [TEXTS, WORDS])
def test_a_text_that_is_no_unicode_is_named(make, config, name):
    own = config.replace(problem_type="single_label_classification", id2label=NLI)
    values = {"text": "a \ud800", "label": 0, "words": ["a", "\ud800"], "labels": [0, 0]}
    with pytest.raises(TokenizationError, match=r"^f, line 1: .*lone surrogate"):
        make(name).features(records(values), own)
