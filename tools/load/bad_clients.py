"""Clients that do what no client should: each says which answers it may get; None: none, as it left."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

_HEAD = "POST {route} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
# Seconds within which a client must be told, above the server's own time limit.
_PATIENCE = 60.0

Client = Callable[[int], Awaitable[int | None]]


def _body(value: Any) -> bytes:
    return json.dumps(value).encode()


# Name -> route, body, statuses.
BODIES: Mapping[str, tuple[str, Callable[[], bytes], set[int]]] = {
    "no JSON": ("/predict", lambda: b"{", {400}),
    "bytes that are no text": ("/predict", lambda: b'{"inputs": "\xff\xfe"}', {400}),
    "deep lists": ("/predict", lambda: b"[" * 100_000, {400}),
    "wrong types": ("/predict", lambda: _body({"inputs": {"a": 1}}), {422}),
    "no inputs": ("/embed", lambda: _body({"inputs": []}), {422}),
    "a text of 10 MB": ("/predict", lambda: _body({"inputs": "a" * 10_000_000}), {413}),
    "100,000 texts": ("/predict", lambda: _body({"inputs": [["a"]] * 100_000}), {422}),
    "a lone surrogate": ("/predict", lambda: b'{"inputs": "a \\ud800"}', {422}),
    "a name of a lone surrogate": ("/predict", lambda: b'{"inputs": "a", "\\ud800": 1}', {422}),
    "NUL": ("/predict", lambda: _body({"inputs": "a\0b"}), {200}),
    "an unknown model": ("/predict", lambda: _body({"inputs": "a", "model": "none"}), {404}),
    "an unknown layer": ("/explain", lambda: _body({"text": "a", "layer": 99}), {422}),
    "another head": ("/tokens", lambda: _body({"inputs": "a"}), {422}),
    "no route": ("/none", lambda: b"{}", {404}),
}


def clients(port: int) -> dict[str, tuple[Client, set[int | None]]]:
    """All bad clients by name, and the statuses that each may get.

    Args:
        port: of the server.
    """
    made: dict[str, tuple[Client, set[int | None]]] = {}
    for name, (route, body, statuses) in BODIES.items():
        made[name] = (_whole(port, route, body), set(statuses))
    made["leaves in the head"] = (_leaves(port, 20), {None})
    made["leaves in the body"] = (_leaves(port, 200), {None})
    made["leaves before the answer"] = (_leaves(port, None), {None})
    made["writes slowly, and in time"] = (_slow(port, 0.02), {200})
    # In all longer than the 30 s that the server waits.
    made["writes too slowly"] = (_slow(port, 8.0), {408})
    return made


def _whole(port: int, route: str, body: Callable[[], bytes]) -> Client:
    async def client(number: int) -> int | None:
        return await _told(
            port, lambda sent: [(_HEAD.format(route=route, size=len(sent)).encode() + sent, 0.0)], body()
        )

    return client


def _slow(port: int, pause: float) -> Client:
    def pieces(sent: bytes) -> list[tuple[bytes, float]]:
        head = _HEAD.format(route="/predict", size=len(sent)).encode()
        return [(head, pause), *((sent[start : start + 8], pause) for start in range(0, len(sent), 8))]

    async def client(number: int) -> int | None:
        return await _told(port, pieces, _body({"inputs": "This client has a slow line, and all day."}))

    return client


def _leaves(port: int, after: int | None) -> Client:
    async def client(number: int) -> int | None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        body = _body({"inputs": [["This client does not wait for its answer. " * 5]] * 20})
        writer.write((_HEAD.format(route="/predict", size=len(body)).encode() + body)[:after])
        await writer.drain()
        writer.close()
        return None

    return client


async def _told(port: int, pieces: Callable[[bytes], list[tuple[bytes, float]]], body: bytes) -> int | None:
    """Sends pieces with pauses while it listens for the status of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def send() -> None:
        for piece, pause in pieces(body):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    sending = asyncio.create_task(send())
    try:
        line = await asyncio.wait_for(reader.readline(), _PATIENCE)
        return int(line.split()[1])
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
