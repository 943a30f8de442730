"""The loss along a run, in few points: for plots and for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

POINTS = 200  # of a run, at most


class Point(NamedTuple):
    """A point of a curve.

    Attributes:
        step: the last one it stands for, from 1.
        loss: the mean over the examples since the point before.
        rate: the learning rate of the step.
    """

    step: int
    loss: float
    rate: float


class LossCurve:
    """The points of a run so far.

    Args:
        steps: of the whole run.
        state: what `state` gave, to go on from; None: nothing.

    Attributes:
        points: the points.
    """

    def __init__(self, steps: int, state: Mapping[str, Any] | None = None) -> None:
        self._every = -(-steps // POINTS)
        state = state or {}
        self.points = [Point(*numbers) for numbers in state.get("points", [])]
        self._loss, self._examples = state.get("open", (0.0, 0))

    def add(self, step: int, loss: float, examples: int, rate: float) -> Point | None:
        """Counts a step, from 0; the point that it completes, if it does."""
        self._loss, self._examples = self._loss + loss * examples, self._examples + examples
        if (step + 1) % self._every:
            return None
        self.points.append(Point(step + 1, self._loss / max(self._examples, 1), rate))
        self._loss, self._examples = 0.0, 0
        return self.points[-1]

    def state(self) -> dict[str, Any]:
        """All there is, as JSON."""
        return {"points": self.points, "open": (self._loss, self._examples)}
