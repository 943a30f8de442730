"""Files that TensorBoard reads, written without it: records of numbers, in Protocol Buffers."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path

VERSION = "brain.Event:2"
_POLYNOMIAL = 0x82F63B78  # of CRC-32C, its bits reversed


class EventFile:
    """A file of numbers by step; TensorBoard may read it while it grows.

    A new one is begun in each process, so that a run that goes on adds to what is there.

    Args:
        folder: where it is made, with the first number; `tensorboard --logdir` takes this, or any folder above.

    Source:
        TensorFlow's `event.proto` and `summary.proto`, and the framing of its TFRecord files.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Adds numbers by their names, such as "eval/accuracy"."""
        values = b"".join(
            _field(1, _field(1, name.encode()) + b"\x15" + struct.pack("<f", number))
            for name, number in numbers.items()
        )
        event = b"\x10" + _varint(step) + _field(5, values)
        parts = [event] if self._file.exists() else [_field(3, VERSION.encode()), event]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as file:
            for part in parts:
                file.write(_framed(b"\x09" + struct.pack("<d", time.time()) + part))


def _field(number: int, content: bytes) -> bytes:
    """A field whose content has its length before it."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _framed(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    """CRC-32C, rotated and moved as TFRecord files have it."""
    register = 0xFFFFFFFF
    for byte in content:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (_POLYNOMIAL if register & 1 else 0)
    register ^= 0xFFFFFFFF
    return struct.pack("<I", ((register >> 15 | register << 17) + 0xA282EAD8) & 0xFFFFFFFF)
