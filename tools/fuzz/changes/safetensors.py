"""Changes to safetensors files: a length, a header of JSON, numbers."""

from __future__ import annotations

import json
from random import Random

from tools.fuzz.changes.json_values import change_json
from tools.fuzz.changes.raw import change_bytes, edge_number

_LENGTH = 8  # bytes before the header, its length
_DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F4", "f32", "", "C64")


def change_safetensors(random: Random, data: bytes) -> bytes:
    """Changes the header as JSON, a tensor's entry in it, the length before it, or bytes."""
    end = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    header, numbers = data[_LENGTH:end], data[end:]
    action = random.random()
    if action < 0.4:
        header = change_json(random, header)
    elif action < 0.75:
        header = _change_entry(random, header)
    elif action < 0.85:
        return edge_number(random, _LENGTH) + data[_LENGTH:]
    elif action < 0.9:
        numbers = random.choice((numbers[:-1], numbers + b"\0", b"", numbers * 2))
    else:
        return change_bytes(random, data)
    return len(header).to_bytes(_LENGTH, "little") + header + numbers


def _change_entry(random: Random, header: bytes) -> bytes:
    entries = json.loads(header)
    name = random.choice([name for name in entries if name != "__metadata__"])
    entry = entries[name]
    start, end = entry["data_offsets"]
    shape = entry["shape"]
    changes = {
        "dtype": random.choice(_DTYPES),
        "data_offsets": random.choice(
            ([start, end + 4], [start - 4, end], [end, start], [0, end - start], [start, start], [start], [end, 2**63])
        ),
        "shape": random.choice(
            (
                *(shape[::-1], [*shape, 1], shape[1:], [0, *shape], [1] * 80 + shape, [1] * 20_000, [0, 2**70]),
                *([2**32, 2**32, 0], [-size for size in shape], [2**63 - 1] * 3, [float(size) for size in shape]),
            )
        ),
    }
    key = random.choice(sorted(changes))
    entry[key] = changes[key]
    if random.random() < 0.1:
        entries[random.choice(("", "a" * 5000, name.upper(), f"../{name}", "__metadata__"))] = entry
    return json.dumps(entries).encode()
