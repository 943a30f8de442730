"""Which of several calls is the fastest, in about a second of calls."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)
Call = Callable[[], object]
Clock = Callable[[], float]
Rest = Callable[[float], object]

# Seconds before a turn: threads of the call before may still turn while they wait for work, those of ONNX Runtime for
# 60 ms, and would slow down whatever comes next.
_REST = 0.08
_TURN = 0.01  # seconds of calls that are timed together: a clock and a cold cache then matter little
_LONG = 0.5  # seconds of one call, which is then a turn of its own
_FEWEST, _MOST = 7, 40  # rounds
# After so many rounds: times as long as the fastest, of what is not measured again and whose model is let go. One turn
# may be somebody else's fault.
_HOPELESS = {0: 4.0, 2: 2.0, 4: 1.5, _FEWEST: 1.2}


@dataclass(slots=True)
class Race(Generic[Name]):
    """What was measured.

    Attributes:
        seconds: of one call, by name; the least tenth of the turns, since what else runs only adds.
        failed: what could not be run, and why.
    """

    seconds: dict[Name, float] = field(default_factory=dict)
    failed: dict[Name, str] = field(default_factory=dict)


def race(
    loaders: Mapping[Name, Callable[[], Call]],
    failures: tuple[type[Exception], ...],
    seconds: float = 1.0,
    clock: Clock = time.perf_counter,
    rest: Rest = time.sleep,
) -> Race[Name]:
    """Times calls in turn, so that what slows the machine down for a while slows down all of them.

    One after the other is loaded and tried; those that are very far behind are let go at once. Before the turns
    of a round nothing is done for a while, until the threads of the one before are at rest; and before short calls
    comes one that does not count, because their own threads have to wake up.

    Args:
        loaders: by name, what loads a model and gives a call of it.
        failures: the exceptions that say that something cannot be run here.
        seconds: how long to measure, rests aside, those that are left after `_FEWEST` rounds of all.
        clock: tells the time.
        rest: waits for that many seconds.
    """
    found: Race[Name] = Race()
    calls: dict[Name, Call] = {}
    turns: dict[Name, list[float]] = {}
    for name, load in loaders.items():
        try:
            calls[name] = load()
            calls[name]()
        except failures as problem:
            calls.pop(name, None)
            found.failed[name] = (str(problem).splitlines() or [type(problem).__name__])[0]
            continue
        turns[name] = [_turn(calls[name], clock)]
        _let_go(calls, turns, _HOPELESS[0])
    spent = 0.0  # rests are not counted
    for number in range(_MOST):
        if number > _FEWEST and spent > seconds:
            break
        names = list(calls)
        shift = number % len(names) if names else 0
        for name in (*names[shift:], *names[:shift]):
            rest(_REST)
            start = clock()
            turns[name].append(_turn(calls[name], clock))
            spent += clock() - start if number >= _FEWEST else 0.0
        if number + 1 in _HOPELESS:
            _let_go(calls, turns, _HOPELESS[number + 1])
    found.seconds = {name: _typical(values) for name, values in turns.items()}
    return found


def _turn(call: Call, clock: Clock) -> float:
    before = clock()
    call()
    first = clock() - before
    if first > _LONG:
        return first
    times = max(1, round(_TURN / max(first, 1e-9)))
    before = clock()
    for _ in range(min(times, 1000)):
        call()
    return (clock() - before) / min(times, 1000)


def _typical(values: list[float]) -> float:
    return values[0] if len(values) == 1 else statistics.quantiles(values, n=10, method="inclusive")[0]


def _let_go(calls: dict[Name, Call], turns: Mapping[Name, list[float]], hopeless: float) -> None:
    """Drops the calls that are far behind; what was measured of them stays."""
    least = {name: min(turns[name]) for name in calls}
    best = min(least.values(), default=0.0)
    for name, value in least.items():
        if value > hopeless * best:
            del calls[name]
