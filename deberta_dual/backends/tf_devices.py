"""Where TensorFlow computes, and in which numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from deberta_core.errors import InputError


def policy_of(dtype: Any) -> Any:
    """A dtype policy of Keras by its name; None for None."""
    try:
        return None if dtype is None else keras.dtype_policies.get(dtype)
    except (TypeError, ValueError):
        raise InputError(f"dtype={dtype!r} is no dtype or policy of Keras. Give one such as 'bfloat16'.") from None


@contextmanager
def on_device(device: Any) -> Iterator[None]:
    """Computes on a device; None: where TensorFlow chooses."""
    if device is None:
        yield
        return
    name = named(device)
    if name not in present() and f"{name}:0" not in present():
        raise InputError(f"device={device!r} is not here. TensorFlow has: {', '.join(present())}.")
    with tf.device(name):
        yield


def present() -> list[str]:
    """The names of the devices that are here, the CPU first."""
    return [found.name.removeprefix("/device:").lower() for found in tf.config.list_logical_devices()]


def named(device: Any) -> str | None:
    """A device's name in TensorFlow; as a number, of a GPU, or the CPU for -1 or where there is none."""
    if isinstance(device, int):
        return f"gpu:{device}" if device >= 0 and "gpu:0" in present() else "cpu:0"
    return None if device is None else str(device).lower().replace("cuda", "gpu")
