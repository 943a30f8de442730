"""Half an hour of requests at a steady rate, with bad clients among them: memory, and every answer's status.

`python -m tools.load.soak --minutes 30 --texts FILE --json docs/serving.json`
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tools.load.bad_clients import clients
from tools.load.models import small_models
from tools.load.page import JSON, put, write_page
from tools.load.process import free_port, resident, running
from tools.load.texts import read_texts

_EVERY = 10.0  # seconds between two looks at the memory
# After so much of the time the memory is what it stays; the slope is that of the rest.
_WARM, _STEADY = 1 / 6, 1 / 3


def requests_of(texts: list[str], random_: random.Random) -> tuple[str, dict[str, Any]]:
    """One good request: its route and its body."""
    text = random_.choice(texts)
    some = random_.sample(texts, random_.randint(1, 8))
    short = text[:200]
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/predict", {"inputs": text}),
        ("/predict", {"inputs": [[one] for one in some]}),
        ("/predict", {"inputs": [short, some[0][:200]]}),
        ("/embed", {"inputs": some}),
        ("/v1/embeddings", {"input": some, "encoding_format": "base64"}),
        ("/tokens", {"inputs": text, "model": "names", "aggregation_strategy": "simple"}),
        ("/fill", {"inputs": f"{short} [MASK]", "model": "words"}),
        ("/explain", {"text": text[:100], "steps": 8}),
    ]
    return random_.choice(bodies)


async def soak(port: int, process: int, texts: list[str], seconds: float, rate: float, bad: float) -> dict[str, Any]:
    """Sends requests at times that do not depend on the answers, and counts what comes back.

    Ctrl-C ends it early and keeps what was found.

    Args:
        port: of the server.
        process: its number.
        texts: to send.
        seconds: how long.
        rate: good requests a second.
        bad: of requests, the share of bad clients on top.
    """
    random_ = random.Random(0)
    strange = list(clients(port).items())
    counts: collections.Counter[str] = collections.Counter()
    surprises: list[str] = []
    times: list[float] = []
    memory: list[list[float]] = []
    begun = time.monotonic()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stopped.set)
    pending: set[asyncio.Task[None]] = set()

    async def good(client: httpx.AsyncClient) -> None:
        route, body = requests_of(texts, random_)
        sent = time.monotonic()
        try:
            answer = await client.post(route, json=body)
        except httpx.HTTPError as problem:
            surprises.append(f"{route}: {problem!r}")
            return
        times.append(time.monotonic() - sent)
        counts[f"good {answer.status_code}"] += 1
        if answer.status_code not in (200, 429):
            surprises.append(f"{route}: {answer.status_code} {answer.text[:200]}")

    async def bad_one(number: int) -> None:
        name, (client, wanted) = strange[number % len(strange)]
        try:
            status = await client(number)
        except Exception as problem:
            surprises.append(f"{name}: {problem!r}")
            return
        counts[f"{name}: {'no answer asked for' if status is None else status}"] += 1
        if status not in wanted:
            surprises.append(f"{name}: {status}")

    async def watch() -> None:
        while True:
            memory.append([round(time.monotonic() - begun, 1), resident(process)])
            await asyncio.sleep(_EVERY)

    def start(task: Any) -> None:
        one = asyncio.create_task(task)
        pending.add(one)
        one.add_done_callback(pending.discard)

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        watching = asyncio.create_task(watch())
        number = 0
        while (now := time.monotonic()) < begun + seconds and not stopped.is_set():
            start(good(client))
            if random_.random() < bad:
                start(bad_one(number))
                number += 1
            await asyncio.sleep(max(0.0, random_.expovariate(rate) - (time.monotonic() - now)))
        seconds = time.monotonic() - begun
        await asyncio.gather(*pending)
        watching.cancel()
        memory.append([round(time.monotonic() - begun, 1), resident(process)])
    return _summary(seconds, rate, counts, surprises, times, memory)


def _summary(
    seconds: float,
    rate: float,
    counts: collections.Counter[str],
    surprises: list[str],
    times: list[float],
    memory: list[list[float]],
) -> dict[str, Any]:
    warm = [size for at, size in memory if at >= seconds * _WARM]
    tenth = max(1, len(warm) // 10)
    early, late = statistics.median(warm[:tenth]), statistics.median(warm[-tenth:])
    steady = [one for one in memory if one[0] >= seconds * _STEADY]
    slope = statistics.linear_regression(*zip(*steady, strict=True)).slope  # bytes a second
    return {
        "minutes": round(seconds / 60, 1),
        "rate": rate,
        "good": sum(count for name, count in counts.items() if name.startswith("good")),
        "bad": sum(count for name, count in counts.items() if not name.startswith("good")),
        "p50_ms": round(1000 * statistics.median(times), 1),
        "p99_ms": round(1000 * statistics.quantiles(times, n=100)[98], 1),
        "surprises": len(surprises),
        "first_surprises": surprises[:20],
        "warm_mb": round(early / 1e6, 1),
        "end_mb": round(late / 1e6, 1),
        "growth_percent": round(100 * (late / early - 1), 2),
        "mb_an_hour": round(3600 * slope / 1e6, 1),
        "answers": dict(sorted(counts.items())),
        "memory": memory,
    }


def main() -> int:
    """Runs the soak; the status is 1 if an answer was not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=10.0, help="good requests a second; default: 10")
    parser.add_argument("--bad", type=float, default=0.1, help="share of bad clients on top; default: 0.1")
    parser.add_argument("--texts", type=Path, nargs="+", help="files with a text a line; default: the pages in docs/")
    parser.add_argument("--json", type=Path, default=JSON, help=f"default: {JSON.name} beside the page")
    given = parser.parse_args()
    texts = read_texts(given.texts, 2000)
    with tempfile.TemporaryDirectory(prefix="deberta-soak-") as folder:
        models = small_models(Path(folder), texts)
        port = free_port()
        command = [sys.executable, "-m", "deberta_dual.cli", "serve", *map(str, models), "--port", str(port)]
        command += ["--framework", "torch", "--page"]
        log = given.json.with_suffix(".log")
        with running(command, port, log) as process:
            found = asyncio.run(soak(port, process.pid, texts, 60 * given.minutes, given.rate, given.bad))
        found["status_of_server"] = process.returncode
    put(given.json, "soak", found)
    write_page(given.json)
    shown = {name: value for name, value in found.items() if name != "memory"}
    print(shown)
    return 1 if found["surprises"] else 0


if __name__ == "__main__":
    sys.exit(main())
