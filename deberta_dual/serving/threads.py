"""The threads in which models compute."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from math import ceil

from deberta_dual.compiling.candidates import cores, threads

# Batches at once in a process: each needs memory of its own.
_MOST = 4


class Threads:
    """Few threads for all models of a process.

    Batches of few tokens do not keep several cores busy, and threads of one product wait for each other wherever
    another process takes a core: so a batch has one thread, or few where there are many cores, and several run at once.
    They are few because oneDNN, by which PyTorch computes on CPUs, keeps code and memory for the shapes it has met in
    every thread that computes: a hundred megabytes each.

    Args:
        workers: processes that share the cores.

    Attributes:
        at_once: how many batches run at the same time.
        batches: in which batches run.
        explanations: in which explanations are made, one at a time: they take long, and batches go on meanwhile.
    """

    def __init__(self, workers: int = 1) -> None:
        self.at_once = max(1, cores() // workers // threads())
        self.batches = ThreadPoolExecutor(self.at_once, "batches")
        self.explanations = ThreadPoolExecutor(1, "explanations")

    def close(self) -> None:
        """Ends them when they have done what they were given."""
        self.batches.shutdown()
        self.explanations.shutdown(cancel_futures=True)


def share_cores(workers: int) -> None:
    """Tells the engines, before they are imported, how many threads a batch has; nothing where the user said it.

    Args:
        workers: processes that share the cores.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(ceil(max(1, cores() // workers) / _MOST)))
