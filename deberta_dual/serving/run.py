"""Runs a server: one process, or several behind one socket."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import asdict
from math import ceil
from typing import Any

import uvicorn

from deberta_core.errors import InputError, reason
from deberta_dual.serving.app import make_app
from deberta_dual.serving.guard import LOG, App
from deberta_dual.serving.measures import SHARED_FOLDER
from deberta_dual.serving.settings import ServeSettings
from deberta_dual.serving.threads import share_cores

# How long a server that is told to stop answers what it took, beyond the time of one request.
_GRACE = 5
# How long a connection may be idle: longer than clients and load balancers (60 s) keep theirs, so that no request meets
# a connection that is just being closed.
_IDLE = 75
# oneDNN, by which PyTorch computes on CPUs, keeps code and memory for each shape of a batch it has met, 1024 entries by
# default: gigabytes where texts have all lengths. Both of its caches must be small; they are read at its first use.
_SHAPES_KEPT = {"LRU_CACHE_CAPACITY": "128", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
_SETTINGS = "DEBERTA_SERVE"  # of the environment of uvicorn's processes


def serve(settings: ServeSettings) -> None:
    """Listens until it is told to stop, by Ctrl-C or SIGTERM; what was taken is answered first.

    Args:
        settings: which models, where, and the limits.

    Raises:
        DebertaError: a model cannot be loaded.
        InputError: the address cannot be listened at.
    """
    for name, number in _SHAPES_KEPT.items():
        os.environ.setdefault(name, number)
    share_cores(settings.workers)
    seconds = ceil(settings.timeout)
    options: dict[str, Any] = {
        "access_log": False,
        "log_level": "warning",
        "server_header": False,
        "timeout_keep_alive": _IDLE,
        "timeout_graceful_shutdown": seconds + _GRACE,
    }
    with ExitStack() as stack:
        app = _logged(make_app(settings)) if settings.workers == 1 else None
        listener = stack.enter_context(_listen(settings))
        host, port = listener.getsockname()[:2]
        print(f"deberta: serving {', '.join(settings.names)} at http://{host}:{port}", file=sys.stderr, flush=True)
        stack.enter_context(suppress(KeyboardInterrupt))  # which uvicorn raises again when all is answered
        if app is not None:
            uvicorn.Server(uvicorn.Config(app, **options)).run(sockets=[listener])
            return
        # uvicorn's processes are told by their environment, and each loads the models.
        os.environ[SHARED_FOLDER] = stack.enter_context(tempfile.TemporaryDirectory(prefix="deberta-metrics-"))
        os.environ[_SETTINGS] = json.dumps(asdict(settings))
        place = f"{__name__}:app_of_process"
        uvicorn.run(place, factory=True, workers=settings.workers, fd=listener.fileno(), **options)


def app_of_process() -> App:
    """The application of one of several processes."""
    return _logged(make_app(ServeSettings.read(json.loads(os.environ[_SETTINGS]))))


def _logged(app: App) -> App:
    """An application whose log goes to standard error, a JSON object a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('{"time": "%(asctime)s", "level": "%(levelname)s", "event": %(message)s}'))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    return app


def _listen(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # An answer is written in two parts, and without this the second waits 40 ms until the client confirms the first.
    # Connections inherit it; asyncio sets it itself only on sockets that it opened.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as problem:
        listener.close()
        raise InputError(
            f"{settings.host}:{settings.port} cannot be listened at: {reason(problem)}. Choose another port."
        ) from problem
    listener.listen()  # from now on who connects is kept waiting, and not refused
    listener.set_inheritable(True)
    return listener
