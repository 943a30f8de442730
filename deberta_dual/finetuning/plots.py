"""Pictures of a run, where matplotlib is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from deberta_dual.finetuning.curve import Point

NO_PLOT = "{} is not drawn: it needs matplotlib. Use pip install 'deberta-dual[plots]'."
_SIZE = (7.0, 4.0)  # inches


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def training_plot(points: Sequence[Point], rows: Sequence[Mapping[str, Any]], metric: str) -> bytes:
    """The loss by step, and the score of the evaluation data where there is one, as PNG.

    Args:
        points: of the loss.
        rows: of scores, some with "eval_..." of the metric.
        metric: the one by which the best model is chosen.
    """
    figure, axes = _axes("step", "training loss")
    axes.plot([point.step for point in points], [point.loss for point in points], label="training loss")
    name = f"eval_{metric}"
    judged = [(row["step"], row[name]) for row in rows if name in row]
    if judged:
        other = axes.twinx()
        other.plot(*zip(*judged, strict=True), "o-", color="tab:orange", label=name)
        other.set_ylabel(name)
    figure.legend(loc="upper center", ncols=2, frameon=False)
    return _png(figure)


def rate_plot(rows: Sequence[Mapping[str, float]], suggestion: float) -> bytes:
    """The losses of a range test by learning rate, as PNG."""
    figure, axes = _axes("learning rate", "training loss")
    for name in ("loss", "smoothed_loss"):
        axes.plot([row["learning_rate"] for row in rows], [row[name] for row in rows], label=name.replace("_", " "))
    axes.axvline(suggestion, color="tab:green", label=f"suggestion: {suggestion:.2g}")
    axes.set_xscale("log")
    axes.legend(frameon=False)
    return _png(figure)


def _axes(x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Any) -> bytes:
    file = BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return file.getvalue()
