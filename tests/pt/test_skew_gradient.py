"""Products by distance while training: the gradient of `skew`, and blocks of tokens, are torch's own of the slices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deberta_torch.kernels import skew as module
from deberta_torch.kernels.skew import position_products, products_by_distance, skew

sizes = st.integers(1, 9)
DOUBLE = {"dtype": torch.float64, "requires_grad": True}


@settings(deadline=None, max_examples=60, derandomize=True)
@given(rows=sizes, columns=sizes, leading=st.sampled_from([(), (2,), (2, 3)]))
def test_the_gradient_is_that_of_the_slices(rows, columns, leading):
    products = torch.randn(*leading, rows, rows + columns, requires_grad=True)
    weights = torch.randn(*leading, rows, columns)
    (actual,) = torch.autograd.grad((skew(products, columns) * weights).sum(), products)
    (expected,) = torch.autograd.grad((module._diagonals(products, columns) * weights).sum(), products)
    assert torch.equal(actual, expected)


def test_gradients_of_gradients():
    products = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda values: skew(values, 5).square(), products)


def test_a_view_that_is_not_contiguous():
    values = torch.randn(4, 8, 3, requires_grad=True)
    skew(values.transpose(-1, -2), 5).sum().backward()
    actual, values.grad = values.grad, None
    module._diagonals(values.transpose(-1, -2), 5).sum().backward()
    assert torch.equal(actual, values.grad)


def test_own_code_only_where_gradients_are_recorded_eagerly():
    products = torch.randn(3, 8, requires_grad=True)
    assert type(skew(products, 5).grad_fn).__name__ == "_SkewBackward"
    assert skew(products.detach(), 5).data_ptr() == products[0, 2:].data_ptr()
    with torch.no_grad():
        assert skew(products, 5).grad_fn is None


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev, torch.func.hessian])
def test_torch_func(transform):
    products = torch.randn(3, 8)
    actual = transform(lambda values: skew(values, 5).pow(3).sum())(products)
    assert torch.equal(actual, transform(lambda values: module._diagonals(values, 5).pow(3).sum())(products))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 4)


def whole(values, rows, length):
    """What blocks compute, without them."""
    return module._diagonals(position_products(values, rows), length).transpose(0, 1)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("tokens", "length"), [(5, 5), (8, 8), (11, 3), (6, 13)])
def test_blocks_are_the_whole(tokens, length):
    values = torch.randn(2, tokens, 3, 4, **DOUBLE).transpose(1, 2)
    rows = torch.randn(tokens + length, 3, 4, **DOUBLE).transpose(0, 1)
    weights = torch.randn(2, 3, length, tokens, dtype=torch.float64).transpose(-1, -2)
    found, expected = (of(values, rows, length) for of in (products_by_distance, whole))
    assert type(found.grad_fn).__name__ == "_InBlocksBackward"
    torch.testing.assert_close(found, expected)
    for one, other in zip(
        *(torch.autograd.grad((of * weights).sum(), (values, rows)) for of in (found, expected)), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.usefixtures("small_blocks")
def test_gradients_of_gradients_of_blocks():
    values, rows = torch.randn(1, 2, 5, 3, **DOUBLE), torch.randn(2, 11, 3, **DOUBLE)
    assert torch.autograd.gradgradcheck(lambda *given: products_by_distance(*given, 6).square(), (values, rows))


@pytest.mark.usefixtures("small_blocks")
def test_blocks_only_where_gradients_are_recorded_eagerly():
    values, rows = torch.randn(1, 2, 5, 3), torch.randn(2, 10, 3)
    assert products_by_distance(values, rows, 5).grad_fn is None
    actual = torch.func.grad(lambda given: products_by_distance(given, rows, 5).pow(3).sum())(values)
    expected = torch.func.grad(lambda given: whole(given, rows, 5).pow(3).sum())(values)
    assert torch.equal(actual, expected)
