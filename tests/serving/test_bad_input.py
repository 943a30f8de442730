"""Every route with what no client should send: a status of 4xx, a sentence, and the server lives."""

from __future__ import annotations

import json
import time

import pytest
from starlette.testclient import TestClient

from deberta_dual.serving.app import make_app
from deberta_dual.serving.settings import ServeSettings

# Route -> a body that is answered, and its field of texts.
GOOD = {
    "/embed": ({"model": "vectors", "inputs": "a"}, "inputs"),
    "/similarity": ({"model": "vectors", "inputs": {"source_sentence": "a", "sentences": ["a"]}}, "inputs"),
    "/predict": ({"model": "classes", "inputs": "a"}, "inputs"),
    "/rerank": ({"model": "ranks", "query": "a", "texts": ["a"]}, "texts"),
    "/tokens": ({"model": "names", "inputs": "a"}, "inputs"),
    "/answer": ({"model": "reader", "inputs": {"question": "a", "context": "a"}}, "inputs"),
    "/fill": ({"model": "words", "inputs": "[MASK]"}, "inputs"),
    "/zero-shot": ({"model": "classes", "inputs": "a", "candidate_labels": ["a", "b"]}, "inputs"),
    "/explain": ({"model": "classes", "text": "a"}, "text"),
    "/v1/embeddings": ({"model": "vectors", "input": "a"}, "input"),
}


def with_text(route, text):
    """The body of a route with another text in the same shape."""
    body, field = GOOD[route]
    shapes = {
        "/rerank": [text],
        "/answer": {"question": "a", "context": text},
        "/fill": f"[MASK] {text}",
        "/similarity": {"source_sentence": "a", "sentences": [text]},
    }
    return {**body, field: shapes.get(route, text)}


def many(route):
    """The body of a route with 100,000 texts."""
    body, field = GOOD[route]
    one = {"/predict": ["a"], "/answer": {"question": "", "context": ""}}.get(route, "a")
    texts = [one] * 100_000
    return {**body, field: {"source_sentence": "a", "sentences": texts} if route == "/similarity" else texts}


def coded(value):
    return json.dumps(value).encode()


# What is sent to a route, and the statuses that may come back.
BAD = {
    "nothing": (lambda route: b"", {422}),
    "no JSON": (lambda route: b'{"inputs": ', {400}),
    "no UTF-8": (lambda route: b'{"inputs": "\xff"}', {400}),
    "lists in lists": (lambda route: b"[" * 100_000, {400}),
    "a number of many digits": (lambda route: b'{"model": ' + b"9" * 10_000 + b"}", {400}),
    "a list": (lambda route: b"[]", {422}),
    "null": (lambda route: coded({**GOOD[route][0], GOOD[route][1]: None}), {422}),
    "a number": (lambda route: coded({**GOOD[route][0], GOOD[route][1]: 1.5}), {422}),
    "not a number": (lambda route: coded({**GOOD[route][0], GOOD[route][1]: float("nan")}), {422}),
    "an object": (lambda route: coded({**GOOD[route][0], GOOD[route][1]: {"a": 1}}), {422}),
    "lists of numbers and texts": (lambda route: coded({**GOOD[route][0], GOOD[route][1]: [1, "a", None]}), {422}),
    "an empty list": (lambda route: coded({**GOOD[route][0], GOOD[route][1]: []}), {422}),
    "10 MB": (lambda route: coded(with_text(route, "a" * 10_000_000)), {413}),
    "100,000 texts": (lambda route: coded(many(route)), {413, 422}),
    "a lone surrogate": (lambda route: coded(with_text(route, "a \ud800 b")), {422}),
    "a lone surrogate as the model": (lambda route: coded({**GOOD[route][0], "model": "\ud800"}), {404}),
    "a field of a lone surrogate": (lambda route: coded({**GOOD[route][0], "\udfff": 1}), {422}),
    "an unknown field": (lambda route: coded({**GOOD[route][0], "nonsense": 1}), {422}),
    "an unknown parameter": (lambda route: coded({**GOOD[route][0], "parameters": {"nonsense": 1}}), {422}),
    "parameters that are none": (lambda route: coded({**GOOD[route][0], "parameters": [1]}), {422}),
    "parameters of a lone surrogate": (
        lambda route: coded({**GOOD[route][0], "\udfff": 1, "parameters": {"\udfff": 1}}),
        {422},
    ),
    "parameters in parameters": (lambda route: coded({**GOOD[route][0], "parameters": {"parameters": {}}}), {422}),
    "an unknown model": (lambda route: coded({**GOOD[route][0], "model": "../../etc/passwd"}), {404}),
    "NUL": (lambda route: coded(with_text(route, "a\0b")), {200}),
}
OF_EXPLAIN = ({"layer": 2}, {"layer": -3}, {"head": 2}, {"layer": 10**30}, {"token": 99}, {"target": "a"}, {"steps": 0})


@pytest.fixture(scope="module")
def client(folders):
    settings = ServeSettings(models=tuple(map(str, folders.values())), framework="torch")
    with TestClient(make_app(settings), raise_server_exceptions=False) as client:
        yield client


def check_refusal(answer, statuses, folders):
    """Whether an answer is one of the statuses, with a sentence that tells nothing of the machine."""
    assert answer.status_code in statuses, answer.text[:500]
    told = answer.json()
    sentence = told.get("error", told.get("message"))
    assert sentence.endswith("."), sentence
    assert len(sentence) < 1000
    for secret in ("Traceback", "File ", str(next(iter(folders.values())).parent)):
        assert secret not in answer.text


@pytest.mark.parametrize("route", GOOD)
def test_every_route_with_bad_input(client, folders, route):
    for name, (make, statuses) in BAD.items():
        answer = client.post(route, content=make(route), headers={"Content-Type": "application/json"})
        if statuses == {200}:
            assert answer.status_code == 200, name
        else:
            check_refusal(answer, statuses, folders)
    assert client.post(route, json=GOOD[route][0]).status_code == 200


@pytest.mark.parametrize("route", GOOD)
def test_a_body_that_says_it_is_something_else(client, folders, route):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "image/png"):
        answer = client.post(route, content=coded(GOOD[route][0]), headers={"Content-Type": kind})
        check_refusal(answer, {422}, folders)


@pytest.mark.parametrize("given", OF_EXPLAIN, ids=str)
def test_what_cannot_be_explained(client, folders, given):
    check_refusal(client.post("/explain", json={**GOOD["/explain"][0], **given}), {422}, folders)


def test_other_methods_and_addresses(client, folders):
    for route in GOOD:
        check_refusal(client.get(route), {405}, folders)
    check_refusal(client.get("/info", params={"model": "\0"}), {404}, folders)
    check_refusal(client.get("/info?model=%ff%fe"), {404}, folders)
    check_refusal(client.post("/../../etc/passwd"), {404}, folders)


MUCH = {
    "windows of a text": ("/tokens", {"model": "names", "inputs": "the river " * 4000, "stride": 61}),
    "windows of many texts": ("/tokens", {"model": "names", "inputs": ["the river " * 100] * 20, "stride": 61}),
    "windows of a context": (
        "/answer",
        {"model": "reader", "inputs": {"question": "a", "context": "the river " * 4000}, "doc_stride": 56},
    ),
    "a question that leaves little room": (
        "/answer",
        {"model": "reader", "inputs": {"question": "a " * 55, "context": "the river " * 4000}},
    ),
    "classes": ("/zero-shot", {"inputs": "the river " * 50, "candidate_labels": [f"l{n}" for n in range(5000)]}),
}


@pytest.mark.parametrize("name", MUCH)
def test_little_that_becomes_much(folders, name):
    """What a model reads of a request is bounded, too: windows can share almost all of their tokens."""
    settings = ServeSettings(models=tuple(map(str, folders.values())), framework="torch", max_body=60_000)
    route, body = MUCH[name]
    with TestClient(make_app(settings), raise_server_exceptions=False) as client:
        begun = time.monotonic()
        answer = client.post(route, json={"model": "classes", **body})
        check_refusal(answer, {422}, folders)
        assert "more than 60000 tokens" in answer.text
        assert time.monotonic() - begun < 10
        with_defaults = {field: value for field, value in body.items() if "stride" not in field}
        if len(with_defaults) < len(body):
            assert client.post(route, json=with_defaults).status_code == 200
