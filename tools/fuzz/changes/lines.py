"""Changes to texts of lines and fields."""

from __future__ import annotations

from random import Random

from tools.fuzz.changes.json_values import change_json
from tools.fuzz.changes.raw import change_bytes

# What separates, quotes, ends or means something to a reader; and what is no text, or too long a one.
PIECES = (
    *(b'"', b'""', b"'", b",", b"\t", b";", b" ", b"\r", b"\r\n", b"\0", b"\\", b"|", b"\xc2\xa0", b"\xe2\x80\xa8"),
    *(b"\xff", b"\xed\xa0\x80", b"\xc3", b"\xef\xbb\xbf", b"\xf0\x9f\x92\xa1", b"\xcc\x81", b"\x1c", b"\x85"),
    *(b"nan", b"1e999", b"-1", b"0", b"7" * 4400, b"null", b"{", b"}", b"[" * 2000, b"-DOCSTART-", b"B-", b"I-", b"O"),
    *(b"[MASK]", b"[SEP]", b"z" * 150_000),
)


def change_lines(random: Random, data: bytes) -> bytes:
    """Changes a few lines: puts `PIECES` in, cuts, doubles and removes; now and then changes bytes."""
    if random.random() < 0.2:
        return change_bytes(random, data)
    lines = data.split(b"\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        number = random.randrange(len(lines))
        line, piece = lines[number], random.choice(PIECES)
        place = random.randrange(len(line) + 1)
        lines[number] = random.choice((line[:place] + piece + line[place:], piece, piece + line, line[:place]))
        action = random.random()
        if action < 0.15:
            lines.insert(random.randrange(len(lines) + 1), random.choice(lines))
        elif action < 0.25 and len(lines) > 1:
            del lines[random.randrange(len(lines))]
    return b"\n".join(lines)


def change_json_lines(random: Random, data: bytes) -> bytes:
    """Changes the JSON of one line, or the lines."""
    lines = data.split(b"\n")
    number = random.randrange(len(lines))
    if not lines[number].startswith(b"{") or random.random() < 0.3:
        return change_lines(random, data)
    lines[number] = change_json(random, lines[number])
    return b"\n".join(lines)
