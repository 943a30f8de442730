"""The server as a process, and what real clients see of it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from deberta_dual.serving.run import _listen
from deberta_dual.serving.settings import ServeSettings
from tests.serving.running import ask, server


@pytest.fixture(scope="module")
def running(folders):
    with server(folders["classes"], "--max-body", "50000", "--timeout", "2") as (process, port):
        yield process, port


@pytest.fixture(scope="module")
def running_with_key(folders):
    with server(folders["classes"], "--api-key", "secret") as (_, port):
        yield port


def test_a_body_that_is_too_large_is_refused_so_that_the_client_reads_it(running):
    _, port = running
    status, text = ask(port, body=b'{"inputs": "' + b"a" * 10_000_000 + b'"}')
    assert status == 413
    assert "more than 50000 bytes" in text


def test_a_missing_key_is_said_so_that_the_client_reads_it(running_with_key):
    """Also to one that is still writing."""
    status, text = ask(running_with_key, body=b'{"inputs": "' + b"a" * 10_000_000 + b'"}')
    assert status == 401
    assert "the key is missing or wrong" in text


def test_a_slow_client(running):
    _, port = running
    with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        assert b"408" in slow.recv(1000)


def test_clients_that_leave(running):
    process, port = running
    for sent in (b"POST /predict HTTP/1.1\r\n", b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", port)) as leaving:
            leaving.sendall(sent)
    content = b'{"inputs": "a"}'
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port)) as leaving:
        leaving.sendall(head % len(content) + content)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as strange:
        strange.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
        assert b"400" in strange.recv(1000)
    assert ask(port, body={"inputs": "The river rises."})[0] == 200
    assert process.poll() is None


def test_many_clients_at_once(running):
    _, port = running
    alone = [ask(port, body={"inputs": f"The river {number}"}) for number in range(40)]
    with ThreadPoolExecutor(20) as threads:
        together = list(threads.map(lambda number: ask(port, body={"inputs": f"The river {number}"}), range(40)))
    for (status, text), (_, other) in zip(together, alone, strict=True):
        assert status == 200
        first, second = json.loads(text), json.loads(other)
        assert [row["label"] for row in first] == [row["label"] for row in second]
        assert [row["score"] for row in first] == pytest.approx([row["score"] for row in second], abs=1e-5)


def test_openai_s_client(running):
    openai = pytest.importorskip("openai")
    _, port = running
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none")
    found = client.embeddings.create(model="classes", input=["The river rises.", "A map."])
    assert [len(row.embedding) for row in found.data] == [32, 32]
    assert found.usage.prompt_tokens > 0
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt'"):
        client.embeddings.create(model="gpt", input="a")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_stop_answers_what_was_taken(folders, workers):
    with server(folders["classes"], "--workers", str(workers)) as (process, port):
        with ThreadPoolExecutor(4) as threads:
            body = {"inputs": [["river " * 60]] * 1000}
            taken = [threads.submit(ask, port, body=body) for _ in range(4)]
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            answers = [one.result() for one in taken]
        assert [status for status, _ in answers] == [200] * 4
        assert all(len(json.loads(text)) == 1000 for _, text in answers)
        assert process.wait(timeout=60) == 0


def test_a_port_that_is_taken(folders):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "deberta_dual.cli", "serve", str(folders["classes"]), "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened at" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_no_part_of_an_answer_is_held_back():
    """A connection sends what it is given at once, though asyncio did not open the socket."""
    listener = _listen(ServeSettings(models=("model",), port=0))
    with listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
