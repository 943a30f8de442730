"""The processes that train one model together: what starts them, and which one this is."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from deberta_core.errors import InputError

TORCHRUN, TF_CONFIG = "torchrun", "TF_CONFIG"
# Of TF_CONFIG: who trains, in the order of their numbers.
_TRAINERS = ("chief", "worker")


@dataclass(frozen=True, slots=True)
class Process:
    """This process among those that train one model.

    Args:
        number: from 0; the first one writes.
        count: of all.
        launcher: what said so, `TORCHRUN` or `TF_CONFIG`; None for a process alone.
    """

    number: int = 0
    count: int = 1
    launcher: str | None = None


def own_process() -> Process:
    """This process, as the variables of the environment say that `torchrun` or a Keras user sets.

    Raises:
        InputError: TF_CONFIG is not as TensorFlow reads it.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1:
        return Process(int(os.environ.get("RANK", "0")), count, TORCHRUN)
    given = os.environ.get(TF_CONFIG)
    if not given:
        return Process()
    try:
        found = json.loads(given)
        members = [(kind, index) for kind in _TRAINERS for index in range(len(found.get("cluster", {}).get(kind, ())))]
        own = (found["task"]["type"], int(found["task"]["index"])) if members else None
        return Process(members.index(own), len(members), TF_CONFIG) if own and len(members) > 1 else Process()
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise InputError(
            f'TF_CONFIG={given!r:.200} cannot be read. Give {{"cluster": {{"worker": ["host:port", ...]}}, "task": '
            f'{{"type": "worker", "index": 0}}}}, the index of each process, or leave it out.'
        ) from problem


def is_main() -> bool:
    """Whether this process is the one that writes: the only one, or the first."""
    return own_process().number == 0
