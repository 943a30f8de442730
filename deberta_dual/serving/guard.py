"""What stands before every route: the size and the time of a request, the key, the log and the counters."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from deberta_dual.serving.measures import Measures
from deberta_dual.serving.settings import ServeSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOG = logging.getLogger("deberta.serve")
# Routes without a key: what a load balancer asks for, and the page, which holds nothing and asks with a key.
OPEN = ("/health", "/")
# Of a body that is too large so much is read and thrown away: a client that is still writing reads no answer.
_DRAINED = 64_000_000


class Guard:
    """Reads a request as a whole within the limits, hands it on, and counts and logs its answer.

    Args:
        app: what answers.
        settings: of the server.
        measures: counts.
    """

    def __init__(self, app: App, settings: ServeSettings, measures: Measures) -> None:
        self._app, self._settings, self._measures = app, settings, measures
        self._key = None if settings.api_key is None else f"Bearer {settings.api_key}".encode()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """An application of ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status, body = time.monotonic(), 499, b""  # 499: the client left before it was answered

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            async with asyncio.timeout(self._settings.timeout):
                body, too_large = await self._read(scope, receive)
            refusal = self._refusal(scope) or too_large
            body = b"" if refusal else body
            if refusal is None:
                await self._app(scope, _replay(body, receive), send_and_note)
            else:
                await _refuse(send_and_note, *refusal)
        except TimeoutError:
            await _refuse(send_and_note, 408, f"the request did not arrive within {self._settings.timeout:g} s.")
        except _Left:
            pass
        finally:
            self._note(scope, status, time.monotonic() - begun, body)

    def _refusal(self, scope: MutableMapping[str, Any]) -> tuple[int, str] | None:
        if self._key is None or scope["path"] in OPEN or scope["method"] == "OPTIONS":
            return None
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self._key):
            return None
        return 401, "the key is missing or wrong. Send the header Authorization: Bearer KEY."

    async def _read(self, scope: MutableMapping[str, Any], receive: Receive) -> tuple[bytes, tuple[int, str] | None]:
        most, parts, size = self._settings.max_body, [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Left
            part = message.get("body", b"")
            size += len(part)
            if size <= most:
                parts.append(part)
            if not message.get("more_body", False) or size > max(_DRAINED, most):
                break
        if size > most:
            return b"", (413, f"the request has more than {most} bytes. Send fewer or shorter texts.")
        return b"".join(parts), None

    def _note(self, scope: MutableMapping[str, Any], status: int, seconds: float, body: bytes) -> None:
        state = scope.get("state", {})
        route = getattr(scope.get("route"), "path", "none")
        model = state.get("model", "none")
        self._measures.request(route, model, status, seconds)
        line: dict[str, Any] = {"route": route, "status": status, "seconds": round(seconds, 6), "model": model}
        line |= {name: state[name] for name in ("texts", "tokens", "error") if name in state}
        if self._settings.log_texts:
            line["body"] = body.decode("utf-8", "replace")
        LOG.info(json.dumps(line))


class _Left(Exception):
    """The client closed the connection."""


def _replay(body: bytes, receive: Receive) -> Receive:
    waits = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        return next(waits, None) or await receive()

    return again


async def _refuse(send: Send, status: int, text: str) -> None:
    content = json.dumps({"error": text, "error_type": "Validation"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(b"connection", b"close")] + ([(b"www-authenticate", b"Bearer")] if status == 401 else [])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
