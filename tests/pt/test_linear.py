"""Linear layers by oneDNN: the same numbers and gradients as torch's, and only where they may stand in."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conformance.suite.compare import assert_close
from deberta_torch.kernels import linear as module
from deberta_torch.kernels import onednn
from deberta_torch.kernels.linear import Linear, linear, uses_onednn

needs_onednn = pytest.mark.skipif(not onednn.available(), reason="oneDNN's linear operator is not here")


@pytest.fixture
def quick(monkeypatch) -> None:
    """Also small products, on every CPU."""
    monkeypatch.setattr(module, "_SMALLEST", 0)
    monkeypatch.setattr(onednn, "beats_mkl", lambda: True)


def tensors(*shape: int, bias: bool = True) -> tuple[Tensor, Tensor, Tensor | None]:
    torch.manual_seed(0)
    values = torch.randn(*shape, 24, requires_grad=True)
    return values, torch.randn(40, 24, requires_grad=True), torch.randn(40, requires_grad=True) if bias else None


@needs_onednn
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (5,), (3, 7), (2, 3, 5)])
def test_values_and_gradients_are_torchs(shape, bias):
    parameters = [part for part in tensors(*shape, bias=bias) if part is not None]
    assert uses_onednn(*parameters[:2])
    actual, expected = linear(*parameters), F.linear(*parameters)
    assert actual.grad_fn.name() == "_ProductBackward"
    assert_close(actual.detach().numpy(), expected.detach().numpy(), quantity="hidden", name="product")
    weights = torch.randn_like(expected)
    pairs = zip(
        torch.autograd.grad(actual, parameters, weights),
        torch.autograd.grad(expected, parameters, weights),
        strict=True,
    )
    for number, (found, wanted) in enumerate(pairs):
        assert_close(found.numpy(), wanted.numpy(), quantity="gradient", name=str(number))


@needs_onednn
@pytest.mark.usefixtures("quick")
def test_a_view_that_is_not_contiguous():
    values, weight, bias = tensors(3, 7)
    turned = values.transpose(0, 1)
    actual = torch.autograd.grad(linear(turned, weight, bias).transpose(0, 1).square().sum(), (values, weight))
    expected = torch.autograd.grad(F.linear(values, weight, bias).square().sum(), (values, weight))
    for found, wanted in zip(actual, expected, strict=True):
        assert_close(found.numpy(), wanted.numpy(), quantity="gradient", name="gradient")


@needs_onednn
@pytest.mark.usefixtures("quick")
def test_frozen_weights_get_no_gradient():
    values, weight, bias = tensors(4)
    linear(values, weight.detach(), bias).sum().backward()
    assert values.grad is not None
    assert bias.grad is not None
    assert weight.grad is None
    linear(values.detach(), weight, bias).sum().backward()
    assert weight.grad is not None


@needs_onednn
@pytest.mark.usefixtures("quick")
def test_gradients_of_gradients():
    parameters = tensors(4)
    found = []
    for function in (linear, F.linear):
        (first,) = torch.autograd.grad(function(*parameters).pow(3).sum(), parameters[0], create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), parameters[1])[0].numpy())
    assert_close(*found, quantity="gradient", name="gradient of the gradient")


@pytest.mark.usefixtures("quick")
def test_where_torchs_own_is_used():
    values, weight, _ = tensors(4)

    class Subclass(Tensor):
        pass

    assert uses_onednn(values, weight) == onednn.available()
    assert not uses_onednn(values.double(), weight.double())
    assert not uses_onednn(values.half(), weight.half())
    assert not uses_onednn(values.to("meta"), weight.to("meta"))
    assert not uses_onednn(values, weight.as_subclass(Subclass))
    with torch.autocast("cpu", torch.bfloat16):
        assert not uses_onednn(values, weight)
        assert linear(values, weight).dtype == torch.bfloat16
    torch.func.vmap(lambda row: torch.testing.assert_close(uses_onednn(row, weight), False) or row)(values)


@pytest.mark.parametrize(
    ("cpu", "quicker"),
    [
        ({"cpu_name": "AMD EPYC 9B45", "avx512_f": True}, True),
        ({"cpu_name": "AMD EPYC", "avx512_f": False}, False),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_f": True}, False),
        ({}, False),
    ],
)
def test_the_cpus_on_which_it_is_quicker(monkeypatch, cpu, quicker):
    monkeypatch.setattr(onednn, "capabilities", lambda: cpu)
    assert onednn.beats_mkl() == quicker


def test_small_products_are_torchs(monkeypatch):
    monkeypatch.setattr(onednn, "beats_mkl", lambda: True)
    values, weight, bias = tensors(4)
    assert not uses_onednn(values, weight)
    assert torch.equal(linear(values, weight, bias), F.linear(values, weight, bias))


@needs_onednn
def test_no_values_at_all():
    weight = torch.randn(2, 3, requires_grad=True)
    assert linear(torch.empty(0, 3), weight).shape == (0, 2)


@pytest.mark.usefixtures("quick")
def test_graphs_hold_torchs_operator():
    layer = Linear(24, 40)
    values = tensors(4)[0].detach()
    program = torch.export.export(layer, (values,))
    assert [str(node.target) for node in program.graph.nodes if node.op == "call_function"] == ["aten.linear.default"]
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    assert torch.equal(compiled(values), F.linear(values, layer.weight, layer.bias))


def test_it_is_a_linear_layer():
    layer = Linear(3, 2)
    assert isinstance(layer, nn.Linear)
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert torch.equal(copy.deepcopy(layer).weight, layer.weight)


def test_an_exported_program_takes_less_than_its_example(monkeypatch):
    """The size from which oneDNN is asked must not become a bound of the graph."""
    monkeypatch.setattr(module, "_SMALLEST", 2 * 16 * 8 * 8)
    shapes = (dict.fromkeys(range(2), torch.export.Dim.AUTO),)
    program = torch.export.export(Linear(8, 8), (torch.ones(2, 16, 8),), dynamic_shapes=shapes)
    assert program.module()(torch.ones(1, 2, 8)).shape == (1, 2, 8)
