"""Pipelines around PyTorch models: what is loaded, what is given, and the numbers against the reference."""

import json
import threading

import numpy as np
import pytest
import torch

from conformance.suite.compare import assert_close
from deberta_core import DebertaConfig, DebertaV2Config, InputError, reference
from deberta_dual import pipeline
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.pipelines import PIPELINES
from deberta_torch import (
    DebertaForSequenceClassification,
    DebertaV2ForMaskedLM,
    DebertaV2ForSequenceClassification,
    DebertaV2ForTokenClassification,
)


@pytest.fixture(scope="module")
def config(small_tokenizer):
    return DebertaV2Config(
        vocab_size=len(small_tokenizer),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        max_position_embeddings=64,
        position_buckets=8,
        pos_att_type="p2c|c2p",
        position_biased_input=False,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        initializer_range=0.3,
        id2label={0: "contradiction", 1: "entailment", 2: "neutral"},
    )


@pytest.fixture
def model(config):
    torch.manual_seed(0)
    return DebertaV2ForSequenceClassification(config)


@pytest.fixture
def folder(model, small_tokenizer, tmp_path):
    model.save_pretrained(tmp_path)
    small_tokenizer.save_pretrained(tmp_path)
    return tmp_path


def array_model_of_reference(model):
    """The executable specification as the model of a pipeline."""
    params = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}

    def run(inputs, places):
        outputs = reference.forward(model.config, params, inputs, model.task)
        return {"logits": outputs["logits"] if places is None else outputs["logits"][places[:, 0], places[:, 1]]}

    return ArrayModel(model.config, model.task, run)


def encoder_of(run):
    """The encoder of the model inside a pipeline."""
    return run.arrays.run.args[0].deberta.encoder


def all_scores(results):
    return np.array([[found["score"] for found in result] for result in results])


def test_scores_are_those_of_the_specification(model, small_tokenizer, prose):
    expected = PIPELINES["text-classification"](array_model_of_reference(model), small_tokenizer, top_k=None)(prose)
    run = pipeline("text-classification", model, small_tokenizer, batch_size=4, top_k=None)
    actual = run(prose)
    assert [[one["label"] for one in row] for row in actual] == [[one["label"] for one in row] for row in expected]
    assert_close(all_scores(actual), all_scores(expected), quantity="logits", name="scores")


def test_masks_are_those_of_the_specification(config, small_tokenizer, prose):
    """Only the masks meet the head, and it gives what it gives for all tokens."""
    texts = ["The [MASK] rises in the [MASK].", prose[0], "[MASK]"]
    texts[1] = texts[1].replace("hills", "[MASK]")
    for legacy in (True, False):
        model = DebertaV2ForMaskedLM(config.replace(legacy=legacy)).eval()
        expected = PIPELINES["fill-mask"](array_model_of_reference(model), small_tokenizer)(texts)
        actual = pipeline("fill-mask", model, small_tokenizer)(texts)
        assert [one["token"] for one in actual[1]] == [one["token"] for one in expected[1]]
        for ours, theirs in zip([*actual[0], *actual[1:]], [*expected[0], *expected[1:]], strict=True):
            assert_close(all_scores([ours]), all_scores([theirs]), quantity="logits", name="scores")


def test_a_loaded_model_is_optimised_and_a_given_one_is_not(folder, model, small_tokenizer, prose):
    loaded = pipeline("text-classification", folder, framework="torch", device="cpu", top_k=None)
    given = pipeline("text-classification", model, small_tokenizer, top_k=None)
    assert encoder_of(loaded).packed is not None
    assert encoder_of(given).packed is None
    assert_close(all_scores(loaded(prose)), all_scores(given(prose)), quantity="logits", name="scores")


def test_a_model_of_the_hub(hub_server, folder, tmp_path, prose):
    hub_server.publish("someone/classifier", folder)
    options = {"framework": "torch", "device": "cpu", "cache_dir": tmp_path / "mine"}
    run = pipeline("text-classification", "someone/classifier", **options)
    assert run(prose[0]) == pipeline("text-classification", folder, device="cpu")(prose[0])


def test_talking_heads_are_loaded_as_they_are(small_tokenizer, tmp_path, prose):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = DebertaConfig(vocab_size=len(small_tokenizer), **sizes, talking_head=True, relative_attention=True)
    DebertaForSequenceClassification(config).save_pretrained(tmp_path)
    run = pipeline("text-classification", tmp_path, small_tokenizer, device="cpu")
    assert encoder_of(run).packed is None
    assert run(prose[0])[0]["label"] in ("LABEL_0", "LABEL_1")


def test_a_call_leaves_the_model_as_it_is(config, small_tokenizer, prose):
    model = DebertaV2ForTokenClassification(config.replace(hidden_dropout_prob=0.5)).train()
    model.classifier.eval()
    run = pipeline("token-classification", model, small_tokenizer)
    assert run(prose[0]) == run(prose[0])  # no dropout
    assert model.training
    assert model.deberta.training
    assert not model.classifier.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_a_pipeline_follows_its_model(model, small_tokenizer, prose):
    run = pipeline("text-classification", model, small_tokenizer)
    before = run(prose[0])
    with torch.no_grad():
        model.classifier.bias += torch.tensor([0.0, 0.0, 50.0])
    assert run(prose[0]) != before
    assert run(prose[0])[0]["label"] == "neutral"


def test_the_backbone_of_any_model_has_features(folder, model, small_tokenizer, prose):
    given = pipeline("feature-extraction", model, small_tokenizer, return_tensors="np")(prose[:3])
    loaded = pipeline("feature-extraction", folder, framework="torch", device="cpu", return_tensors="np")(prose[:3])
    for one, other in zip(given, loaded, strict=True):
        assert one.shape[2] == 24
        assert_close(one, other, quantity="hidden", name="features")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"framework": "tf"}, "framework='tf', but the model is one of 'torch'"),
        ({"dtype": "bfloat16"}, "dtype='bfloat16' is for models that are loaded here"),
        ({"device": "cuda:7"}, "device='cuda:7' is no device of torch here"),
        ({"tokenizer": None}, "tokenizer is missing"),
    ],
)
def test_what_a_given_model_cannot_be_asked(model, small_tokenizer, options, message):
    with pytest.raises(InputError, match=message):
        pipeline("text-classification", model, **{"tokenizer": small_tokenizer, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "toaster"}, "device='toaster' is no device of torch"),
        ({"device": "cpu", "dtype": "float7"}, "float7"),
        ({"framework": "torch", "top_q": 3}, "option 'top_q' is unknown. Did you mean 'top_k'"),
    ],
)
def test_what_cannot_be_loaded(folder, options, message):
    with pytest.raises(InputError, match=message):
        pipeline("text-classification", folder, **options)


def test_several_threads_may_share_a_pipeline(model, small_tokenizer, prose):
    run = pipeline("text-classification", model.eval(), small_tokenizer, batch_size=4)
    expected, found = run(prose), {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: run(prose)})) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), expected)


def test_real_vocabulary_and_real_pairs(shared, tmp_path):
    """The published v3 vocabulary, on pairs of a real data set."""
    tokenizer = str(shared / "data" / "deberta_v3_tokenizer")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = DebertaV2Config(vocab_size=128100, **sizes, max_position_embeddings=512)
    run = pipeline("text-classification", DebertaV2ForSequenceClassification(config), tokenizer)
    pairs = [{"text": "Paris is in France 😀.", "text_pair": "Ünïcode"}, {"text": "日本", "text_pair": "a"}]
    assert [sorted(result) for result in run(pairs)] == [["label", "score"]] * 2
    assert json.dumps(run(pairs))
