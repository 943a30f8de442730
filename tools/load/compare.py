"""Throughput and waiting times of `deberta serve` and of a plain server, on one checkpoint with random weights.

`python -m tools.load.compare --peer PYTHON --texts FILE FILE --servers auto queue`, where PYTHON has transformers,
FastAPI and uvicorn. Writes `docs/serving.json` and the page; what was measured of other servers before stays.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tools.load.models import base_model
from tools.load.page import JSON, put, taken, write_page
from tools.load.process import free_port, resident, running
from tools.load.texts import ROOT, read_texts

# Options of `deberta serve`, or the way of the peer.
OURS = {
    "auto": ["--framework", "auto"],
    "workers": ["--framework", "auto", "--workers", "2"],
    "float32": ["--framework", "torch", "--workers", "2"],
}
PEERS = ("queue", "batches", "threads")
CLIENTS = (1, 8, 64)
MORE_CLIENTS = (1, 2, 3, 4, 8, 16, 32, 64)  # of ours, to find the most at a given p99
_WARM_SECONDS = 3.0


async def drive(port: int, texts: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """So many clients, each of which asks again as soon as it is answered.

    Args:
        port: of the server.
        texts: to ask for, in turn.
        clients: how many.
        seconds: how long, after a time to warm up.
    """
    times: list[float] = []
    errors = 0
    numbers = itertools.count()
    begun = time.monotonic() + _WARM_SECONDS
    end = begun + seconds

    async def ask(client: httpx.AsyncClient) -> None:
        nonlocal errors
        while (sent := time.monotonic()) < end:
            try:
                answer = await client.post("/predict", json={"inputs": texts[next(numbers) % len(texts)]})
                good = answer.status_code == 200
            except httpx.HTTPError:
                good = False
            if begun <= time.monotonic() < end:
                times.append(time.monotonic() - sent)
                errors += not good

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, limits=limits) as client:
        await asyncio.gather(*(ask(client) for _ in range(clients)))
    centiles = statistics.quantiles(times, n=100) if len(times) > 1 else [0.0] * 99
    return {
        "clients": clients,
        "answers": len(times),
        "errors": errors,
        "per_second": round((len(times) - errors) / seconds, 2),
        "p50_ms": round(1000 * centiles[49], 1),
        "p99_ms": round(1000 * centiles[98], 1),
    }


def command_of(server: str, model: Path, port: int, peer: Path) -> list[str]:
    """What starts a server."""
    if server in OURS:
        command = [sys.executable, "-m", "deberta_dual.cli", "serve", str(model), "--port", str(port)]
        return [*command, "--timeout", "120", *OURS[server]]
    return [str(peer), str(ROOT / "tools/load/plain.py"), str(model), "--port", str(port), "--way", server]


def main() -> int:
    """Measures servers one after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", nargs="+", default=["auto", "queue"], choices=[*OURS, *PEERS])
    parser.add_argument("--peer", type=Path, default=Path(sys.executable), help="Python that has transformers")
    parser.add_argument("--model", type=Path, help="folder of the checkpoint, made where it is missing")
    parser.add_argument("--tokenizer", type=Path, help="folder of the published vocabulary; default: one is trained")
    parser.add_argument("--texts", type=Path, nargs="+", help="files with a text a line; default: the pages in docs/")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each number of clients; peers twice as long")
    parser.add_argument("--json", type=Path, default=JSON)
    given = parser.parse_args()
    texts = read_texts(given.texts, 500)
    with tempfile.TemporaryDirectory(prefix="deberta-load-") as folder:
        model = given.model or Path(folder) / "model"
        if not model.is_dir():
            base_model(model, given.layers, given.tokenizer, texts)
        for server in given.servers:
            port = free_port()
            log = Path(folder) / "log"
            seconds = given.seconds * (1 if server in OURS else 2)
            begun = time.monotonic()
            with running(command_of(server, model, port, given.peer), port, log) as process:
                started = time.monotonic() - begun
                runs = [
                    asyncio.run(drive(port, texts, clients, seconds))
                    for clients in (MORE_CLIENTS if server in OURS else CLIENTS)
                ]
                found = {"start_seconds": round(started, 1), "mb": round(resident(process.pid) / 1e6), "runs": runs}
            print(server, found, flush=True)
            put(given.json, "load", {**taken(given.json, "load"), server: found})
        about = {"layers": given.layers, "texts": len(texts), "tokens": _lengths(model, texts), **_machine()}
        put(given.json, "load_of", about)
    write_page(given.json)
    return 0


def _lengths(model: Path, texts: list[str]) -> list[int]:
    """How many tokens the shortest text has, the median, the ninth of ten, and the longest, cut as servers do."""
    from deberta_core.auto import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    sizes = sorted(min(512, len(tokenizer(text)["input_ids"])) for text in texts)
    return [sizes[0], sizes[len(sizes) // 2], sizes[len(sizes) * 9 // 10], sizes[-1]]


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if sys.platform == "linux" else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"machine": name, "cores": os.cpu_count()}


if __name__ == "__main__":
    sys.exit(main())
