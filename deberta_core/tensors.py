"""What the core needs of a framework: tensors made of arrays, and the seed of a DataLoader's worker."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.errors import InputError, one_of


def to_tensor(array: NDArray[Any], kind: str) -> Any:
    """Makes a framework's tensor of an array.

    Args:
        array: of int64 or float32.
        kind: "np", the array itself; "pt", the same dtype; "tf", int32 or float32.

    Raises:
        InputError: the kind is unknown, or its framework is not installed.
    """
    if not isinstance(kind, str) or kind not in _TENSORS:
        raise InputError(one_of("return_tensors", kind, tuple(_TENSORS)))
    return _TENSORS[kind](array)


def to_list(value: Any) -> Any:
    """Turns an array of NumPy, PyTorch or TensorFlow into nested lists; anything else stays."""
    if hasattr(value, "numpy") and not hasattr(value, "tolist"):
        value = value.numpy()
    return value.tolist() if hasattr(value, "tolist") else value


def worker_seed() -> int | None:
    """The seed PyTorch gave the DataLoader worker this runs in, other in every worker and epoch; None elsewhere."""
    loading = sys.modules.get("torch.utils.data")
    worker = loading and loading.get_worker_info()
    return int(worker.seed) if worker else None


def _torch_tensor(array: NDArray[Any]) -> Any:
    with _needed("pt", "PyTorch", "torch"):
        import torch
    return torch.from_numpy(array)


def _tf_tensor(array: NDArray[Any]) -> Any:
    with _needed("tf", "TensorFlow", "tf"):
        import tensorflow as tf
    return tf.constant(array, dtype=tf.int32 if array.dtype == np.int64 else tf.float32)


@contextmanager
def _needed(kind: str, framework: str, extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise InputError(
            f"return_tensors={kind!r} needs {framework}. Install it with: pip install 'deberta-dual[{extra}]'"
        ) from None


_TENSORS: dict[str, Callable[[NDArray[Any]], Any]] = {"np": lambda array: array, "pt": _torch_tensor, "tf": _tf_tensor}
