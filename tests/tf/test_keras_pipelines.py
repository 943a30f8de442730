"""Every pipeline gives the same from the same checkpoint in both frameworks; and what is Keras' own."""

import importlib
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core import InputError
from deberta_core.checkpoint import save_weights
from deberta_core.parameters import expand
from deberta_dual import pipeline
from deberta_dual.backends.tf import EAGER_BATCHES
from deberta_dual.pipelines import PIPELINES
from deberta_tf import TFDebertaV2ForSequenceClassification, TFDebertaV2ForTokenClassification

UNICODE = "Ünïcode: Zürich, 東京 and 😀 are\u00a0far\tfrom\n St. Mary's."
NLI = {0: "contradiction", 1: "entailment", 2: "neutral"}
TAGS = {0: "O", 1: "B-LOC", 2: "I-LOC", 3: "B-PER", 4: "I-PER"}


class Case(NamedTuple):
    """Inputs and options of a pipeline, and the names of the model's classes."""

    inputs: Any
    options: dict[str, Any]
    labels: dict[int, str] = NLI


@pytest.fixture(scope="module")
def cases(prose) -> dict[str, Case]:
    texts = [*prose, UNICODE]
    long = " ".join(prose[:5])
    questions = [{"question": "What did the ferryman say?", "context": text} for text in (*texts, long)]
    choices = [{"text": text, "choices": prose[:number]} for number, text in enumerate(prose[:4], 1)]
    masked = ["The [MASK] rises in the [MASK].", "A map of 1790 shows [MASK] bridges.", f"{UNICODE} [MASK]"]
    pairs = [{"text": first, "text_pair": second} for first, second in zip(texts[:4], texts[4:8], strict=True)]
    long_rows = {"max_length": 200}  # of pairs; the tokenizer's limit of 64 makes windows of contexts
    labels = {"candidate_labels": ["a river", "a town", "Geld"]}
    return {
        "text-classification": Case([*texts, *pairs], {"top_k": None, **long_rows}),
        "zero-shot-classification": Case(texts[-4:], {**labels, **long_rows}),
        "token-classification": Case([*texts, long], {"aggregation_strategy": "first", "ignore_labels": []}, TAGS),
        "question-answering": Case(questions, {"top_k": 3, "handle_impossible_answer": True}),
        "fill-mask": Case(masked, {"top_k": 4}),
        "masked-lm": Case([*masked, prose[0], long], {}),
        "ranking": Case(
            [{"query": pair["text"], "document": pair["text_pair"]} for pair in pairs], long_rows, {0: "fits"}
        ),
        "reward": Case(
            [*texts, *({"prompt": pair["text"], "text": pair["text_pair"]} for pair in pairs)], long_rows, {0: "score"}
        ),
        "multiple-choice": Case(choices, {"top_k": None, **long_rows}),
        "feature-extraction": Case(texts, {"return_tensors": "np"}),
        "sentence-embeddings": Case(texts, {"normalize": True}),
    }


@pytest.fixture(scope="module")
def make_folder(config, small_tokenizer, tmp_path_factory):
    """Makes a checkpoint of a pipeline's task, with weights so large that answers differ."""

    def make(name, labels):
        folder = tmp_path_factory.mktemp(name)
        named = config.replace(id2label=labels)
        random = np.random.default_rng(3)
        weights = {
            parameter.name: random.normal(0.0, 0.3, parameter.shape).astype("float32")
            for parameter in expand(named, PIPELINES[name].model_task).values()
        }
        named.save_pretrained(folder)
        save_weights(folder, named, PIPELINES[name].model_task, weights)
        small_tokenizer.save_pretrained(folder)
        return folder

    return make


def split_result(value, numbers):
    """A result without its floats, which are added to `numbers` in order."""
    if isinstance(value, dict):
        return {name: split_result(part, numbers) for name, part in value.items()}
    if isinstance(value, list):
        return [split_result(part, numbers) for part in value]
    if isinstance(value, np.ndarray):
        numbers += value.ravel().tolist()
        return value.shape
    if isinstance(value, float):
        numbers.append(value)
        return "a number"
    return value


@pytest.mark.parametrize("name", PIPELINES)
def test_both_frameworks_answer_alike(name, cases, make_folder):
    pytest.importorskip("torch")
    case = cases[name]
    folder = make_folder(name, case.labels)
    answers, numbers = {}, {}
    for framework in ("torch", "tf"):
        run = pipeline(name, folder, framework=framework, device="cpu", batch_size=8, **case.options)
        results = run(case.inputs)
        assert len(results) == len(case.inputs)
        numbers[framework] = []
        answers[framework] = split_result(results, numbers[framework])
    assert answers["tf"] == answers["torch"]  # the same words, labels, places, order
    assert numbers["tf"]
    actual, expected = (np.array(numbers[framework]) for framework in ("tf", "torch"))
    assert_close(actual, expected, quantity="pipeline", name=name)


def test_a_graph_gives_what_single_operations_give(tiny_config, small_tokenizer, prose):
    """After the first batches one graph serves every shape."""
    model = TFDebertaV2ForSequenceClassification(tiny_config.replace(id2label=NLI))
    run = pipeline("text-classification", model, small_tokenizer, batch_size=1, top_k=None)
    texts = prose[:EAGER_BATCHES]
    before = run(texts)
    assert run.arrays.run._graph is None
    after = [run(text)[0] for text in texts[:2]] + run(texts[2:])
    assert run.arrays.run._graph is not None
    assert run.arrays.run._graph.experimental_get_tracing_count() == 1
    numbers = [], []
    assert split_result(before, numbers[0]) == split_result(after, numbers[1])
    assert_close(*map(np.array, numbers), quantity="pipeline", name="scores")
    model.classifier.bias.assign([0.0, 0.0, 50.0])
    assert run(texts[0])[0][0]["label"] == "neutral"  # the graph follows the weights


@pytest.mark.skipif(keras.__version__.startswith("3.8."), reason="XLA of Keras 3.8 takes no axis of any length")
def test_few_shapes_where_shapes_are_compiled(tiny_config, small_tokenizer, prose):
    """XLA compiles every shape anew, so that batches are filled up."""
    model = TFDebertaV2ForSequenceClassification(tiny_config.replace(id2label=NLI))
    run = pipeline("text-classification", model, small_tokenizer, batch_size=4, top_k=None)
    expected = run(prose[:3])
    model.jit_compile = True
    filled = pipeline("text-classification", model, small_tokenizer, batch_size=4, top_k=None)
    assert (run.arrays.compiles, filled.arrays.compiles) == (False, True)
    for _ in range(EAGER_BATCHES + 1):
        actual = filled(prose[:3])
    assert filled.arrays.run._graph is not None
    numbers = [], []
    assert split_result(actual, numbers[0]) == split_result(expected, numbers[1])
    assert_close(*map(np.array, numbers), quantity="pipeline", name="scores")


def test_dropout_is_off(config, small_tokenizer, prose):
    model = TFDebertaV2ForTokenClassification(config.replace(id2label=TAGS))
    run = pipeline("token-classification", model, small_tokenizer, ignore_labels=[])
    assert run(prose[0]) == run(prose[0])


def test_the_backbone_of_a_given_model_has_features(config, small_tokenizer, prose):
    model = TFDebertaV2ForTokenClassification(config)
    (features,) = pipeline("feature-extraction", model, small_tokenizer, return_tensors="np")(prose[:1])
    inputs = small_tokenizer(prose[0], return_tensors="np")
    expected = np.array(model.deberta(dict(inputs)).last_hidden_state)[0]
    assert_close(features[0], expected, quantity="hidden", name="features")


def test_devices_and_dtypes(config, small_tokenizer, make_folder, prose):
    folder = make_folder("text-classification", NLI)
    with pytest.raises(InputError, match=r"device='cuda:0' is not here. TensorFlow has: cpu:0"):
        pipeline("text-classification", folder, framework="tf", device="cuda:0")
    with pytest.raises(InputError, match="device='toaster' is not here"):
        pipeline("text-classification", TFDebertaV2ForSequenceClassification(config), small_tokenizer, device="toaster")
    with pytest.raises(InputError, match="dtype='float7' is no dtype or policy of Keras"):
        pipeline("text-classification", folder, framework="tf", dtype="float7")
    run = pipeline("text-classification", folder, framework="tf", device="cpu:0", dtype="bfloat16")
    assert 0.0 < run(prose[0])[0]["score"] < 1.0


def test_the_backend_is_told(config, small_tokenizer, monkeypatch):
    keras = importlib.import_module("keras")
    model = TFDebertaV2ForSequenceClassification(config)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match=r"Keras runs on 'jax'\. Set KERAS_BACKEND=tensorflow"):
        pipeline("text-classification", model, small_tokenizer)
