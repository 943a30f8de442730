"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client import multiprocess as processes

# Where the processes of a server share their numbers: a variable of prometheus_client.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TOKENS = (16, 64, 256, 1024, 4096, 16384, 65536)


class Measures:
    """The counters of a process.

    Args:
        waiting: tells how many tokens wait.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        disable_created_metrics()
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "deberta_requests", "Requests by route, model and status", ["route", "model", "status"], registry=registry
        )
        self._seconds = Histogram(
            "deberta_request_seconds", "From a request to its answer", ["route"], buckets=_SECONDS, registry=registry
        )
        self._waited = Histogram(
            "deberta_waiting_seconds", "A row's wait for its batch", buckets=_SECONDS, registry=registry
        )
        self._batch_seconds = Histogram(
            "deberta_batch_seconds", "A batch in the model", buckets=_SECONDS, registry=registry
        )
        self._batch_tokens = Histogram("deberta_batch_tokens", "Tokens of a batch", buckets=_TOKENS, registry=registry)
        tokens = Gauge("deberta_waiting_tokens", "Tokens that wait", registry=registry, multiprocess_mode="livesum")
        self._set_waiting = lambda: tokens.set(waiting())

    def batch(self, tokens: int, seconds: float, waits: list[float]) -> None:
        """Counts a batch."""
        self._batch_tokens.observe(tokens)
        self._batch_seconds.observe(seconds)
        for wait in waits:
            self._waited.observe(wait)

    def request(self, route: str, model: str, status: int, seconds: float) -> None:
        """Counts a request."""
        self._requests.labels(route, model, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All numbers in Prometheus' text format; of all processes where there are several."""
        self._set_waiting()
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self._registry)
        shared = CollectorRegistry()
        processes.MultiProcessCollector(shared)
        return generate_latest(shared)
