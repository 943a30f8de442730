"""Runs a server: one process, or several behind one socket."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from contextlib import ExitStack
from functools import partial

import uvicorn
from uvicorn.supervisors import Multiprocess

from deberta_core.errors import InputError, reason
from deberta_dual.serving.app import make_app
from deberta_dual.serving.guard import LOG, App
from deberta_dual.serving.measures import SHARED_FOLDER
from deberta_dual.serving.settings import ServeSettings

# How long a server that is told to stop answers what it took, beyond the time of one request.
_GRACE = 5


def serve(settings: ServeSettings) -> None:
    """Listens until it is told to stop, by Ctrl-C or SIGTERM; what was taken is answered first.

    Args:
        settings: which models, where, and the limits.

    Raises:
        DebertaError: a model cannot be loaded.
        InputError: the address cannot be listened at.
    """
    with ExitStack() as stack:
        if settings.workers > 1:
            os.environ[SHARED_FOLDER] = stack.enter_context(tempfile.TemporaryDirectory(prefix="deberta-metrics-"))
            app: App = partial(_of_process, settings)  # each process loads the models
        else:
            app = _of_process(settings)
        config = uvicorn.Config(
            app,
            factory=settings.workers > 1,
            workers=settings.workers,
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_keep_alive=int(settings.timeout),
            timeout_graceful_shutdown=int(settings.timeout) + _GRACE,
        )
        listener = stack.enter_context(_listen(settings))
        host, port = listener.getsockname()[:2]
        print(f"deberta: serving {', '.join(settings.names)} at http://{host}:{port}", file=sys.stderr, flush=True)
        server = uvicorn.Server(config)
        if settings.workers > 1:
            Multiprocess(config, target=server.run, sockets=[listener]).run()
        else:
            server.run(sockets=[listener])


def _of_process(settings: ServeSettings) -> App:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter('{"time": "%(asctime)s", "level": "%(levelname)s", "event": %(message)s}'))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    return make_app(settings)


def _listen(settings: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as problem:
        listener.close()
        raise InputError(
            f"{settings.host}:{settings.port} cannot be listened at: {reason(problem)}. Choose another port."
        ) from problem
    listener.set_inheritable(True)
    return listener
