"""oneDNN's operators get weights and biases in a layout they read right and fast, whatever the caller's is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conformance.suite.compare import assert_close
from deberta_torch.inference.linears import PlainLinear
from deberta_torch.kernels import onednn
from deberta_torch.kernels.onednn import DynamicLinear, PackedLinear, QuantizedLinear

# Views of `[rows, columns]`, as slices of products, transposes and steps make them.
LAYOUTS: dict[str, Callable[[int, int], Tensor]] = {
    "contiguous": lambda rows, columns: torch.randn(rows, columns),
    "transposed": lambda rows, columns: torch.randn(columns, rows).T,
    "one head": lambda rows, columns: torch.randn(rows, 3 * columns)[:, columns : 2 * columns],
    "every other column": lambda rows, columns: torch.randn(rows, 2 * columns)[:, ::2],
    "every other row": lambda rows, columns: torch.randn(2 * rows, columns)[::2],
    "steps both ways": lambda rows, columns: torch.randn(2 * columns, 2 * rows)[::2, ::2].T,
    "repeated": lambda rows, columns: torch.randn(1, columns).expand(rows, columns),
    "from the second": lambda rows, columns: torch.randn(rows * columns + 1)[1:].view(rows, columns),
}
BIASES: dict[str, Callable[[int], Tensor]] = {
    "contiguous": torch.randn,
    "every other": lambda size: torch.randn(2 * size)[::2],
    "repeated": lambda size: torch.randn(1).expand(size),
}
# Wrapper -> its operator's type of numbers, and how far its numbers may be off beyond the rounding of float32.
WRAPPERS: dict[str, tuple[Callable[[Tensor, Tensor | None], Any], torch.dtype, float]] = {
    "packed float32": (PackedLinear, torch.float32, 0.0),
    "packed bfloat16": (lambda weight, bias: PackedLinear(weight, bias, torch.bfloat16), torch.bfloat16, 0.02),
    "quantized": (lambda weight, bias: QuantizedLinear(weight, bias, torch.float32), torch.int8, 0.05),
    "dynamic": (DynamicLinear, torch.int8, 0.05),
    "plain": (lambda weight, bias: PlainLinear(weight, bias, torch.float32), torch.float32, 0.0),
    "unpacked": (lambda weight, bias: lambda values: onednn.linear(values, weight, bias), torch.float32, 0.0),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_numbers_do_not_depend_on_the_layout(wrapper, layout):
    make, dtype, off = WRAPPERS[wrapper]
    if wrapper != "plain" and not onednn.available(dtype):
        pytest.skip("this CPU or torch lacks the operator")
    torch.manual_seed(0)
    makers = [LAYOUTS["contiguous"]] * 3
    for place in range(3):  # of values, weight and residual one is laid out so at a time
        values_of, weight_of, residual_of = (*makers[:place], LAYOUTS[layout], *makers[place + 1 :])
        values, weight, residual = values_of(10, 24), weight_of(40, 24), residual_of(10, 40)
        for bias in (make_bias(40) for make_bias in BIASES.values()):
            layer, expected = make(weight, bias), F.linear(values.contiguous(), weight.contiguous(), bias.contiguous())
            check(layer(values), expected, off)
            if hasattr(layer, "plus"):
                check(layer.plus(values, residual), expected + residual, off)


def check(found: Tensor, expected: Tensor, off: float) -> None:
    if off:
        assert (found.float() - expected).abs().max() < off * expected.abs().max()
    else:
        assert_close(found.numpy(), expected.numpy(), quantity="hidden", name="product")


class Recorder:
    """In the place of an operator: looks at its tensors, on CPUs that lack the operator, too."""

    def __init__(self, result: Callable[..., Any]) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.result = result

    def __call__(self, *arguments: Any) -> Any:
        self.calls.append(arguments)
        return self.result(*arguments)

    binary = __call__


@pytest.fixture
def operators(monkeypatch) -> dict[str, Recorder]:
    made = {
        "mkldnn._linear_pointwise": Recorder(lambda values, *_: values),
        "mkldnn._reorder_linear_weight": Recorder(lambda weight, _: weight),
        "onednn.qlinear_prepack": Recorder(lambda weight, _: weight),
        "onednn.qlinear_pointwise": Recorder(lambda values, *_: values.float()),
    }
    for name, recorder in made.items():
        space, operator = name.split(".")
        monkeypatch.setattr(getattr(torch.ops, space), operator, recorder, raising=False)
    return made


def lies_together(value: Tensor | None) -> bool:
    return value is None or value.is_contiguous()


@pytest.mark.parametrize("bias", [*BIASES, None])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_operators_are_given_what_lies_together(layout, bias, operators):
    weight, values = LAYOUTS[layout](40, 40), torch.randn(10, 40)
    bias = None if bias is None else BIASES[bias](40)
    onednn.linear(values, weight, bias)
    for dtype in (torch.float32, torch.bfloat16):
        layer = PackedLinear(weight, bias, dtype)
        layer(values)
        layer.plus(values, values)
    layer = QuantizedLinear(weight, bias, torch.float32)
    layer(values)
    layer.plus(values, values)
    assert {name: len(operator.calls) for name, operator in operators.items()} == {
        "mkldnn._linear_pointwise": 5,
        "mkldnn._reorder_linear_weight": 2,
        "onednn.qlinear_prepack": 1,
        "onednn.qlinear_pointwise": 2,
    }
    first, *_ = operators["mkldnn._linear_pointwise"].calls
    assert first[1].is_contiguous() or first[1].t().is_contiguous()  # a transpose is as good: not copied
    assert first[1].data_ptr() == weight.data_ptr() or layout not in ("contiguous", "transposed")
    for name in ("mkldnn._reorder_linear_weight", "onednn.qlinear_prepack"):
        assert all(call[0].is_contiguous() for call in operators[name].calls)
    for call in operators["mkldnn._linear_pointwise"].calls:
        assert all(lies_together(part) for part in call[2:] if isinstance(part, Tensor))
    for call in operators["onednn.qlinear_pointwise"].calls:
        assert all(lies_together(part) for part in call[4:] if isinstance(part, Tensor))
