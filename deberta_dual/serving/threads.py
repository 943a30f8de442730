"""The threads in which models compute."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor


class Threads:
    """Few threads for all models of a process.

    oneDNN, by which PyTorch computes on CPUs, keeps code and memory for the shapes it has met in every thread that
    computes: a hundred megabytes each.

    Attributes:
        batches: in which batches run.
        explanations: in which explanations are made, one at a time: they take long, and batches go on meanwhile.
    """

    def __init__(self) -> None:
        self.batches = ThreadPoolExecutor(1, "batches")
        self.explanations = ThreadPoolExecutor(1, "explanations")

    def close(self) -> None:
        """Ends them when they have done what they were given."""
        self.batches.shutdown()
        self.explanations.shutdown(cancel_futures=True)
