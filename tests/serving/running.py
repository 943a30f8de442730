"""A server as a process, for tests."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager

TEXT = "In spring the water is high and brown, said Anna 🦌 of St. Mary's."


@contextmanager
def server(*arguments):
    """A server at a free port; ends it as an operator does."""
    command = [
        sys.executable,
        "-m",
        "deberta_dual.cli",
        "serve",
        *map(str, arguments),
        "--port",
        "0",
        "--framework",
        "torch",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            lines = []
            while not (found := re.search(r"at http://127.0.0.1:(\d+)", lines[-1] if lines else "")):
                lines.append(process.stderr.readline())
                assert lines[-1], "".join(lines)
            port = int(found[1])
            threading.Thread(target=lambda: deque(process.stderr, 0), daemon=True).start()  # its log fills no pipe
            _wait(port)
            yield process, port
        finally:
            if process.poll() is None:
                process.kill()


def _wait(port):
    for _ in range(600):
        try:
            if ask(port, "GET", "/health")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server did not come up")


def ask(port, method="POST", route="/predict", body=None, timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    content = body if body is None or isinstance(body, bytes) else json.dumps(body)
    connection.request(method, route, content, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def explain(page, text=TEXT, pair="", model="classes"):
    """Asks the page of a server for an explanation, and waits until it is shown."""
    page.wait_for_function("document.querySelectorAll('#model option').length > 1")
    page.select_option("#model", model)
    page.fill("#text", text)
    page.fill("#pair", pair)
    page.click("#go")
    page.wait_for_selector("#result:not([aria-busy]):visible")
