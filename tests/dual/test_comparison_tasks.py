"""Ranking, rewards and sentence embeddings: which rows are compared, how answers are scored. Models are scripted."""

import numpy as np
import pytest

from deberta_core import DebertaV2Config, InputError
from deberta_core.comparisons import ANCHOR, NEGATIVE, POSITIVE
from deberta_dual.backends.protocol import ArrayModel, Comparison
from deberta_dual.evaluation.judges import JUDGES
from deberta_dual.evaluation.vectors import positive_ranks
from deberta_dual.finetuning import FINETUNE_TASKS, Record
from deberta_dual.finetuning.tasks.base import at
from deberta_dual.finetuning.tasks.ranking import queries_of

IDENTITY = {"activation_fn": "torch.nn.modules.linear.Identity"}


@pytest.fixture
def config(small_tokenizer):
    sizes = {"hidden_size": 2, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
    return DebertaV2Config(vocab_size=len(small_tokenizer), num_labels=1, position_biased_input=False, **sizes)


@pytest.fixture
def make(small_tokenizer):
    """Makes a task by its name."""

    def call(name, **choices):
        return FINETUNE_TASKS[name](small_tokenizer, max_length=24, batch_size=3, **choices)

    return call


@pytest.fixture
def scored(config, small_tokenizer):
    """A classifier whose logit is the number of tokens of a row."""
    return ArrayModel(
        config, "sequence_classification", lambda inputs, _: {"logits": inputs["attention_mask"].sum(1)[:, None] * 1.0}
    )


def records(*values):
    return [Record(dict(one), f"f, line {number}", number) for number, one in enumerate(values, 1)]


def documents(*rows):
    return records(*({"query": query, "document": text, "relevance": grade} for query, text, grade in rows))


RANKED = documents(("a", "river", 1), ("b", "mill", 0), ("a", "the old town", 0.5), ("c", "sea", 1), ("a", "hills", 0))


@pytest.mark.parametrize("relevance", [-1, "-0.5", float("nan"), "nan", "inf", "high", "", [1], 1001])
def test_a_bad_relevance(relevance):
    (record,) = documents(("a", "b", relevance))
    with pytest.raises(InputError, match=r"^f, line 1: relevance=.* is no number from 0 to 1000. Give 0"), at(record):
        FINETUNE_TASKS["ranking"].check(record)


def test_a_relevance_that_is_missing():
    with pytest.raises(InputError, match="there is no 'relevance', but: document, query, relevance"):
        FINETUNE_TASKS["ranking"].check(documents(("a", "b", None))[0])


def test_queries_keep_together():
    assert [own.tolist() for own in queries_of(RANKED)] == [[0, 2, 4], [1], [3]]
    assert [FINETUNE_TASKS["ranking"].group(record) for record in RANKED] == ["a", "b", "a", "c", "a"]
    assert [FINETUNE_TASKS["ranking"].group(record) for record in documents((5, "x", 0))] == ["5"]


def test_the_head_of_a_ranking(config):
    head = FINETUNE_TASKS["ranking"].head(RANKED, config, None)
    assert (head.changes["problem_type"], head.is_new) == ("multi_label_classification", False)
    for loss in ("pairwise", "listwise"):
        head = FINETUNE_TASKS["ranking"].head(RANKED, config.replace(num_labels=3), None, loss)
        assert head.is_new
        assert head.changes["problem_type"] is None
        assert head.changes["extra"]["sentence_transformers"] == IDENTITY


@pytest.mark.parametrize(("loss", "counts"), [("pairwise", [3, 0, 0]), ("listwise", [1, 0, 0])])
def test_documents_of_a_query_are_one_example(make, config, scored, small_tokenizer, loss, counts):
    work = make("ranking", loss=loss)
    features = work.features(RANKED, config)
    assert [work.count(feature) for feature in features] == counts
    assert [work.rows(feature) for feature in features] == [3, 1, 1]
    batch = work.collate(features[:2])
    assert batch["labels"].tolist() == [[0.0, 1.0], [0.0, 0.5], [0.0, 0.0], [1.0, 0.0]]
    assert batch["labels"].dtype == np.float32
    lengths = [len(small_tokenizer(one.values["query"], one.values["document"])["input_ids"]) for one in RANKED]
    assert batch["attention_mask"].sum(axis=1).tolist() == [lengths[place] for place in (0, 2, 4, 1)]
    assert work.answer(scored, RANKED, features).tolist() == lengths  # in the order of the file
    alone = make("ranking")
    assert alone.answer(scored, RANKED, alone.features(RANKED, config)).tolist() == lengths
    assert alone.comparison() is None


@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_documents_that_cannot_be_compared(make, config, loss):
    alone = documents(("a", "river", 1), ("b", "mill", 0))
    with pytest.raises(InputError, match=f"loss='{loss}' compares documents, but no query has two"):
        make("ranking", loss=loss).features(alone, config)
    assert make("ranking", loss=loss).features(alone, config, judged=True)


def test_a_loss_of_another_task(make):
    with pytest.raises(InputError, match="loss='cosine' is not for ranking, which has: pointwise, pairwise, listwise"):
        make("ranking", loss="cosine")
    with pytest.raises(InputError, match="pooling='mean' is not for reward, which has: nothing to choose there"):
        make("reward", pooling="mean")


def test_rewards(make, config, scored, small_tokenizer):
    work = make("reward")
    rows = records(
        {"text": "the old town", "rejected": "mill"},
        {"text": "sea", "rejected": "the hills above", "prompt": "Where?"},
        {"text": "sea", "rejected": "sea"},
    )
    features = work.features(rows, config)
    assert features[1]["input_ids"][0] == small_tokenizer("Where?", "sea")["input_ids"]
    assert work.collate(features)["labels"].tolist() == [[0, 1], [0, 0], [1, 1], [1, 0], [2, 1], [2, 0]]
    assert (work.comparison(), work.count(features[0])) == (Comparison("pairwise"), 1)
    answers = work.answer(scored, rows, features)
    assert answers.tolist() == [[sum(row) for row in one["attention_mask"]] for one in features]
    assert work.compare(config, answers, rows) == {"accuracy": pytest.approx(1 / 3)}
    judgement = JUDGES["reward"](config, np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), rows)
    losses = [np.log(2), np.log1p(np.exp(-2)), np.log1p(np.exp(3))]
    assert judgement.metrics == {"loss": pytest.approx(np.mean(losses))}
    assert judgement.mistakes.tolist() == [0.0, 0.0, 3.0]
    assert [work.group(record) for record in rows] == [None, "Where?", None]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": "a"}, "there is no 'rejected', but: text"),
        ({"text": "a", "rejected": [{"role": "user"}]}, "rejected is .*, of type list. A text must be a str"),
        ({"text": "a", "rejected": "b", "prompt": " "}, "prompt=' ' is empty"),
    ],
)
def test_a_bad_preference(values, message):
    (record,) = records(values)
    with pytest.raises(InputError, match=message):
        FINETUNE_TASKS["reward"].check(record)


PAIRS = records({"text": "river", "positive": "mill"}, {"text": "sea", "positive": "mill"})
TRIPLETS = records(
    {"text": "river", "positive": "mill", "negative": "sea"},
    {"text": "hills", "positive": "town", "negative": ["river"]},
)
SCORES = records({"text": "river", "positive": "mill", "score": "2.5"}, {"text": "sea", "positive": "town", "score": 5})


@pytest.mark.parametrize(
    ("rows", "loss", "roles", "texts", "scores"),
    [
        (PAIRS, "multiple-negatives", [ANCHOR, POSITIVE] * 2, [0, 1, 2, 1], [0, 0, 0, 0]),
        (TRIPLETS, "multiple-negatives", [ANCHOR, POSITIVE, NEGATIVE] * 2, [0, 1, 2, 3, 4, 0], [0] * 6),
        (SCORES, "cosine", [ANCHOR, POSITIVE] * 2, [0, 1, 2, 3], [0.5, 0.5, 1, 1]),
    ],
)
def test_texts_that_are_compared(make, config, rows, loss, roles, texts, scores):
    work = make("sentence-embeddings")
    features = work.features(rows, config)
    assert work.comparison() == Comparison(loss, "mean")
    assert [work.count(feature) for feature in features] == [1, 1]
    columns = work.collate(features)["labels"].T.tolist()
    size = len(roles) // 2
    assert columns == [[0.0] * size + [1.0] * size, roles, texts, scores]


def test_triplets(make, config):
    work = make("sentence-embeddings", loss="triplet", pooling="weighted")
    rows = records({"text": "a", "positive": "b", "negative": ["c", "d"]})
    (feature,) = work.features(rows, config)
    assert (work.count(feature), work.rows(feature)) == (2, 4)
    assert work.comparison() == Comparison("triplet", "weighted")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": "a"}, "there is no 'positive', but: text"),
        ({"text": "a", "positive": ""}, "a text='' is empty"),
        ({"text": "a", "positive": "b", "negative": [3]}, "a text is 3, of type int"),
        ({"text": "a", "positive": "b", "negative": "c", "score": 1}, "a score and a negative. Leave one"),
        ({"text": "a", "positive": "b", "score": "entailment"}, "score='entailment' is no number"),
        ({"text": "a", "positive": "b", "score": float("nan")}, "score=nan is no number"),
    ],
)
def test_bad_texts_to_compare(values, message):
    (record,) = records(values)
    with pytest.raises(InputError, match=message):
        FINETUNE_TASKS["sentence-embeddings"].check(record)


@pytest.mark.parametrize(
    ("rows", "loss", "message"),
    [
        ([*PAIRS, TRIPLETS[1]], None, "^f, line 2: there are 1 negatives and no score, unlike in the first"),
        ([*PAIRS, SCORES[0]], None, "^f, line 1: there are 0 negatives and a score, unlike"),
        (
            PAIRS,
            "triplet",
            "loss='triplet' does not fit examples with no score and no negative. ",
        ),
        (SCORES, "triplet", "does not fit examples with a score. For them there is: cosine"),
        (records({"text": "a", "positive": "b", "score": 2}), None, "whole numbers up to 2, which may be classes"),
    ],
)
def test_texts_that_do_not_go_together(make, config, rows, loss, message):
    with pytest.raises(InputError, match=message):
        make("sentence-embeddings", loss=loss).features(rows, config)


def backbone(config, small_tokenizer, vectors):
    """A backbone that gives the vector of a text to its first token, and nothing to others."""

    def run(inputs, places):
        hidden = np.zeros((*inputs["input_ids"].shape, 2), dtype="float32")
        for row, ids in enumerate(inputs["input_ids"].tolist()):
            hidden[row, 0] = vectors[small_tokenizer.decode(ids, skip_special_tokens=True).strip()]
        return {"last_hidden_state": hidden}

    return ArrayModel(config, None, run)


VECTORS = {"river": [1, 0], "mill": [1, 1], "sea": [0, 2], "hills": [-1, 0], "town": [0, 1]}
# Cosines: river-mill and sea-mill 0.71, sea-town 1, river-sea and river-town 0, hills-town 0, hills-river -1.


@pytest.mark.parametrize(
    ("rows", "metric", "scores", "mistakes"),
    [
        (TRIPLETS, "accuracy", {"accuracy": 1.0}, [0, 0]),
        (records({"text": "river", "positive": "sea", "negative": ["mill", "hills"]}), "accuracy", None, [0.5**0.5]),
        ([*SCORES, *records({"text": "hills", "positive": "river", "score": 0.5})], "spearman", None, [0, 0, 0]),
        (
            records({"text": "sea", "positive": "mill"}, {"text": "river", "positive": "town"}),
            "mrr@10",
            {"mrr@10": 0.5, "recall@1": 0.0, "recall@10": 1.0},
            [1, 1],
        ),
    ],
)
def test_the_scores_of_vectors(make, config, small_tokenizer, rows, metric, scores, mistakes):
    work = make("sentence-embeddings", pooling="first")
    features = work.features(rows, config, judged=True)
    answers = work.answer(backbone(config, small_tokenizer, VECTORS), rows, features)
    found = work.compare(config, answers, rows)
    assert work.metric(config, rows) == metric
    assert metric in found
    expected = {"accuracy": 0.5} if metric == "accuracy" else {"spearman": 1.0, "pearson": found.get("pearson")}
    assert found == pytest.approx(scores or expected)
    assert JUDGES["sentence-embeddings"](config, answers, rows).mistakes.tolist() == pytest.approx(mistakes)


def test_ranks_of_positives():
    """Other answers to an equal question, the question itself, and equal answers do not stand before one."""
    rows = [("q", "a"), ("q", "b"), ("r", "a"), ("r", "q"), ("s", "t")]
    places = {"q": [1, 0], "a": [1, 0.1], "b": [1, 0.5], "r": [1, 0.05], "s": [0, 1], "t": [-1, 0]}
    vectors = np.array([[places[text] for text in row] for row in rows], dtype="float64")
    # For q: a and b are right, q is itself; t is far. For r: q (0.05 away) before a. For s: b, a, q before t.
    assert positive_ranks(vectors, rows).tolist() == [1, 1, 1, 1, 4]
    equal = np.ones((2, 2, 3))
    assert positive_ranks(equal, [("a", "b"), ("c", "d")]).tolist() == [2, 2]  # nothing is known of them
