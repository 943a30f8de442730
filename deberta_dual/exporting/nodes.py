"""Writing an ONNX graph node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

Array = NDArray[Any]
ONNX_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
INT8 = "int8"
STORAGES = (*ONNX_TYPES, INT8)


class Nodes:
    """A graph in the making: operators give the names of their outputs, constants are kept once.

    Args:
        storage: how weights are stored, of `STORAGES`; everything is computed in float32. "int8" has a scale for each
            output of a linear layer, and leaves other weights as they are.
    """

    def __init__(self, storage: str = "float32") -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._shared: dict[tuple[Any, ...], str] = {}
        self._storage, self._count = storage, 0

    def op(self, kind: str, *inputs: str, outputs: int = 1, name: str | None = None, **attributes: Any) -> Any:
        """Adds an operator.

        Args:
            kind: its ONNX name.
            *inputs: names of values.
            outputs: how many it has.
            name: of its output; None: a new one.
            **attributes: of the operator.

        Returns:
            the name of the output, or a tuple of names.
        """
        names = [name] if name else [self._fresh(kind) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=self._fresh(f"{kind}_node"), **attributes))
        return names[0] if outputs == 1 else tuple(names)

    def numbers(self, *values: int) -> str:
        """A constant of int64, `[len(values)]`."""
        return self.constant(np.array(values, dtype=np.int64))

    def constant(self, values: Array) -> str:
        """A small constant."""
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._shared:
            self._shared[key] = self._keep(values, self._fresh("constant"))
        return self._shared[key]

    def weight(self, name: str, values: Array) -> str:
        """A weight, kept as `storage` says, under its own name; the name of the value to compute with, in float32."""
        key = ("weight", name)
        if key not in self._shared:
            values = np.ascontiguousarray(values, dtype=np.float32)
            kind = ONNX_TYPES.get(self._storage, TensorProto.FLOAT)
            if kind == TensorProto.FLOAT or values.ndim < 2:
                self._shared[key] = self._keep(values, name)
            else:
                stored = values.astype(helper.tensor_dtype_to_np_dtype(kind))
                self._shared[key] = self.op("Cast", self._keep(stored, name), to=TensorProto.FLOAT)
        return self._shared[key]

    def _quantized(self, name: str, weight: Array) -> str:
        """A weight `[in, out]` as int8 with a scale for each output."""
        key = ("int8", name)
        if key in self._shared:
            return self._shared[key]
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-12).astype(np.float32) / 127
        stored = self._keep(np.rint(weight / scale).astype(np.int8), name)
        self._shared[key] = self.op("DequantizeLinear", stored, self._keep(scale, f"{name}.scale"), axis=1)
        return self._shared[key]

    def reshape(self, value: str, *shape: int) -> str:
        """A value in another shape: 0 keeps an axis, -1 is what is left."""
        return str(self.op("Reshape", value, self.numbers(*shape)))

    def transpose(self, value: str, *axes: int) -> str:
        """A value with its axes in another order."""
        return str(self.op("Transpose", value, perm=list(axes)))

    def split(self, value: str, axis: int, sizes: Sequence[int]) -> tuple[str, ...]:
        """A value cut along an axis."""
        if len(sizes) == 1:
            return (value,)
        return tuple(self.op("Split", value, self.numbers(*sizes), outputs=len(sizes), axis=axis))

    def slice(self, value: str, axis: int, start: str, end: str) -> str:
        """A part of a value along one axis, from `start` up to `end`, each the name of an int64 `[1]`."""
        return str(self.op("Slice", value, start, end, self.numbers(axis)))

    def linear(self, value: str, name: str, weight: Array, bias: Array | None) -> str:
        """`value @ weight.T + bias`, of a weight `[out, in]`."""
        weight = np.ascontiguousarray(weight.T, dtype=np.float32)
        is_int8 = self._storage == INT8
        own = self._quantized(f"{name}.weight", weight) if is_int8 else self.weight(f"{name}.weight", weight)
        product = self.op("MatMul", value, own)
        return str(product if bias is None else self.op("Add", product, self.weight(f"{name}.bias", bias)))

    def graph(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> GraphProto:
        """The finished graph."""
        return helper.make_graph(self.nodes, name, list(inputs), list(outputs), initializer=self.initializers)

    def _keep(self, values: Array, name: str) -> str:
        self.initializers.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{kind.lower()}_{self._count}"
