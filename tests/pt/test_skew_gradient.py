"""The gradient of `skew` is torch's own of the slices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deberta_torch.kernels.skew import diagonals, skew

sizes = st.integers(1, 9)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(rows=sizes, columns=sizes, leading=st.sampled_from([(), (2,), (2, 3)]))
def test_the_gradient_is_that_of_the_slices(rows, columns, leading):
    products = torch.randn(*leading, rows, rows + columns, requires_grad=True)
    weights = torch.randn(*leading, rows, columns)
    (actual,) = torch.autograd.grad((skew(products, columns) * weights).sum(), products)
    (expected,) = torch.autograd.grad((diagonals(products, columns) * weights).sum(), products)
    assert torch.equal(actual, expected)


def test_gradients_of_gradients():
    products = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda values: skew(values, 5).square(), products)


def test_a_view_that_is_not_contiguous():
    values = torch.randn(4, 8, 3, requires_grad=True)
    skew(values.transpose(-1, -2), 5).sum().backward()
    actual, values.grad = values.grad, None
    diagonals(values.transpose(-1, -2), 5).sum().backward()
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
    assert torch.equal(actual, transform(lambda values: diagonals(values, 5).pow(3).sum())(products))
