"""What clients of Hugging Face's Inference API and of text-embeddings-inference send, and read."""

from __future__ import annotations

import numpy as np
import pytest
from starlette.testclient import TestClient

from conformance.suite.compare import assert_close
from deberta_dual import pipeline
from deberta_dual.serving.app import make_app
from deberta_dual.serving.settings import ServeSettings
from tests.serving.running import server

hub = pytest.importorskip("huggingface_hub")
TEXT = "Anna walks to St. Mary's on Sundays."


@pytest.fixture(scope="module")
def client(folders):
    settings = ServeSettings(models=tuple(map(str, folders.values())), framework="torch")
    with TestClient(make_app(settings), raise_server_exceptions=False) as client:
        yield client


def ask(client, route, **body):
    answer = client.post(route, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def scores(rows):
    return np.array([row["score"] for row in rows])


def test_parameters_are_the_fields_of_a_body(client):
    """Field by field: the answer is that of the same fields outside."""
    cases = [
        ("/predict", "classes", [[TEXT], ["a", "b"]], {"top_k": 2}),
        ("/predict", "classes", [[TEXT]], {"function_to_apply": "sigmoid", "top_k": None}),
        ("/tokens", "names", TEXT, {"aggregation_strategy": "none", "ignore_labels": [], "stride": 4}),
        ("/fill", "words", "Anna [MASK] home.", {"top_k": 2, "targets": ["the", "a"]}),
        ("/embed", "vectors", [TEXT * 9], {"normalize": False, "truncation_direction": "left", "truncation": True}),
        (
            "/answer",
            "reader",
            {"question": "Who walks?", "context": TEXT * 5},
            {"top_k": 2, "doc_stride": 4, "max_seq_len": 32, "max_question_len": 2, "align_to_words": True},
        ),
    ]
    for route, model, inputs, parameters in cases:
        found = ask(client, route, model=model, inputs=inputs, parameters=parameters, options={"wait_for_model": True})
        given = {{"truncation": "truncate"}.get(name, name): value for name, value in parameters.items()}
        assert found == ask(client, route, model=model, inputs=inputs, **given), route
        assert found != ask(client, route, model=model, inputs=inputs), f"{route}: the parameters changed nothing"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"inputs": "a", "parameters": {"temprature": 1}}, "temprature: Extra inputs"),
        ({"inputs": "a", "top_k": 1, "parameters": {"top_k": 2}}, "top_k is given twice"),
        ({"inputs": ["a", "b"], "parameters": {}}, "could be a pair or a batch"),
        ({"inputs": "a", "raw_scores": True, "function_to_apply": "softmax"}, "Give one of them"),
        ({"inputs": "a", "truncation_direction": "up"}, "truncation_direction: Input should be"),
        ({"inputs": "a", "options": {"wait": True}}, "options.wait: Extra inputs"),
    ],
)
def test_what_cannot_be_meant(client, body, text):
    answer = client.post("/predict", json=body)
    assert (answer.status_code, text in answer.json()["error"]) == (422, True), answer.text


def test_similar_texts(client):
    """The cosines of the vectors that `/embed` gives; the body as text-embeddings-inference has it."""
    texts = ["The river rises.", "Das Wasser ist kalt.", "A map."]
    vectors = np.array(ask(client, "/embed", model="vectors", inputs=texts))
    body = {"model": "vectors", "inputs": {"source_sentence": texts[0], "sentences": texts[1:]}}
    for route, given in (
        ("/similarity", body),
        ("/similarity", {**body, "parameters": {"truncate": True}}),
        ("/", body),
    ):
        found = np.array(ask(client, route, **given))
        assert_close(found, vectors[1:] @ vectors[0], quantity="pipeline", name="cosines")


@pytest.mark.parametrize("side", ["left", "Left"])
def test_the_beginning_of_a_text_is_cut(client, folders, side):
    """As by a pipeline whose tokenizer cuts there."""
    text, query, cut = "The river rises in spring. " * 8 + "Das Wasser ist kalt. " * 8, "What is cold?", {}
    for name, task, given in (
        ("classes", "text-classification", text),
        ("ranks", "ranking", {"query": query, "document": text}),
    ):
        run = pipeline(task, folders[name], framework="torch", truncation=True)
        run.tokenizer.truncation_side = "left"
        cut[name] = run([given], **({"top_k": None} if name == "classes" else {}))[0]
    found = ask(client, "/predict", inputs=text, truncation_direction=side)
    assert_close(scores(found), scores(cut["classes"]), quantity="pipeline", name="the end of a text")
    assert found != ask(client, "/predict", inputs=text)
    (rank,) = ask(client, "/rerank", model="ranks", query=query, texts=[text], truncation_direction=side)
    assert_close(np.array(rank["score"]), np.array(cut["ranks"]["score"]), quantity="pipeline", name="a pair")
    (vector,) = ask(client, "/embed", model="vectors", inputs=text, truncation_direction=side)
    assert np.abs(vector - np.array(ask(client, "/embed", model="vectors", inputs=text))).max() > 1e-3


def test_shapes_beside_parameters(client):
    """One text is a batch of one; classes of no model's come one by one."""
    alone = ask(client, "/predict", model="classes", inputs=TEXT)
    assert ask(client, "/predict", model="classes", inputs=TEXT, parameters={}) == [alone]
    labels = {"candidate_labels": ["walks", "rivers"]}
    own = ask(client, "/zero-shot", model="classes", inputs=TEXT, **labels)
    found = ask(client, "/zero-shot", model="classes", inputs=TEXT, parameters=labels)
    assert [(row["label"], row["score"]) for row in found] == list(zip(own["labels"], own["scores"], strict=True))
    assert ask(client, "/zero-shot", model="classes", inputs=[TEXT], parameters=labels) == [found]


def test_langchain_s_body(client):
    """`HuggingFaceInferenceAPIEmbeddings` of langchain sends this."""
    options = {"wait_for_model": True, "use_cache": True}
    assert np.shape(ask(client, "/", model="vectors", inputs=[TEXT, "a"], options=options)) == (2, 32)


def test_inference_client(folders):
    """A client of huggingface_hub at the root of a server."""
    with server(folders["classes"]) as (_, port):
        client = hub.InferenceClient(model=f"http://127.0.0.1:{port}")
        classes = client.text_classification(TEXT)
        assert {row.label for row in classes} == {"contradiction", "neutral", "entailment"}
        (best,) = client.text_classification(TEXT, top_k=1)
        assert best.label == classes[0].label
        found = client.zero_shot_classification(TEXT, ["walks", "rivers"], multi_label=True)
        assert {row.label for row in found} == {"walks", "rivers"}
        client = hub.InferenceClient(model=f"http://127.0.0.1:{port}/embed")
        vectors = client.feature_extraction([TEXT, "a"], truncation_direction="left", truncate=True)
        assert vectors.shape == (2, 32)
        client = hub.InferenceClient(model=f"http://127.0.0.1:{port}/similarity")
        cosines = client.sentence_similarity(TEXT, other_sentences=["a", TEXT])
        assert_close(np.array(cosines), np.array([vectors[0] @ vectors[1], 1.0]), quantity="pipeline", name="cosines")


def test_the_root_to_those_who_send_parameters(client):
    """As `InferenceClient` does, with all of its tasks, be there any or none."""
    of_tokens = hub.TokenClassificationOutputElement.parse_obj_as_list
    body = {"model": "names", "inputs": TEXT, "parameters": {"aggregation_strategy": "simple", "ignore_labels": []}}
    entities = of_tokens(ask(client, "/", **body))
    assert "".join(TEXT[row.start : row.end] for row in entities).replace(" ", "") == TEXT.replace(" ", "")
    body = {"model": "reader", "inputs": {"question": "Who walks?", "context": TEXT}, "parameters": {}}
    answer = hub.QuestionAnsweringOutputElement.parse_obj_as_instance(ask(client, "/", **body))
    assert TEXT[answer.start : answer.end] == answer.answer
    body = {"model": "words", "inputs": "Anna [MASK] home.", "parameters": {"top_k": 3}}
    words = hub.FillMaskOutputElement.parse_obj_as_list(ask(client, "/", **body))
    assert len({row.token_str for row in words}) == 3
