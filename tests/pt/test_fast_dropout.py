"""Dropout of our own on CPUs: its probability, its places, its gradient, and where torch's takes over."""

import math

import pytest
import torch
from torch import Tensor, nn

from deberta_torch.kernels.dropout import Dropout


def dropout(p: float, **options) -> Dropout:
    return Dropout(p, **options).train()


def same_as_torch(module: Dropout, values: Tensor) -> bool:
    torch.manual_seed(0)
    actual = module(values)
    torch.manual_seed(0)
    return torch.equal(actual, nn.Dropout(module.p).train(module.training)(values))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.85, 2**-16, 1 - 2**-16])
def test_the_share_that_is_dropped(p):
    torch.manual_seed(0)
    count = 2**22
    dropped = (dropout(p)(torch.ones(count)) == 0).sum().item()
    assert abs(dropped - p * count) < 5 * math.sqrt(count * p * (1 - p)) + count * 2**-17


def test_what_stays_keeps_the_expectation_exact():
    """0.1 is 6554 of 65536 parts: not a tenth, but what stays is divided by what is left of that."""
    values = torch.randn(1001, dtype=torch.float64)
    made = dropout(0.1)(values)
    kept = made != 0
    assert torch.equal(made[kept], values[kept] * (65536 / (65536 - 6554)))


def test_every_one_of_four_neighbours_is_drawn_independently():
    torch.manual_seed(0)
    places = (dropout(0.5)(torch.ones(2**18, 4)) == 0).double()
    correlations = torch.corrcoef(places.T) - torch.eye(4)
    assert abs(correlations.max()) < 5 / 2**9
    assert (abs(places.mean(dim=0) - 0.5) < 5 * 0.5 / 2**9).all()
    assert abs(torch.corrcoef(torch.stack([places[1:, 0], places[:-1, 0]]))[0, 1]) < 5 / 2**9


def test_the_seed_decides():
    module, values = dropout(0.3), torch.ones(10, 7)
    torch.manual_seed(5)
    first, second = module(values), module(values)
    torch.manual_seed(5)
    assert torch.equal(module(values), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_the_gradient_goes_through_what_stays(dtype):
    values = torch.full((3, 5, 7), 2.0, dtype=dtype, requires_grad=True)
    made = dropout(0.4)(values.transpose(0, 2))
    assert made.dtype == dtype
    made.sum().backward()
    assert 0 < (values.grad == 0).sum() < values.numel()
    assert torch.equal(values.grad * 2, made.detach().transpose(0, 2))


def test_it_keeps_a_byte_for_an_element():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        dropout(0.1)(torch.ones(1000, requires_grad=True))
    assert sum(t.numel() * t.element_size() for t in kept) <= 1008


@pytest.mark.parametrize("p", [0.0, 1.0, 2**-18])
def test_the_ends_are_torchs(p):
    assert same_as_torch(dropout(p), torch.randn(9, 9))


def test_evaluation_does_nothing():
    values = torch.randn(4)
    assert dropout(0.5).eval()(values) is values


def test_in_place_is_torchs():
    values = torch.ones(50)
    assert dropout(0.5, inplace=True)(values) is values


class Subclass(Tensor):
    """A tensor that is not a plain one."""


def test_what_is_not_an_ordinary_tensor_is_torchs():
    assert same_as_torch(dropout(0.5), torch.randn(30).as_subclass(Subclass))
    assert dropout(0.5)(torch.randn(0, 3)).shape == (0, 3)
    torch.manual_seed(0)
    mapped = torch.func.vmap(dropout(0.5), randomness="different")(torch.ones(6, 40))
    assert len({tuple(row.tolist()) for row in mapped}) == 6


def test_graphs_hold_torchs_operator():
    program = torch.export.export(dropout(0.5), (torch.ones(3, 4),))
    assert any("dropout" in str(node.target) for node in program.graph.nodes)
    compiled = torch.compile(dropout(0.5), fullgraph=True, backend="eager")
    torch.manual_seed(0)
    actual = compiled(torch.ones(8, 8))
    torch.manual_seed(0)
    assert torch.equal(actual, nn.functional.dropout(torch.ones(8, 8), 0.5))
