"""The four tasks: windows of what is long, choices, and scores. The models are scripted."""

import numpy as np
import pytest

from deberta_core import DebertaV2Config, InputError
from deberta_core.inputs import IGNORED_LABEL
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.finetuning import FINETUNE_TASKS, Record

TEXTS, WORDS, ANSWERS, CHOICES, *_ = FINETUNE_TASKS
TAGS = {0: "O", 1: "B-place", 2: "I-place"}
CONTEXT = "The river rises in the hills above the old town and runs for ninety miles before it meets the sea."


@pytest.fixture
def config(small_tokenizer):
    return DebertaV2Config(
        vocab_size=len(small_tokenizer),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        id2label=TAGS,
        position_biased_input=False,
    )


@pytest.fixture
def make(small_tokenizer):
    """Makes a task by its name."""
    return lambda name, length=24: FINETUNE_TASKS[name](small_tokenizer, max_length=length, batch_size=2)


@pytest.fixture
def score(small_tokenizer):
    """Judges a model that gives `answer(tokens)` for each row: an array by name, or the logits."""

    def call(work, config, features, records, answer):
        def run(inputs, places):
            assert set(inputs) == {"input_ids", "attention_mask", "token_type_ids"}  # and no label
            ids = inputs["input_ids"]
            rows = [
                answer(small_tokenizer.convert_ids_to_tokens(row.tolist())) for row in ids.reshape(-1, ids.shape[-1])
            ]
            rows = [row if isinstance(row, dict) else {"logits": row} for row in rows]
            outputs = {name: np.array([row[name] for row in rows], dtype="float32") for name in rows[0]}
            if ids.ndim == 3:
                outputs = {name: array.reshape(ids.shape[:2]) for name, array in outputs.items()}
            return outputs

        return work.score(ArrayModel(config, work.task, run), records, features)

    return call


def records(*values):
    return [Record(dict(one), f"f, line {number}") for number, one in enumerate(values, 1)]


def test_the_accuracy_of_texts(make, config, score):
    """The model finds class 1 where there is a river, and 0 elsewhere."""
    work, own = make(TEXTS), config.replace(problem_type="single_label_classification")
    rows = records(
        {"text": "river", "label": 0},
        {"text": CONTEXT, "label": 1},
        {"text": "sea", "label": 0},
        {"text": "a", "label": 0},
    )
    scores = score(work, own, work.features(rows, own), rows, lambda tokens: np.eye(3)[int("▁ri" in tokens)])
    assert scores == pytest.approx({"accuracy": 3 / 4, "f1": (2 * 2 / (2 + 3) + 2 * 1 / (2 + 1)) / 2})


def test_the_f1_of_several_labels(make, config, score):
    work, own = make(TEXTS), config.replace(problem_type="multi_label_classification")
    rows = records({"text": "river", "label": ["O", "B-place"]}, {"text": "mill", "label": ["B-place"]})
    scores = score(work, own, work.features(rows, own), rows, lambda tokens: [1.0, -1.0, 0.0])
    assert scores == pytest.approx({"f1": 2 * 1 / (2 + 3), "accuracy": 0})


def test_the_correlation_of_numbers(make, config, score):
    work, own = make(TEXTS), config.replace(problem_type="regression", num_labels=1)
    rows = records(*({"text": "a " * number, "label": 2.0 * number + 1} for number in (3, 1, 2)))
    scores = score(work, own, work.features(rows, own), rows, lambda tokens: [float(tokens.count("▁a"))])
    assert scores == pytest.approx({"pearson": 1, "mse": (4**2 + 2**2 + 3**2) / 3})


def test_the_first_token_of_a_word_has_its_label(make, config, small_tokenizer):
    (row,) = make(WORDS).features(records({"words": ["river", "old", "a"], "labels": ["B-place", 2, "o"]}), config)
    assert small_tokenizer.convert_ids_to_tokens(row["input_ids"]) == ["[CLS]", "▁ri", "ver", "▁o", "ld", "▁a", "[SEP]"]
    ignored = IGNORED_LABEL
    assert row["labels"] == [ignored, 1, ignored, 2, ignored, 0, ignored]
    assert make(WORDS).count(row) == 3


def test_a_batch_of_words_has_only_what_the_model_takes(make, config):
    work = make(WORDS)
    rows = work.features(
        records({"words": ["river"], "labels": ["O"]}, {"words": ["a", "b"], "labels": ["O", 1]}), config
    )
    batch = work.collate(rows)
    assert sorted(batch) == ["attention_mask", "input_ids", "labels", "token_type_ids"]
    assert {array.shape for array in batch.values()} == {(2, 4)}


def test_long_texts_of_words_are_cut_without_losing_or_doubling_any(make, config):
    words = [*CONTEXT.split(), "river" * 12, *CONTEXT.split()]
    labels = [number % 3 for number in range(len(words))]
    work = make(WORDS, length=16)
    rows = work.features(records({"words": words, "labels": labels}), config)
    assert len(rows) > 3
    assert max(len(row["input_ids"]) for row in rows) == 16
    pairs = [(word, row["labels"][token]) for row in rows for token, word in row["word_starts"]]
    assert pairs == list(enumerate(labels))  # also the word that is longer than a window
    assert sum(map(work.count, rows)) == len(words)


def test_the_f1_of_entities(make, config, score):
    """The model finds "hills" and "sea", in whatever window."""
    words, work = CONTEXT.split(), make(WORDS, length=12)
    labels = ["B-place" if word in ("hills", "town") else "O" for word in words]
    rows = records({"words": words, "labels": labels}, {"words": ["sea", "\u200b"], "labels": ["O", "B-place"]})
    features = work.features(rows, config)
    assert len(features) > 3
    scores = score(
        work, config, features, rows, lambda tokens: np.eye(3)[[int(token in ("▁h", "▁se")) for token in tokens]]
    )
    # Found: hills, sea., sea; true: hills, town, and the word without a token.
    assert scores == pytest.approx({"precision": 1 / 3, "recall": 1 / 3, "f1": 1 / 3, "accuracy": (18 + 0) / 22})


def answered(text, start=None):
    start = CONTEXT.index(text) if start is None else start
    return {"question": "Where?", "context": CONTEXT, "answers": [{"text": text, "answer_start": start}]}


@pytest.mark.parametrize("text", ["The", "hills", "the old town", "the sea.", "."])
def test_answers_in_windows(make, config, small_tokenizer, text):
    rows = make(ANSWERS).features(records(answered(text, CONTEXT.rindex(text))), config)
    assert len(rows) > 2
    held = [row for row in rows if row["start_positions"] or row["end_positions"]]
    assert 1 <= len(held) < len(rows)
    for row in held:
        tokens = row["input_ids"][row["start_positions"] : row["end_positions"] + 1]
        found = small_tokenizer.decode(tokens)
        assert text.strip(".") in found
        assert len(found) <= len(text) + 4  # a token may be longer than the answer
    assert all(make(ANSWERS).count(row) == 1 for row in rows)


@pytest.mark.parametrize("question", ["Where?", "Where is the old town in the hills?"])
def test_the_windows_learnt_are_those_the_pipeline_reads(make, config, score, question):
    """Also for a question that leaves little room."""
    work, seen = make(ANSWERS), []
    rows = records({**answered("hills"), "question": question})
    features = work.features(rows, config)

    def answer(tokens):
        seen.append([token for token in tokens if token != "[PAD]"])
        return finding("▁h")(tokens)

    score(work, config, features, rows, answer)
    learnt = [work.tokenizer.convert_ids_to_tokens(row["input_ids"]) for row in features]
    assert len(learnt) > 2
    assert sorted(seen) == sorted(learnt)


def test_a_question_without_room_is_named(make, config):
    with pytest.raises(InputError, match=r"^f, line 1: truncation='only_second' cannot reach max_length=24"):
        make(ANSWERS).features(records({**answered("hills"), "question": "river " * 20}), config)


@pytest.mark.parametrize(
    "nothing", [{"answers": []}, {"is_impossible": True}, {"answers": {"text": [], "answer_start": []}}]
)
def test_no_answer(make, config, nothing):
    rows = make(ANSWERS).features(records({"question": "When?", "context": CONTEXT, **nothing}), config)
    assert {(row["start_positions"], row["end_positions"]) for row in rows} == {(0, 0)}


def test_answers_in_two_lists(make, config):
    values = answered("hills")
    (answer,) = values["answers"]
    lists = {**values, "answers": {name: [value] for name, value in answer.items()}}
    assert make(ANSWERS).features(records(lists), config) == make(ANSWERS).features(records(values), config)


def test_the_first_answer_is_learnt(make, config):
    both = answered("hills")
    both["answers"] = both["answers"] + answered("sea")["answers"]
    assert make(ANSWERS).features(records(both), config) == make(ANSWERS).features(records(answered("hills")), config)


def finding(first=None, last=None, nothing=0):
    """A model that is sure of an answer by its first and last token, or, where these are not shown, that there is none.

    Where they are, `nothing` is the logit of that.
    """

    def answer(tokens):
        outputs = {}
        for name, end in {"start_logits": first, "end_logits": last or first}.items():
            logits = 18 * np.eye(len(tokens))[tokens.index(end) if end in tokens else 0]
            logits[0] = max(logits[0], nothing)
            outputs[name] = logits
        return outputs

    return answer


def test_scores_of_answers(make, config, score):
    work, rows = make(ANSWERS), records(answered("old town"), {**answered("sea"), "answers": []})
    features = work.features(rows, config)
    # "old" is one of two words in the first; in the second, there should be none.
    scores = score(work, config, features, rows, finding("▁o", "ld"))
    assert scores == pytest.approx({"exact_match": 0, "f1": (2 / 3) / 2})
    # Where every question has an answer, none is no choice.
    only = records(answered("sea"))
    hesitating = finding("▁se", "a", nothing=20)
    assert score(work, config, work.features(only, config), only, hesitating) == {"exact_match": 1, "f1": 1}
    assert score(work, config, features, rows, hesitating) == {"exact_match": 0.5, "f1": 0.5}


def test_no_answer_is_found(make, config, score):
    work, rows = make(ANSWERS), records({**answered("sea"), "answers": []})
    assert score(work, config, work.features(rows, config), rows, finding()) == {"exact_match": 1, "f1": 1}


def chosen(text, *choices, label=0):
    return {"text": text, "choices": list(choices), "label": label}


def test_choices(make, config, small_tokenizer):
    work = make(CHOICES)
    rows = work.features(records(chosen("A mill.", "a", CONTEXT, label="1"), chosen("b", "c", "d", label=0)), config)
    assert rows[0]["input_ids"][0] == small_tokenizer("A mill.", "a")["input_ids"]
    assert len(rows[0]["input_ids"][1]) == 24
    batch = work.collate(rows)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 2, 24)
    assert batch["labels"].tolist() == [1, 0]


def test_choices_of_another_number(make, config):
    with pytest.raises(InputError, match=r"^f, line 2: there are 3 choices, but the first example has 2. Give all"):
        make(CHOICES).features(records(chosen("a", "b", "c"), chosen("a", "b", "c", "d")), config)


def test_the_accuracy_of_choices(make, config, score):
    """The model takes the choice that speaks of the river."""
    work = make(CHOICES)
    rows = records(
        chosen("a", "the river", "the mill", label=0),
        chosen("a", "the mill", "the town " * 9, label=0),
        chosen("a", "the mill " * 9, "the river", label=1),
    )
    scores = score(work, config, work.features(rows, config), rows, lambda tokens: float("▁ri" in tokens))
    assert scores == {"accuracy": 1.0}
    rows[0].values["label"] = 1
    scores = score(work, config, work.features(rows, config), rows, lambda tokens: float("▁ri" in tokens))
    assert scores == pytest.approx({"accuracy": 2 / 3})
