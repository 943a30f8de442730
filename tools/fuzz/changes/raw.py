"""Changes to bytes of which nothing is known."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

Change = Callable[[Random, bytes], bytes]

# Numbers at which sizes, offsets and counts go wrong: around the powers of two that types end at.
EDGES = tuple(edge + step for edge in (0, 2**7, 2**8, 2**15, 2**16, 2**31, 2**32, 2**63, 2**64) for step in (-1, 0, 1))
_AT_ENDS = 4096  # bytes at either end of a file, where most formats keep what says where things are


def change_bytes(random: Random, data: bytes, near: int = _AT_ENDS) -> bytes:
    """Makes one to eight small changes, two of three near an end.

    Args:
        random: where all choices come from.
        data: the content.
        near: how many bytes count as an end.
    """
    content = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 8))):
        if not content:
            content += random.randbytes(8)
        end = min(near, len(content))
        place = random.choice(
            (random.randrange(end), len(content) - 1 - random.randrange(end), random.randrange(len(content)))
        )
        random.choice(_EDITS)(random, content, place)
    return bytes(content)


def edge_number(random: Random, size: int) -> bytes:
    """One of `EDGES` in this many bytes, of either byte order."""
    return (random.choice(EDGES) % (1 << 8 * size)).to_bytes(size, random.choice(("little", "big")))


def _flip(random: Random, content: bytearray, place: int) -> None:
    content[place] ^= 1 << random.randrange(8)


def _replace(random: Random, content: bytearray, place: int) -> None:
    content[place] = random.randrange(256)


def _number(random: Random, content: bytearray, place: int) -> None:
    number = edge_number(random, random.choice((1, 2, 4, 8)))
    content[place : place + len(number)] = number


def _delete(random: Random, content: bytearray, place: int) -> None:
    del content[place : place + random.choice((1, 2, 4, 8, 64))]


def _insert(random: Random, content: bytearray, place: int) -> None:
    content[place:place] = random.randbytes(random.choice((1, 2, 8, 64)))


def _copy(random: Random, content: bytearray, place: int) -> None:
    size, start = random.choice((4, 16, 64, 256)), random.randrange(len(content))
    content[place : place + size] = content[start : start + size]


def _end_early(random: Random, content: bytearray, place: int) -> None:
    if random.random() < 0.3:
        del content[place:]


_EDITS = (_flip, _replace, _number, _number, _delete, _insert, _copy, _end_early)
