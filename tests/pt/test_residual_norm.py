"""Dropout, residual and LayerNorm by kernels, in Triton's interpreter: torch's numbers and gradients."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from conformance.suite import interpreted  # noqa: F401 - before Triton is imported
from conformance.suite.compare import relative_error
from conformance.tolerances import TOLERANCES
from deberta_torch.kernels.triton import residual_norm
from deberta_torch.kernels.triton.dropping import Dropping
from deberta_torch.kernels.triton.residual_norm import differentiate, normalize_sum

# Types of the product, of the residual, and of the norm: float32, autocast, and a model in half precision.
TYPES = {
    "float32": (torch.float32, torch.float32, torch.float32),
    "autocast": (torch.float16, torch.float32, torch.float32),
    "float16": (torch.float16, torch.float16, torch.float16),
}
SHAPES = {"one row": (1, 24), "texts": (3, 5, 16), "more rows than parts": (90, 20), "wide": (2, 768)}


def numbers(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def arguments(shape, types):
    width = shape[-1]
    product = numbers(*shape, seed=1, dtype=types[0]).flatten(0, -2)
    gain, shift = 1 + numbers(width, seed=3) / 4, numbers(width, seed=4)
    return product, numbers(*shape, seed=2, dtype=types[1]) + 3, gain.to(types[2]), shift.to(types[2])


def bound_of(types):
    return TOLERANCES["gradient" if types[0] == torch.float32 else "gpu float16"].limit


def kept(dropping, rows=100, width=64):
    """Which places stay: bool `[rows, width]`."""
    zeros = torch.zeros(rows, width)
    given = zeros + 1, zeros, torch.ones(width), torch.zeros(width)
    return normalize_sum(*given, 1e-7, dtype=torch.float32, dropping=dropping, keeps=True).total != 0


def by_torch(given, places, grads, epsilon):
    """The norm, and the gradients of all that is given, in float64; `grads` are summed."""
    inputs = [one.detach().double().requires_grad_() for one in given]
    product, residual, gain, shift = inputs
    out = F.layer_norm((product * places).view(residual.shape) + residual, gain.shape, gain, shift, epsilon)
    out.backward(sum(one.double() for one in grads if one is not None))
    return out.detach(), [one.grad for one in inputs]


@pytest.mark.parametrize("types", TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_numbers_and_gradients(shape, types, dropout, monkeypatch):
    monkeypatch.setattr(residual_norm, "_PARTS", 4)
    given, bound = arguments(shape, types), bound_of(types)
    dropping = Dropping(dropout, torch.tensor([5]), 1) if dropout else Dropping()
    normed = normalize_sum(*given, 1e-3, dtype=types[2], dropping=dropping, wants_low=types[0] != types[2], keeps=True)
    places = kept(dropping, *given[0].shape) / (1 - dropout)
    assert bool((places == 0).any()) == bool(dropout)
    grad, of_low = numbers(*shape, seed=6, dtype=types[2]), None
    if normed.low is not None:
        of_low = numbers(*shape, seed=7, dtype=types[0])
        assert torch.equal(normed.low, normed.out.to(types[0]))
    expected, of_inputs = by_torch(given, places, (grad, of_low), 1e-3)
    assert normed.out.dtype == types[2]
    assert relative_error(normed.out.numpy(), expected.numpy()) <= bound
    found = differentiate(grad, of_low, *normed[2:], given[2], types[:2], dropping)
    assert (found.product.dtype, found.residual.dtype) == types[:2]
    assert (found.product is found.residual) == (dropout == 0 and types[0] == types[1])
    product = found.product.flatten(0, -2)
    for own, other in zip((product, found.residual, found.gain, found.shift), of_inputs, strict=True):
        assert relative_error(own.numpy(), other.numpy()) <= bound
    assert relative_error(found.bias.numpy(), of_inputs[0].sum(dim=0).numpy(), float(of_inputs[0].abs().max())) <= bound
    assert ((product == 0) == (places == 0)).all() or types[0] == torch.float16  # where small numbers end


def test_any_strides():
    given = arguments((6, 16), TYPES["float32"])
    turned = [one.t().contiguous().t() for one in given[:2]]
    assert not turned[0].is_contiguous()
    found, expected = (normalize_sum(*own, *given[2:], 1e-7, dtype=torch.float32).out for own in (turned, given[:2]))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("low", [False, True])
def test_one_of_two_gradients(low):
    types = TYPES["autocast"]
    given, grad = arguments((6, 16), types), numbers(6, 16, seed=8, dtype=types[0])
    normed = normalize_sum(*given, 1e-7, dtype=types[2], wants_low=True, keeps=True)
    grads = (None, grad) if low else (grad.float(), None)
    found = differentiate(*grads, *normed[2:], given[2], types[:2])
    both = differentiate(grad.float(), torch.zeros_like(grad), *normed[2:], given[2], types[:2])
    assert all(torch.equal(own, other) for own, other in zip(found, both, strict=True))


def test_the_law_of_dropout():
    """As often as asked for in rows and columns, one place apart from the next, by seed and by step."""
    seed = torch.tensor([9])
    found = kept(Dropping(0.25, seed))
    assert torch.equal(found[:10], kept(Dropping(0.25, seed), rows=10))
    for other in (Dropping(0.25, seed, 1), Dropping(0.25, torch.tensor([10]))):
        assert 0.58 < float((found == kept(other)).float().mean()) < 0.67  # 0.625 of independent places
    assert 0.73 < float(found.float().mean()) < 0.77
    for axis in (0, 1):
        shares = found.float().mean(dim=axis)
        assert 0.5 < float(shares.min()) < float(shares.max()) < 0.95
    for one, following in (*pairwise(found[:20]), *pairwise(found.t()[:20])):
        assert 0.4 < float((one == following).float().mean()) < 0.85
    assert not kept(Dropping(1.0, seed), rows=3).any()


def test_no_rows():
    given = arguments((0, 16), TYPES["float32"])
    normed = normalize_sum(*given, 1e-7, dtype=torch.float32, keeps=True)
    found = differentiate(normed.out, None, *normed[2:], given[2], (torch.float32, torch.float32))
    assert normed.out.shape == found.product.shape == (0, 16)
    assert not found.gain.any()
    assert not found.bias.any()
