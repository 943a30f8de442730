"""Changes to JSON: to values, names and nesting."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

from tools.fuzz.changes.raw import EDGES, change_bytes

_MOST_SLOTS = 4000  # of a large file only so many values are looked at, the outermost first
_LONG_LIST = 40  # values of a list that are

# What a reader may not expect at a place: another type, a number no field can have, a text that means something.
NUMBERS = (*EDGES, -5, 0.5, -0.0, 1e-320, 1.8e308, float("nan"), float("inf"), -float("inf"), 10**9, 10**30, 10**400)
TEXTS = (
    *("", " ", "0", "-1", "1e5", "true", "null", "\0", "\n", "\ud800", "\u2581", "é" * 40, "q" * 20_000, "%s{}\\"),
    *("..", "../up", "/etc/hostname", "a" * 300, "x/y", "model.safetensors", "<0x41>", "(a|aa)+$", "(?<=a+)b", "["),
    *("gelu", "deberta", "deberta-v2", "c2p|p2c", "layer_norm", "float32", "Replace", "Unigram", "BPE", "AAAAAAAA"),
)
OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [None], [1], ["a", "b"], {"a": 1}, {"": {}}, [0] * 500),
    *({"type": "Sequence"}, {"content": 1}),
)
NAMES = (
    *("", "0", "-1", "a", "\ud800", "type", "id", "content", "vocab", "merges", "model", "model_type", "extra"),
    *("__metadata__", "auto_map", "num_labels", "pruned_heads", "weight_map", "normalized", "__class__", "dtype"),
)


def change_json(random: Random, text: bytes) -> bytes:
    """Changes one to four values of a JSON text; now and then its bytes instead, or writes all names twice."""
    try:
        root = [json.loads(text)]  # in a list, so that the outermost value is a slot like any other
    except (ValueError, RecursionError):
        return change_bytes(random, text)
    if random.random() < 0.1:
        return change_bytes(random, text)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        slots = list(_slots(root))
        holder, key = random.choice(slots)
        random.choice(_EDITS)(random, holder, key, slots)
        if not root:
            root = [None]
    try:
        changed = json.dumps(root[0], ensure_ascii=random.random() < 0.5)
    except (ValueError, RecursionError):  # too many digits, or too deep to be written
        changed = random.choice(("[", '{"a":')) * 20_000
    if changed.startswith("{") and len(changed) > 2 and random.random() < 0.03:
        changed = f"{changed[:-1]},{changed[1:]}"
    return changed.encode("utf-8", "surrogatepass")


def odd_value(random: Random) -> Any:
    """A value that hardly any reader expects."""
    return copy.deepcopy(random.choice(random.choice((NUMBERS, TEXTS, OTHERS))))  # which later changes may change


def _slots(root: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys, the outermost first."""
    waiting, found = [root], 0
    for container in waiting:
        keys = list(container) if isinstance(container, dict) else range(min(len(container), _LONG_LIST))
        for key in keys:
            found += 1
            if found > _MOST_SLOTS:
                return
            yield container, key
            if isinstance(container[key], dict | list):
                waiting.append(container[key])


def _put_odd(random: Random, holder: Any, key: Any, slots: Any) -> None:
    holder[key] = odd_value(random)


def _put_near(random: Random, holder: Any, key: Any, slots: Any) -> None:
    """A value of the same type, not far from what was there."""
    value = holder[key]
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        holder[key] = odd_value(random)
    elif isinstance(value, str):
        holder[key] = random.choice((value.upper(), value[1:], value * 2, value + "\0", f" {value}", f"{value}.x"))
    else:
        holder[key] = random.choice((value + 1, value - 1, -value, value * 2, value * 1000, str(value), [value]))


def _remove(random: Random, holder: Any, key: Any, slots: Any) -> None:
    del holder[key]


def _rename(random: Random, holder: Any, key: Any, slots: Any) -> None:
    if isinstance(holder, dict):
        holder[random.choice((*NAMES, key.upper(), f"{key}.x"))] = holder.pop(key)


def _add(random: Random, holder: Any, key: Any, slots: Any) -> None:
    target = holder[key] if isinstance(holder[key], dict | list) else holder
    if isinstance(target, dict):
        target[random.choice(NAMES)] = odd_value(random)
    else:
        target.insert(random.randrange(len(target) + 1), odd_value(random))


def _wrap(random: Random, holder: Any, key: Any, slots: Any) -> None:
    value = holder[key]
    for _ in range(random.choice((1, 1, 1, 2, 50, 1500))):
        value = random.choice(([value], {"a": value}))
    holder[key] = value


def _repeat(random: Random, holder: Any, key: Any, slots: Any) -> None:
    value = holder[key]
    if isinstance(value, list) and len(value) < 10_000:
        holder[key] = value * random.choice((2, 2, 100))


def _swap(random: Random, holder: Any, key: Any, slots: Any) -> None:
    """Puts a copy of another value of the text here."""
    other, place = random.choice(slots)
    try:
        holder[key] = json.loads(json.dumps(other[place]))
    except (IndexError, KeyError, ValueError, RecursionError):  # it is no longer there, or cannot be copied
        holder[key] = None


_EDITS = (_put_odd, _put_odd, _put_near, _put_near, _remove, _rename, _add, _wrap, _repeat, _swap)
