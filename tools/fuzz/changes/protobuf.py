"""Changes to protobuf messages, field by field, also within messages."""

from __future__ import annotations

import struct
from random import Random
from typing import NamedTuple

from tools.fuzz.changes.raw import EDGES, change_bytes

_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5  # wire types
_DEEPEST = 3  # messages within messages that are taken for such
_FLOATS = (float("nan"), float("inf"), -float("inf"), 0.0, -0.0, 3e38, -3e38, 1e-44)
_TEXTS = (b"", b"\xff\xfe", b"\0", "\u2581".encode(), b"<unk>", b"<0x41>", b"<0xZZ>", b"w" * 5000)


class Field(NamedTuple):
    """A field: its number and wire type together, and its value, a number or the bytes."""

    key: int
    value: int | bytes


def change_protobuf(random: Random, message: bytes, depth: int = 0) -> bytes:
    """Changes one to four fields; each kind of field is as likely as the others, however many there are of it."""
    fields = _read(message)
    if not fields or random.random() < 0.1:
        return change_bytes(random, message)
    for _ in range(random.choice((1, 1, 2, 4))):
        kind = random.choice(sorted({field.key for field in fields}))
        place = random.choice([number for number, field in enumerate(fields) if field.key == kind])
        field, action = fields[place], random.randrange(10)
        if action == 0:
            del fields[place]
        elif action == 1:
            fields.insert(random.randrange(len(fields) + 1), field)
        elif action == 2:
            fields[place] = Field(random.choice((kind + 8, max(kind - 8, kind & 7), kind + 8 * 2**25)), field.value)
        else:
            fields[place] = Field(kind, _other_value(random, field, depth))
        if not fields:
            break
    return _written(fields)


def _other_value(random: Random, field: Field, depth: int) -> int | bytes:
    wire, value = field.key & 7, field.value
    if isinstance(value, int):
        return random.choice((*EDGES, value + 1, value ^ 1, 2, 3, 4, 5, 6)) % 2**64
    if wire in (_FOUR, _EIGHT):
        packed = struct.pack("<f" if wire == _FOUR else "<d", random.choice(_FLOATS))
        return random.choice((packed, random.randbytes(len(value))))
    if depth < _DEEPEST and _read(value) and random.random() < 0.7:
        return change_protobuf(random, value, depth + 1)
    return random.choice((*_TEXTS, value * 2, value[:-1], change_bytes(random, value)))


def _read(message: bytes) -> list[Field]:
    """The fields of a message; none where it is not one that is written again as it was."""
    fields, place = [], 0
    try:
        while place < len(message):
            key, place = _varint(message, place)
            wire, value = key & 7, 0
            if wire == _VARINT:
                value, place = _varint(message, place)
                fields.append(Field(key, value))
                continue
            size = {_EIGHT: 8, _FOUR: 4}.get(wire, -1)
            if wire == _SIZED:
                size, place = _varint(message, place)
            if size < 0 or place + size > len(message):
                return []
            fields.append(Field(key, message[place : place + size]))
            place += size
    except IndexError:
        return []
    return fields if _written(fields) == message else []


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _as_varint(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F)
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def _written(fields: list[Field]) -> bytes:
    parts = []
    for key, value in fields:
        parts.append(_as_varint(key))
        if isinstance(value, int):
            parts.append(_as_varint(value))
        else:
            parts.append((_as_varint(len(value)) if key & 7 == _SIZED else b"") + value)
    return b"".join(parts)
