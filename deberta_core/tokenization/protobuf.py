"""Reading a message in Protocol Buffers' wire format, as far as an spm.model needs it."""

from __future__ import annotations

from collections.abc import Iterator


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yields the number and the value of each field: an int for a varint, otherwise the bytes as they stand.

    Source:
        protobuf.dev, "Encoding": a key of `number << 3 | wire type`, then a varint (wire type 0), 8 bytes (1), a length
        and as many bytes (2), or 4 bytes (5). The message must be valid.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield number, value
        else:
            length = {1: 8, 5: 4}.get(kind)
            if length is None:
                length, place = _varint(message, place)
            yield number, message[place : place + length]
            place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
