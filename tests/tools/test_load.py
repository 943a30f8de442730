"""The load and the soak of `tools/load`, in small, and the numbers of `docs/serving.md`."""

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest

from tools.load.page import filled, put, taken
from tools.load.texts import read_texts

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_as_its_tool_writes_it():
    page = (DOCS / "serving.md").read_text(encoding="utf-8")
    assert filled(page) == page


def test_what_other_runs_found_stays(tmp_path):
    file = tmp_path / "found.json"
    put(file, "load", {"auto": 1})
    put(file, "load", {**taken(file, "load"), "queue": 2})
    put(file, "soak", 3)
    assert json.loads(file.read_text()) == {"load": {"auto": 1, "queue": 2}, "soak": 3}


def test_texts_are_of_every_file_and_always_the_same(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("".join(f"{name} has a line of number {number}.\n" for number in range(50)))
    texts = read_texts([tmp_path / "a", tmp_path / "b"], 20)
    assert sorted(text[0] for text in texts) == ["a"] * 10 + ["b"] * 10
    assert texts == read_texts([tmp_path / "a", tmp_path / "b"], 20)
    assert len(read_texts([tmp_path / "none"], 20)) == 20  # of the pages


@pytest.mark.slow
def test_a_short_soak_and_load(tmp_path):
    pytest.importorskip("httpx")
    from tools.load.compare import drive
    from tools.load.models import small_models
    from tools.load.process import free_port, running
    from tools.load.soak import soak

    texts = read_texts(None, 2000)  # fewer give no vocabulary of 2000
    models = small_models(tmp_path, texts)
    port = free_port()
    command = [sys.executable, "-m", "deberta_dual.cli", "serve", *map(str, models), "--port", str(port)]
    command += ["--framework", "torch", "--timeout", "10"]
    with running(command, port, tmp_path / "log") as process:
        threading.Timer(6.0, os.kill, (os.getpid(), signal.SIGINT)).start()  # Ctrl-C: what was found is kept
        found = asyncio.run(soak(port, process.pid, texts, 600.0, 5.0, 1.0))
        run = asyncio.run(drive(port, texts, 4, 2.0))
    assert process.returncode == 0
    assert found["surprises"] == 0, found["first_surprises"]
    assert found["minutes"] < 2
    assert found["good"] > 5
    assert found["bad"] > 5
    assert run["errors"] == 0
    assert run["answers"] > 4
    assert 0 < run["p50_ms"] <= run["p99_ms"]
    with pytest.raises(OSError, match=r"."):
        socket.create_connection(("127.0.0.1", port), timeout=5)
