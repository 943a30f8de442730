"""Changes to pickles, operation by operation."""

from __future__ import annotations

import io
import pickletools
from random import Random

from tools.fuzz.changes.raw import EDGES, change_bytes

# What a hostile pickle calls, and what a checkpoint does.
GLOBALS = (
    *("os system", "posix system", "subprocess Popen", "builtins eval", "builtins exec", "builtins getattr"),
    *("builtins __import__", "runpy run_path", "torch load", "operator attrgetter", "importlib import_module"),
    *("collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"),
    *("torch FloatStorage", "torch HalfStorage", "torch BFloat16Storage", "torch Size", "torch float32"),
)
_WORDS = (b"0", b"1", b"-1", b"1L", b"01", b"'a'", b"a", b"1e999", b"nan", b"8" * 60, b"8" * 5000)


def change_pickle(random: Random, data: bytes) -> bytes:
    """Adds, removes, repeats and swaps operations, and changes what they call; what follows the pickle stays."""
    try:
        places = [place or 0 for _, _, place in pickletools.genops(data)]
    except Exception:  # of any kind: it is damaged already
        return change_bytes(random, data)
    end = places[-1] + 1  # an operation of one byte ends a pickle
    operations = [data[first:last] for first, last in zip(places, [*places[1:], end], strict=True)]
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        random.choice(_EDITS)(random, operations, random.randrange(len(operations)))
        if not operations:
            break
    return b"".join(operations) + data[end:]


def change_pickle_of(number: int, random: Random, data: bytes) -> bytes:
    """Changes the pickle of this number, of several that follow one another."""
    stream, start = io.BytesIO(data), 0
    for _ in range(number):
        list(pickletools.genops(stream))
        start = stream.tell()
    list(pickletools.genops(stream))
    return data[:start] + change_pickle(random, data[start : stream.tell()]) + data[stream.tell() :]


def _global(random: Random) -> bytes:
    return b"c" + random.choice(GLOBALS).replace(" ", "\n").encode() + b"\n"


def _random_operation(random: Random) -> bytes:
    operation = random.choice(pickletools.opcodes)
    code, argument = operation.code.encode("latin-1"), operation.arg
    if argument is None:
        return code
    if operation.name == "GLOBAL":
        return _global(random)
    if argument.n == pickletools.UP_TO_NEWLINE:
        return code + random.choice(_WORDS) + b"\n" + (b"a\n" if operation.name == "INST" else b"")
    if argument.n > 0:
        return code + random.choice((b"\0", b"\1", b"\x7f", b"\xff", random.randbytes(1))) * argument.n
    width = {pickletools.TAKEN_FROM_ARGUMENT1: 1, pickletools.TAKEN_FROM_ARGUMENT8U: 8}.get(argument.n, 4)
    size = random.choice((0, 1, 5, 200, 2**31 - 1, 2**62)) & ((1 << 8 * width) - 1)
    return code + size.to_bytes(width, "little") + random.randbytes(min(size, 200))


def _insert(random: Random, operations: list[bytes], place: int) -> None:
    operations.insert(place, _random_operation(random))


def _replace(random: Random, operations: list[bytes], place: int) -> None:
    operations[place] = _random_operation(random)


def _remove(random: Random, operations: list[bytes], place: int) -> None:
    del operations[place : place + random.choice((1, 1, 2, 10))]


def _repeat(random: Random, operations: list[bytes], place: int) -> None:
    operations[place:place] = operations[place : place + random.choice((1, 3, 10, 60))] * random.choice((1, 1, 20))


def _swap(random: Random, operations: list[bytes], place: int) -> None:
    other = random.randrange(len(operations))
    operations[place], operations[other] = operations[other], operations[place]


def _call_another(random: Random, operations: list[bytes], place: int) -> None:
    named = [number for number, operation in enumerate(operations) if operation[:1] == b"c"]
    operations[random.choice(named or [place])] = _global(random)


def _count_otherwise(random: Random, operations: list[bytes], place: int) -> None:
    """Another number where there was one: a size, an offset, a stride."""
    numbers = [number for number, operation in enumerate(operations) if operation[:1] in (b"K", b"M", b"J", b"\x8a")]
    if numbers:
        value = random.choice((*EDGES, -(2**40), 2**70, 2**61 - 1)).to_bytes(10, "little", signed=True)
        operations[random.choice(numbers)] = b"\x8a" + bytes([len(value)]) + value


_EDITS = (_insert, _replace, _remove, _repeat, _swap, _call_another, _count_otherwise, _count_otherwise)
