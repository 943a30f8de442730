"""Pipelines over whole texts: classes, zero-shot, choices, embeddings, masks. The models are scripted."""

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, DebertaWarning, InputError
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.pipelines import (
    FeatureExtractionPipeline,
    FillMaskPipeline,
    MultipleChoicePipeline,
    SentenceEmbeddingsPipeline,
    TextClassificationPipeline,
    ZeroShotClassificationPipeline,
)
from deberta_dual.pipelines.scores import sigmoid, softmax

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
NLI = {0: "contradiction", 1: "entailment", 2: "neutral"}
LOG = [float(np.log(number)) for number in (1, 2, 5)]  # logits whose softmax is 1/8, 2/8, 5/8


@pytest.fixture
def make(small_tokenizer):
    """Makes a pipeline of a class whose model gives `logits(texts)`, one row for each decoded text."""

    def build(cls, logits, config=None, **options):
        config = DebertaV2Config(**{"vocab_size": len(small_tokenizer), **SIZES, **(config or {})})

        def run(inputs, places):
            ids = inputs["input_ids"]
            texts = [small_tokenizer.decode(row[row > 0]) for row in ids.reshape(-1, ids.shape[-1])]
            return {"logits": np.array([logits(text) for text in texts], dtype="float32")}

        return cls(ArrayModel(config, cls.model_task, run), small_tokenizer, **options)

    return build


def scores(results):
    return np.array([result["score"] for result in results])


def test_probabilities_do_not_overflow():
    values = np.array([-1000.0, 0.0, 1000.0], dtype="float32")
    assert softmax(values).tolist() == [0.0, 0.0, 1.0]
    assert sigmoid(values).tolist() == [0.0, 0.5, 1.0]
    assert softmax(np.array([-np.inf, 1.0])).tolist() == [0.0, 1.0]


def test_classes_by_their_names(make):
    run = make(TextClassificationPipeline, lambda text: LOG, {"id2label": {0: "bad", 1: "fair", 2: "good"}})
    assert run("The river")[0]["label"] == "good"
    everything = run("The river", top_k=None)
    assert [result["label"] for result in everything] == ["good", "fair", "bad"]
    assert_close(scores(everything), np.array([5, 2, 1]) / 8, quantity="logits", name="scores")
    assert [result["label"] for result in run("The river", top_k=2)] == ["good", "fair"]


@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, {}, [5 / 6, 2 / 3, 1 / 2]),
        ({"num_labels": 3, "problem_type": "regression"}, {}, LOG[::-1]),
        ({"num_labels": 3}, {"function_to_apply": "sigmoid"}, [5 / 6, 2 / 3, 1 / 2]),
        ({"num_labels": 3, "problem_type": "regression"}, {"function_to_apply": "softmax"}, [5 / 8, 2 / 8, 1 / 8]),
    ],
)
def test_what_scores_are(make, config, options, expected):
    run = make(TextClassificationPipeline, lambda text: LOG, config, top_k=None, **options)
    assert_close(scores(run("The river")[0]), np.array(expected), quantity="logits", name="scores")


def test_one_class_is_a_probability_by_itself(make):
    run = make(TextClassificationPipeline, lambda text: [0.0], {"num_labels": 1})
    assert run("The river") == [{"label": "LABEL_0", "score": 0.5}]


def test_pairs_are_pairs(make, small_tokenizer):
    seen = []
    run = make(TextClassificationPipeline, lambda text: seen.append(text) or LOG, {"num_labels": 3})
    run({"text": "The river", "text_pair": "the mill"})
    assert seen == ["[CLS] The river[SEP] the mill[SEP]"]


def test_either_end_of_a_text_is_cut(make):
    """By an option of a call; the tokenizer, which others may share, stays as it is."""
    seen = []
    run = make(TextClassificationPipeline, lambda text: seen.append(text) or LOG, {"num_labels": 3}, truncation=True)
    short = run.tokenizer("river mill")["input_ids"]
    for side in ("left", "right", None):
        run("river mill town", max_length=len(short), truncation_side=side)
    assert seen[1:] == ["[CLS] river mill[SEP]"] * 2
    assert seen[0].endswith("town[SEP]")
    assert "river" not in seen[0]
    assert run.tokenizer.truncation_side == "right"
    with pytest.raises(InputError, match="truncation_side"):
        run("river", truncation_side="up")


def about_water(text):
    """Entails that it is about a river, contradicts the town a little, and the bells much."""
    return {"river": [0, 3, 0], "town": [1, 1, 0], "bells": [2, 0, 0]}[text.split()[-1].removesuffix(".[SEP]")]


def test_zero_shot(make):
    run = make(ZeroShotClassificationPipeline, about_water, {"id2label": NLI})
    found = run("The water is cold.", candidate_labels=["bells", "river", "town"])
    assert list(found) == ["sequence", "labels", "scores"]
    assert found["sequence"] == "The water is cold."
    assert found["labels"] == ["river", "town", "bells"]
    assert_close(np.array(found["scores"]), softmax(np.array([3.0, 1.0, 0.0])), quantity="logits", name="scores")
    alone = run("The water is cold.", candidate_labels="bells, river,town", multi_label=True)
    assert alone["labels"] == ["river", "town", "bells"]
    assert_close(np.array(alone["scores"]), sigmoid(np.array([3.0, 0.0, -2.0])), quantity="logits", name="scores")
    # A single class is judged by itself, otherwise it would always be certain.
    assert run("The water is cold.", candidate_labels=["town"])["scores"] == [0.5]


def test_the_hypothesis_is_the_second_text(make):
    seen = []
    run = make(ZeroShotClassificationPipeline, lambda text: seen.append(text) or [0, 0, 0], {"id2label": NLI})
    run("The water", candidate_labels=["the mill"], hypothesis_template="It was {} then.")
    assert seen == ["[CLS] The water[SEP] It was the mill then.[SEP]"]


def test_entailment_is_found_by_its_name(make):
    two = {0: "ENTAILMENT", 1: "not_entailment"}
    run = make(ZeroShotClassificationPipeline, lambda text: [1, 0], {"id2label": two})
    found = run("The water", candidate_labels=["river", "mill"], multi_label=True)
    assert_close(np.array(found["scores"]), sigmoid(np.array([1.0, 1.0])), quantity="logits", name="scores")
    with pytest.warns(DebertaWarning, match=r"LABEL_0, LABEL_1, LABEL_2; none begins with 'entail', and the last one"):
        run = make(ZeroShotClassificationPipeline, lambda text: [1, 0, 3], {"num_labels": 3})
    assert run.entailment_id == -1
    found = run("The water", candidate_labels="river")  # the last class against the first
    assert_close(np.array(found["scores"]), sigmoid(np.array([2.0])), quantity="logits", name="scores")
    odd = {0: "entailment", 1: "a", 2: "b"}
    run = make(ZeroShotClassificationPipeline, lambda text: [1, 0, 0], {"id2label": odd})
    with pytest.raises(InputError, match="begins with 'contr'"):
        run("The water", candidate_labels=["river", "mill"], multi_label=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "candidate_labels is missing"),
        ({"candidate_labels": []}, "Give a list of texts"),
        ({"candidate_labels": "a,,b"}, "empty text, or one twice"),
        ({"candidate_labels": ["a", "a"]}, "empty text, or one twice"),
        ({"candidate_labels": [1]}, "Give a list of texts"),
        ({"candidate_labels": ["a"], "hypothesis_template": "It is."}, "must hold {} once"),
        ({"candidate_labels": ["a"], "multi_label": 1}, "multi_label=1 is not a bool"),
    ],
)
def test_wrong_candidates(make, options, message):
    run = make(ZeroShotClassificationPipeline, lambda text: [0, 0, 0], {"id2label": NLI})
    with pytest.raises(InputError, match=message):
        run("The water is cold.", **options)


def test_choices(make):
    by_end = {"hills": LOG[0], "sea": LOG[2], "mill": LOG[1]}
    run = make(MultipleChoicePipeline, lambda text: [by_end[text.split()[-1].removesuffix("[SEP]")]])
    example = {"text": "It runs to", "choices": ["the hills", "the sea", "the mill"]}
    best = run(example)
    assert (best["label"], best["choice"]) == (1, "the sea")
    everything = run([{**example, "choices": example["choices"][:2]}, example], top_k=None)
    assert [result["label"] for result in everything[1]] == [1, 2, 0]
    assert_close(scores(everything[1]), np.array([5, 2, 1]) / 8, quantity="logits", name="scores")
    assert_close(scores(everything[0]), np.array([5, 1]) / 6, quantity="logits", name="scores")


@pytest.mark.parametrize("choices", [[], "the sea", ["the sea", ""], [3]])
def test_wrong_choices(make, choices):
    with pytest.raises(InputError, match="choices"):
        make(MultipleChoicePipeline, lambda text: [0.0])({"text": "It runs to", "choices": choices})


@pytest.fixture
def embed(small_tokenizer):
    """Makes a pipeline whose hidden states are [id, -id, 1] at real tokens and huge at padding."""

    def build(cls, **options):
        def run(inputs, places):
            ids = np.where(inputs["attention_mask"] > 0, inputs["input_ids"], 10**6).astype("float32")
            return {"last_hidden_state": np.stack([ids, -ids, np.ones_like(ids)], axis=-1)}

        config = DebertaV2Config(vocab_size=len(small_tokenizer), **SIZES)
        return cls(ArrayModel(config, None, run), small_tokenizer, **options)

    return build


def test_features_are_of_real_tokens(embed, small_tokenizer, prose):
    for text, features in zip(prose, embed(FeatureExtractionPipeline)(prose, return_tensors="np"), strict=True):
        assert features.dtype == np.float32
        assert features[0, :, 0].tolist() == small_tokenizer(text)["input_ids"]
        assert features.base.shape == features.shape[1:]  # not a view of a batch


def test_embeddings(embed, small_tokenizer, prose):
    run = embed(SentenceEmbeddingsPipeline)
    ids = [np.array(small_tokenizer(text)["input_ids"]) for text in prose]
    for pooling, function in {"first": lambda x: x[0], "mean": np.mean, "max": np.max}.items():
        for row, vector in zip(ids, run(prose, pooling=pooling), strict=True):
            assert vector.dtype == np.float32
            expected = np.array([function(row), function(-row), 1.0])
            assert_close(vector, expected, quantity="hidden", name=pooling)
    lengths = [np.linalg.norm(vector) for vector in run(prose, normalize=True)]
    assert_close(np.array(lengths), np.ones(len(prose)), quantity="hidden", name="lengths")
    with pytest.raises(InputError, match="pooling='last' is unknown"):
        run(prose, pooling="last")


@pytest.fixture
def fill(small_tokenizer):
    """A pipeline that finds "▁stone" before "▁mill" before "▁bank" at every mask, in this order."""
    words = {"▁mill": LOG[1], "▁stone": LOG[2], "▁bank": LOG[0]}
    ids = {small_tokenizer.convert_tokens_to_ids(word): score for word, score in words.items()}
    assert small_tokenizer.unk_token_id not in ids

    def run(inputs, places):
        assert (inputs["input_ids"][places[:, 0], places[:, 1]] == small_tokenizer.mask_token_id).all()
        logits = np.full((len(places), len(small_tokenizer)), -1e4, dtype="float32")
        for index, score in ids.items():
            logits[:, index] = score
        return {"logits": logits}

    config = DebertaV2Config(vocab_size=len(small_tokenizer), **SIZES)
    return FillMaskPipeline(ArrayModel(config, "masked_lm", run), small_tokenizer, top_k=2)


def test_fill_mask(fill, small_tokenizer):
    best, second = fill("L'été, the [MASK]  is old.")
    assert list(best) == ["score", "token", "token_str", "sequence"]
    assert (best["token_str"], best["sequence"]) == ("stone", "L'été, the stone  is old.")
    assert best["token"] == small_tokenizer.convert_tokens_to_ids("▁stone")
    assert second["token_str"] == "mill"
    assert_close(scores([best, second]), np.array([5, 2]) / 8, quantity="logits", name="scores")


def test_several_masks(fill):
    first, second = fill("The [MASK] and the [MASK].")
    assert [result["sequence"] for result in first] == ["The stone and the [MASK].", "The mill and the [MASK]."]
    assert [result["sequence"] for result in second] == ["The [MASK] and the stone.", "The [MASK] and the mill."]
    together = fill(["The [MASK].", "The [MASK] and the [MASK].", "A [MASK] there is."])
    assert [len(result) for result in together] == [2, 2, 2]
    assert together[2][0]["sequence"] == "A stone there is."


def test_targets(fill):
    found = fill("The [MASK].", targets=["bank", "▁mill"])
    assert [result["token_str"] for result in found] == ["mill", "bank"]
    assert_close(scores(found), np.array([2, 1]) / 8, quantity="logits", name="scores")
    with pytest.raises(InputError, match="targets has 'hippopotamus', which is"):
        fill("The [MASK].", targets="stone,hippopotamus")


def test_masks_must_be_there(fill, prose):
    with pytest.raises(InputError, match=r"the text holds no \[MASK\]"):
        fill("The river.")
    with (
        pytest.warns(UserWarning, match="reads max_length=64"),
        pytest.raises(InputError, match=r"a \[MASK\] stands beyond the max_length=64 tokens"),
    ):
        fill(f"[MASK] {' '.join(prose[:3])} [MASK]")
