"""`optimize` as on CUDA, here: graphs are calls made again, with the tensors of the first."""

import pytest

from deberta_torch.inference import graphs
from deberta_torch.inference import optimize as optimizing
from deberta_torch.inference.layouts import Layout


def record(graph, compute, layout, pool):
    """In the place of `Graph._record`."""

    def compute_again():
        return compute(graph.inputs, Layout(layout.starts, layout.rows, layout.longest, layout.is_full))

    graph.result = compute_again()
    graph.replay = lambda: graph.result.copy_(compute_again())


@pytest.fixture
def on_device(monkeypatch):
    """Models on the CPU are optimised as those on CUDA are."""
    monkeypatch.setattr(optimizing, "GRAPH_DEVICES", ("cpu",))
    monkeypatch.setattr(graphs.Graph, "_record", record)
