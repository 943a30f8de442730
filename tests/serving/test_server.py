"""The routes of `deberta serve`: what they answer, and what they refuse."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from conformance.suite.compare import assert_close
from deberta_core.errors import InputError
from deberta_dual import explain, pipeline
from deberta_dual.serving.app import make_app
from deberta_dual.serving.settings import ServeSettings

# Which of the models answers the example of a route.
MODELS = {
    "/embed": "vectors",
    "/predict": "classes",
    "/similarity": "vectors",
    "/rerank": "ranks",
    "/tokens": "names",
    "/answer": "reader",
    "/fill": "words",
    "/zero-shot": "classes",
    "/explain": "classes",
    "/v1/embeddings": "vectors",
}


@pytest.fixture(scope="module")
def settings(folders):
    return ServeSettings(models=tuple(map(str, folders.values())), framework="torch", max_texts=20, max_body=100_000)


@pytest.fixture(scope="module")
def client(settings):
    with TestClient(make_app(settings), raise_server_exceptions=False) as client:
        yield client


def ask(client, route, expected=200, **body):
    answer = client.post(route, json=body)
    assert answer.status_code == expected, answer.text
    return answer.json()


def scores(rows):
    return np.array([row["score"] for row in rows])


def test_examples_of_the_description_run(client):
    described = client.get("/openapi.json").json()
    bodies = {path: route["post"]["requestBody"] for path, route in described["paths"].items() if "post" in route}
    assert bodies.keys() == MODELS.keys()
    for path, body in bodies.items():
        name = body["content"]["application/json"]["schema"]["$ref"].rsplit("/", maxsplit=1)[-1]
        for example in described["components"]["schemas"][name]["examples"]:
            assert ask(client, path, model=MODELS[path], **example), path


def test_several_models_answer_as_one(folders, tmp_path):
    """As `pipeline` averages them; what an ensemble does not do is refused, and the other models still answer."""
    import torch

    import deberta_torch

    torch.manual_seed(5)
    first, second, text = folders["classes"], tmp_path / "second", "The river rises."
    model = deberta_torch.DebertaV2ForSequenceClassification(deberta_torch.DebertaV2Config.from_pretrained(first))
    model.save_pretrained(second)
    pipeline("text-classification", first, framework="torch").tokenizer.save_pretrained(second)
    members = [str(first), str(second)]
    settings = ServeSettings.read({"models": [members, str(second)], "framework": "torch"})
    mean = pipeline("text-classification", members, framework="torch", top_k=None)([text])[0]
    with TestClient(make_app(settings), raise_server_exceptions=False) as client:
        assert client.get("/info").json()["models"] == ["classes", "second"]
        found = ask(client, "/predict", inputs=text)
        assert [row["label"] for row in found] == [row["label"] for row in mean]
        assert_close(scores(found), scores(mean), quantity="pipeline", name="the mean of two")
        assert np.abs(scores(found) - scores(ask(client, "/predict", inputs=text, model="second"))).max() > 1e-3
        ask(client, "/zero-shot", inputs=text, candidate_labels=["water", "maps"])
        assert "vectors" in ask(client, "/embed", 422, inputs=text)["error"]
        assert "one model" in ask(client, "/explain", 422, text=text)["error"]


def test_vectors(client, folders):
    texts = ["The river rises.", "Das Wasser ist kalt und klar.", "A map."]
    wanted = np.stack(pipeline("sentence-embeddings", folders["vectors"], framework="torch", normalize=True)(texts))
    found = ask(client, "/embed", model="vectors", inputs=texts)
    assert_close(np.array(found), wanted, quantity="pipeline", name="vectors")
    assert_close(
        np.array(ask(client, "/embed", model="vectors", inputs=texts[0])), wanted[:1], quantity="pipeline", name="one"
    )
    raw = np.array(ask(client, "/embed", model="vectors", inputs=texts, normalize=False))
    assert np.abs(np.linalg.norm(raw, axis=1) - 1).min() > 0.1
    short = np.array(ask(client, "/embed", model="vectors", inputs=texts, dimensions=5))
    cut = wanted[:, :5] / np.linalg.norm(wanted[:, :5], axis=1, keepdims=True)
    assert_close(short, cut, quantity="pipeline", name="first numbers of vectors")


def test_ids_of_tokens(client, small_tokenizer):
    ids = small_tokenizer.encode("The river rises.", add_special_tokens=False)
    (wanted,) = ask(client, "/embed", model="vectors", inputs="The river rises.")
    assert ask(client, "/embed", model="vectors", inputs=ids) == [wanted]
    assert ask(client, "/embed", model="vectors", inputs=[ids, ids]) == [wanted, wanted]
    assert "from 0 to" in ask(client, "/embed", 422, model="vectors", inputs=[10**6])["error"]


def test_a_head_s_model_makes_vectors_too(client):
    assert np.shape(ask(client, "/embed", model="classes", inputs=["a", "b"])) == (2, 32)


def test_classes(client, folders):
    one = pipeline("text-classification", folders["classes"], framework="torch")
    text, pair = "The river rises.", ("Does it?", "It does.")
    found = ask(client, "/predict", inputs=text)
    wanted = one(text, top_k=None)
    assert [row["label"] for row in found] == [row["label"] for row in wanted]
    assert_close(scores(found), scores(wanted), quantity="pipeline", name="scores")
    of_pair = ask(client, "/predict", inputs=list(pair))
    assert_close(scores(of_pair), scores(one([pair], top_k=None)[0]), quantity="pipeline", name="a pair")
    batch = ask(client, "/predict", inputs=[[text], list(pair)])
    assert [scores(rows).tolist() for rows in batch] == [
        pytest.approx(scores(found).tolist()),
        pytest.approx(scores(of_pair).tolist()),
    ]
    raw = ask(client, "/predict", inputs=text, raw_scores=True)
    wanted = one(text, top_k=None, function_to_apply="none")
    assert_close(scores(raw), scores(wanted), quantity="pipeline", name="logits")


def test_ranks(client, folders):
    query, texts = "What is cold?", ["A map.", "The water is cold and clear.", "A quiet place."]
    ranked = pipeline("ranking", folders["ranks"], framework="torch").rank(query, texts)
    found = ask(client, "/rerank", model="ranks", query=query, texts=texts)
    assert [row["index"] for row in found] == [row["corpus_id"] for row in ranked]
    assert_close(scores(found), scores(ranked), quantity="pipeline", name="scores")
    assert all("text" not in row for row in found)
    found = ask(client, "/rerank", model="ranks", query=query, texts=texts, return_text=True)
    assert all(row["text"] == texts[row["index"]] for row in found)
    raw = ask(client, "/rerank", model="ranks", query=query, texts=texts, raw_scores=True)
    assert_close(1 / (1 + np.exp(-scores(raw))), scores(found), quantity="pipeline", name="scores of logits")


def test_other_tasks_are_their_pipelines(client, folders):
    text = "Anna walks to St. Mary's on Sundays."
    pairs = {
        "/tokens": ("token-classification", "names", text, {"aggregation_strategy": "simple"}),
        "/answer": ("question-answering", "reader", {"question": "Who walks?", "context": text}, {"top_k": 2}),
        "/fill": ("fill-mask", "words", "Anna [MASK] home.", {"top_k": 3}),
        "/zero-shot": ("zero-shot-classification", "classes", text, {"candidate_labels": ["walks", "rivers"]}),
    }
    for route, (task, model, example, options) in pairs.items():
        wanted = pipeline(task, folders[model], framework="torch")(example, **options)
        found = ask(client, route, model=model, inputs=example, **options)
        same(found, wanted)
        same(ask(client, route, model=model, inputs=[example, example], **options), [wanted, wanted])


def same(found, wanted):
    """Whether two results are the same, numbers to rounding."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            same(found[name], value)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
    elif isinstance(wanted, float):
        assert_close(np.array(found), np.array(wanted), quantity="pipeline", name="score")
    else:
        assert found == wanted


def test_openai_shapes(client):
    found = ask(client, "/v1/embeddings", model="vectors", input=["The river.", "A map."])
    assert found["object"] == "list"
    assert found["model"] == "vectors"
    assert [row["index"] for row in found["data"]] == [0, 1]
    assert found["usage"]["prompt_tokens"] == found["usage"]["total_tokens"] > 4
    coded = ask(client, "/v1/embeddings", model="vectors", input=["The river.", "A map."], encoding_format="base64")
    for row, other in zip(coded["data"], found["data"], strict=True):
        assert np.frombuffer(base64.b64decode(row["embedding"]), "<f4").tolist() == pytest.approx(other["embedding"])
    assert ask(client, "/v1/embeddings", 404, model="none", input="a").keys() == {"message", "code", "type"}
    assert [row["id"] for row in client.get("/v1/models").json()["data"]] == list(client.get("/info").json()["models"])


@pytest.mark.parametrize(
    ("model", "route", "body"),
    [
        ("classes", "/predict", {"inputs": "The river."}),
        ("classes", "/predict", {"inputs": [["The river.", "A map."]], "raw_scores": True}),
        ("ranks", "/rerank", {"query": "Where?", "texts": ["The river.", "A map."]}),
        ("vectors", "/embed", {"inputs": ["The river.", "A map."], "normalize": False}),
        ("words", "/embed", {"inputs": "The river."}),
    ],
)
def test_the_root_is_what_a_model_is_for(client, model, route, body):
    """As huggingface_hub's `InferenceClient(model=url)` asks."""
    assert ask(client, "/", model=model, **body) == ask(client, route, model=model, **body)


def test_openai_s_route_without_a_version(client):
    body = {"model": "vectors", "input": "The river."}
    assert ask(client, "/embeddings", **body) == ask(client, "/v1/embeddings", **body)


def test_a_discriminator_is_explained(client, folders):
    """Whether a token was replaced, attributed to all; to other routes it is a backbone."""
    found = ask(client, "/explain", model="replaced", text="The river rises.")
    assert (found["target"]["label"], found["answer"]) == ("replaced", None)
    assert max(map(abs, found["attributions"])) > 1e-4
    same(found, json.loads(json.dumps(explain(folders["replaced"], "The river rises.", framework="torch").to_dict())))
    assert np.shape(ask(client, "/embed", model="replaced", inputs=["a", "b"])) == (2, 32)


@pytest.mark.parametrize(
    ("model", "kind"),
    [("classes", "classifier"), ("ranks", "reranker"), ("vectors", "embedding"), ("words", "other")],
)
def test_info(client, model, kind):
    found = client.get("/info", params={"model": model}).json()
    assert found["model_id"] == model
    assert list(found["model_type"]) == [kind]
    assert found["max_input_length"] == 64
    assert found["model_dtype"] == "float32"


def test_health_and_counters(client):
    assert client.get("/health").status_code == 200
    ask(client, "/predict", inputs="a")
    lines = client.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("deberta_requests_total") and 'route="/predict"' in line]
    assert any('model="classes"' in line and 'status="200"' in line for line in counts)
    assert "deberta_waiting_tokens 0.0" in lines


BAD = {
    "no JSON": ("/predict", b"{", 400, "the body is no JSON"),
    "no object": ("/predict", b"[]", 422, "the body"),
    "nothing": ("/predict", b"{}", 422, "inputs: Field required"),
    "no inputs": ("/embed", {"inputs": []}, 422, "at least 1 item"),
    "no texts": ("/rerank", {"query": "a", "texts": []}, 422, "texts: List should have at least 1 item"),
    "a number": ("/predict", {"inputs": 7}, 422, "inputs: "),
    "three texts": ("/predict", {"inputs": ["a", "b", "c"]}, 422, "inputs"),
    "an unknown field": ("/predict", {"inputs": "a", "temprature": 1}, 422, "temprature: Extra inputs"),
    "an unknown model": ("/predict", {"inputs": "a", "model": "../x"}, 404, "there is no model '../x'. There are: cla"),
    "another head": ("/tokens", {"inputs": "a"}, 422, "does not do token-classification"),
    "a bad body at the root": ("/", {"inputs": "a", "temprature": 1}, 422, "temprature: Extra inputs"),
    "no body of a reranker": ("/", {"inputs": "a", "model": "ranks"}, 422, "query: Field required"),
    "a model that is no name": ("/", {"inputs": "a", "model": ["b"]}, 422, "model: Input should be a valid string"),
    "an unknown model at the root": ("/", {"inputs": "a", "model": "../x"}, 404, "there is no model '../x'"),
    "several classes": ("/rerank", {"query": "a", "texts": ["b"]}, 422, "ranking needs a model of one class"),
    "too many texts": ("/predict", {"inputs": [["a"]] * 21}, 422, "21 texts, and no more than 20"),
    "too long": ("/predict", {"inputs": "river " * 80, "truncate": False}, 422, "tokens, and the model reads 64"),
    "a lone surrogate": ("/predict", b'{"inputs": "\\ud800"}', 422, "surrogate"),
    "no mask": ("/fill", {"inputs": "a", "model": "words"}, 422, "[MASK]"),
    "no question": ("/answer", {"inputs": {"context": "a"}, "model": "reader"}, 422, "question: Field required"),
    "no labels": ("/zero-shot", {"inputs": "a", "candidate_labels": []}, 422, "candidate_labels"),
    "a bad template": (
        "/zero-shot",
        {"inputs": "a", "candidate_labels": ["b"], "hypothesis_template": "x"},
        422,
        "must hold {} once",
    ),
    "too many numbers": ("/embed", {"inputs": "a", "dimensions": 33}, 422, "more than the 32 of the model"),
    "a prompt": ("/embed", {"inputs": "a", "prompt_name": "query"}, 422, "prompt_name='query' is unknown"),
    "one bad of several": ("/fill", {"inputs": ["[MASK]", "b"], "model": "words"}, 422, "input 1: "),
    "too many bytes": ("/predict", {"inputs": "a" * 200_000}, 413, "more than 100000 bytes"),
    "no route": ("/classify", {"inputs": "a"}, 404, "there is no such route. There are: /answer, "),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests(client, case):
    route, body, status, text = BAD[case]
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = client.post(route, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error", "error_type"}
    assert text in answer.json()["error"]
    assert "Traceback" not in answer.text
    assert ask(client, "/predict", inputs="The river rises.")


def test_strange_texts_are_answered(client):
    for text in ("", " ", "\0", "a\u0000b", "🦌", "\u202e", "x" * 50_000):
        assert len(ask(client, "/predict", inputs=text)) == 3


def test_long_texts_are_cut(client):
    long = "river " * 200
    assert ask(client, "/predict", inputs=long) == ask(client, "/predict", inputs=long + "sea", truncate=True)


def test_errors_of_the_server_tell_nothing(settings, monkeypatch):
    app = make_app(settings)

    async def fail(*arguments):
        raise RuntimeError("a secret")

    monkeypatch.setattr("deberta_dual.serving.model.ServedModel.answer", fail)
    with TestClient(app, raise_server_exceptions=False) as client:
        found = ask(client, "/predict", 500, inputs="a")
    assert found == {"error": "the server failed; its log says why.", "error_type": "Backend"}


def test_the_key(folders):
    settings = ServeSettings(models=(str(folders["classes"]),), framework="torch", api_key="correct horse")
    with TestClient(make_app(settings)) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "correct horse"}):
            answer = client.post("/predict", json={"inputs": "a"}, headers=headers)
            assert answer.status_code == 401
            assert "Authorization" in answer.json()["error"]
        headers = {"Authorization": "Bearer correct horse"}
        assert client.post("/predict", json={"inputs": "a"}, headers=headers).status_code == 200
        assert client.get("/health").status_code == 200
        assert client.get("/metrics").status_code == 401


def test_other_sites(folders):
    models = (str(folders["classes"]),)
    origin = {"Origin": "https://example.org"}
    with TestClient(make_app(ServeSettings(models=models, framework="torch"))) as client:
        assert "access-control-allow-origin" not in client.get("/health", headers=origin).headers
    settings = ServeSettings(models=models, framework="torch", cors_origins=("https://example.org",))
    with TestClient(make_app(settings)) as client:
        assert client.get("/health", headers=origin).headers["access-control-allow-origin"] == "https://example.org"


def test_prompts(folders, tmp_path):
    import shutil

    folder = tmp_path / "prompted"
    shutil.copytree(folders["vectors"], folder)
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "The river: "}}))
    with TestClient(make_app(ServeSettings(models=(str(folder),), framework="torch"))) as client:
        assert ask(client, "/embed", inputs="a map", prompt_name="query") == ask(
            client, "/embed", inputs="The river: a map"
        )
        assert "are: query" in ask(client, "/embed", 422, inputs="a", prompt_name="passage")["error"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"models": ()}, "no model is given"),
        ({"models": ("a/b", "c/b/")}, "two models are called 'b'"),
        ({"port": 70000}, "port=70000"),
        ({"timeout": 0}, "timeout=0"),
        ({"max_batch_tokens": -1}, "max_batch_tokens=-1"),
        ({"api_key": ""}, "api_key is empty"),
    ],
)
def test_settings_are_checked(values, text):
    with pytest.raises(InputError, match=text.replace("(", "\\(")):
        ServeSettings(**{"models": ("a",), **values})


def test_a_graph_answers_the_same(folders, monkeypatch, tmp_path, client):
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = ServeSettings(models=(str(folders["classes"]),), framework="onnx")
    with TestClient(make_app(settings)) as other:
        for route in ("/predict", "/embed"):
            same(ask(other, route, inputs="The river rises."), ask(client, route, inputs="The river rises."))
