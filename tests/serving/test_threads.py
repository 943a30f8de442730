"""In which threads models compute: each keeps memory of its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from deberta_dual.compiling import candidates
from deberta_dual.serving import batching, model, threads
from deberta_dual.serving.app import make_app
from deberta_dual.serving.settings import ServeSettings

TestClient = pytest.importorskip("fastapi.testclient").TestClient


def test_all_models_share_few_threads(folders, monkeypatch):
    used = {"batches": set(), "explanations": set()}
    run_rows, explain = batching.run_rows, model.explain
    monkeypatch.setattr(batching, "run_rows", lambda *some: (_here(used["batches"]), run_rows(*some))[1])
    monkeypatch.setattr(
        model, "explain", lambda *some, **more: (_here(used["explanations"]), explain(*some, **more))[1]
    )
    names = ("classes", "names", "words", "vectors")
    bodies = [
        ("/predict", {"inputs": "a"}),
        ("/embed", {"inputs": "a"}),
        ("/tokens", {"inputs": "a", "model": "names"}),
        ("/fill", {"inputs": "a [MASK]", "model": "words"}),
        ("/embed", {"inputs": "a", "model": "vectors"}),
        ("/explain", {"text": "a", "steps": 2}),
    ]
    settings = ServeSettings(models=tuple(str(folders[name]) for name in names), framework="torch")
    with TestClient(make_app(settings)) as client, ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda one: client.post(one[0], json=one[1]).status_code, bodies * 8))
    assert answers == [200] * len(answers)
    assert len(used["batches"]) <= threads.Threads().at_once
    assert len(used["explanations"]) == 1


def _here(used):
    used.add(threading.get_ident())


@pytest.mark.parametrize(
    ("cores", "workers", "of_a_batch", "at_once"),
    [(1, 1, 1, 1), (2, 1, 1, 2), (2, 2, 1, 1), (7, 1, 2, 3), (64, 2, 8, 4)],
)
def test_cores_are_shared(monkeypatch, cores, workers, of_a_batch, at_once):
    for place in (candidates, threads):
        monkeypatch.setattr(place, "cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", "")  # to be put back in the end
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads.Threads(workers).at_once == 1, "nobody has told the engines yet"
    threads.share_cores(workers)
    assert threads.threads() == of_a_batch
    assert threads.Threads(workers).at_once == at_once
    assert max(one.threads or 0 for one in candidates.candidates(["float32"])) <= of_a_batch


def test_what_the_user_says_of_threads_stays(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    threads.share_cores(1)
    assert threads.Threads().at_once == 2
