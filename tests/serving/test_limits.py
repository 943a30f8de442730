"""What a client and an operator see where a request meets a limit of the server."""

from __future__ import annotations

import asyncio
import json
import logging
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from deberta_dual.pipelines import loading
from deberta_dual.serving.app import make_app
from deberta_dual.serving.errors import Refused
from deberta_dual.serving.model import ServedModel
from deberta_dual.serving.settings import ServeSettings

TEXT = "Nobody builds there now."


@pytest.fixture
def client(folders):
    """Makes a client of a server with these settings."""

    def make(**settings):
        return TestClient(
            make_app(ServeSettings(models=(str(folders["classes"]),), **{"framework": "torch", **settings}))
        )

    return make


def test_where_too_much_waits_the_client_hears_when_to_come_back(client, monkeypatch):
    async def full(*arguments):
        raise Refused("900 tokens wait, and no more than 20 may. Try again in 7 s.", "Overloaded", 7)

    monkeypatch.setattr(ServedModel, "answer", full)
    with client() as one:
        answer = one.post("/predict", json={"inputs": TEXT})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json() == {
        "error": "900 tokens wait, and no more than 20 may. Try again in 7 s.",
        "error_type": "Overloaded",
    }


def test_an_answer_that_takes_too_long(client, monkeypatch):
    async def slow(*arguments):
        await asyncio.sleep(60)

    monkeypatch.setattr(ServedModel, "answer", slow)
    with client(timeout=0.5) as one:
        answer = one.post("/predict", json={"inputs": TEXT})
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert "not answered within 0.5 s" in answer.json()["error"]
        assert one.get("/health").status_code == 200


@pytest.mark.parametrize("told", [False, True])
def test_the_log_holds_texts_only_where_that_is_asked_for(client, caplog, told):
    with caplog.at_level(logging.INFO), client(log_texts=told) as one:
        one.post("/predict", json={"inputs": TEXT})
        one.post("/predict", json={"inputs": TEXT, TEXT: 1})
    lines = [json.loads(record.message) for record in caplog.records if record.message.startswith("{")]
    assert [(line["route"], line["status"]) for line in lines] == [("/predict", 200), ("/predict", 422)]
    assert (lines[0]["texts"], lines[0]["tokens"] > 3) == (1, True)
    assert (TEXT in caplog.text) == told


def test_the_engine_is_the_one_that_was_measured(client, monkeypatch):
    asked = []

    def known(folder, task, goal):
        asked.append((folder.name, task, goal))
        return SimpleNamespace(framework="torch", dtype=None, threads=None)

    monkeypatch.setattr(loading, "known_choice", known)
    with client(framework="auto-throughput") as one:
        assert one.post("/predict", json={"inputs": TEXT}).status_code == 200
    assert asked == [("classes", "sequence_classification", "auto-throughput")]
