"""Calls recorded as CUDA graphs, by the bucket of their sizes: a replay takes no time of Python's."""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from deberta_torch.inference.layouts import Layout
from deberta_torch.plans import Bucket

# From inputs `[T, ...]` and where the texts are to rows `[T, C]`.
Computation = Callable[[Sequence[Tensor], Layout], Tensor]
# Recorded at a time; each keeps its inputs and its result, and all share what is computed between them.
GRAPHS = 64
# Sizes met once, which are not worth a recording, are remembered up to this many.
_MET = 1024
# Before a graph is recorded torch waits for the whole device, which fails while another one is recorded.
_RECORDING = threading.Lock()


class Graph:
    """A computation of one bucket, recorded with tensors of its own to read from and write to.

    Args:
        compute: what to record; it has been run with tensors of this bucket's sizes before.
        bucket: of the sizes.
        is_full: see `Layout`.
        inputs: tensors with the dtypes, and the shapes but for the first axis, of those to come.
        pool: of the memory between inputs and result, which graphs share that do not run at the same time.
    """

    def __init__(
        self, compute: Computation, bucket: Bucket, is_full: bool, inputs: Sequence[Tensor], pool: Any
    ) -> None:
        device = inputs[0].device
        self.inputs = [part.new_zeros((bucket.tokens, *part.shape[1:])) for part in inputs]
        starts = torch.arange(bucket.texts + 1, dtype=torch.int32, device=device) * bucket.longest
        self.starts = starts.clamp_(max=bucket.tokens)
        self._record(compute, Layout(self.starts, bucket.tokens, bucket.longest, is_full), pool)

    def _record(self, compute: Computation, layout: Layout, pool: Any) -> None:
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream(self.starts.device)
        # Other threads may go on to use the device meanwhile, but not to record.
        recording = torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local")
        with _RECORDING, _no_collection(), recording:
            self.result = compute(self.inputs, layout)
        self.replay: Callable[[], None] = graph.replay


@contextmanager
def _no_collection() -> Iterator[None]:
    """Python collects nothing within: a graph of a model that is gone must not be freed while one is recorded."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Graphs:
    """The graphs of one computation; where there would be too many, the one that was used longest ago leaves.

    A bucket is recorded when it is met for the second time. Any threads and streams may call: replays follow one
    another on the device, since they share memory.
    """

    def __init__(self, compute: Computation, capacity: int = GRAPHS) -> None:
        self._compute, self._capacity = compute, capacity
        self._lock = threading.Lock()
        self._graphs: OrderedDict[Hashable, Graph] = OrderedDict()
        self._met: OrderedDict[Hashable, None] = OrderedDict()
        self._pool: Any = None
        self._last: torch.cuda.Event | None = None

    def __len__(self) -> int:
        return len(self._graphs)

    def run(
        self,
        bucket: Bucket,
        is_full: bool,
        inputs: Sequence[Tensor],
        fill: Callable[[Sequence[Tensor], Tensor], None],
        read: Callable[[Tensor], Tensor],
    ) -> Tensor | None:
        """Runs the bucket's graph; None where it is met for the first time.

        Args:
            bucket: of the sizes.
            is_full: see `Layout`.
            inputs: tensors like those of the graph, but for the first axis.
            fill: writes the inputs, `[T, ...]` each, and the starts of the texts.
            read: makes of the result `[T, C]` what is returned, in memory of its own.
        """
        key = (bucket, is_full, tuple((part.dtype, part.shape[1:]) for part in inputs))
        with self._lock:
            graph = self._find(key, bucket, is_full, inputs)
            if graph is None:
                return None
            self._wait(inputs[0].device)
            fill(graph.inputs, graph.starts)
            graph.replay()
            result = read(graph.result)
            self._note(inputs[0].device)
        return result

    def wait(self) -> None:
        """Waits until nothing runs any more."""
        if self._last is not None:
            self._last.synchronize()

    def _find(self, key: Hashable, bucket: Bucket, is_full: bool, inputs: Sequence[Tensor]) -> Graph | None:
        if key in self._graphs:
            self._graphs.move_to_end(key)
            return self._graphs[key]
        if key not in self._met:
            self._met[key] = None
            if len(self._met) > _MET:
                self._met.popitem(last=False)
            return None
        while len(self._graphs) >= self._capacity:
            self.wait()  # it may still run
            self._graphs.popitem(last=False)
        device = inputs[0].device
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            if self._pool is None and device.type == "cuda":
                self._pool = torch.cuda.graph_pool_handle()
            try:
                self._graphs[key] = Graph(self._compute, bucket, is_full, inputs, self._pool)
            except RuntimeError:  # another thread waited for the whole device, or there is no memory
                del self._met[key]
        return self._graphs.get(key)

    def _wait(self, device: torch.device) -> None:
        """Lets this stream wait, not the caller, until the last replay's result has been read."""
        if self._last is not None:
            self._last.wait(torch.cuda.current_stream(device))

    def _note(self, device: torch.device) -> None:
        if device.type == "cuda":
            self._last = self._last or torch.cuda.Event()
            self._last.record(torch.cuda.current_stream(device))
