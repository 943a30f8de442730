"""What a conversion does, as data: which stored array goes where, and how its layout changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deberta_core.checkpoint import Format
from deberta_core.config import BaseConfig
from deberta_core.parameters import expand

AS_IS = "as it is"
REVERSED = "axes reversed"


@dataclass(frozen=True, slots=True)
class Move:
    """One array.

    Attributes:
        source: its name in the source file.
        layout: `AS_IS` or `REVERSED`.
        target: its name in the target file.
        shape: in the target file.
    """

    source: str
    layout: str
    target: str
    shape: tuple[int, ...]


def plan(
    config: BaseConfig, task: str | None, stored: Mapping[str, str], source: Format, target: Format
) -> tuple[Move, ...]:
    """The moves of a conversion, in the order of the parameter table.

    Args:
        config: the model's configuration.
        task: its task; None for the backbone.
        stored: the model's parameter names to the names in the source file.
        source: the source's format.
        target: the target's format.

    Raises:
        KeyError: a parameter has no name in the source.
    """
    names = target.stored_names(config, task)
    turned = source.keras_layout != target.keras_layout
    return tuple(
        Move(
            source=stored[name],
            layout=REVERSED if turned and parameter.kind.reversed_axes else AS_IS,
            target=names[name],
            shape=parameter.keras_shape if target.keras_layout else parameter.shape,
        )
        for name, parameter in expand(config, task).items()
    )


def table(moves: tuple[Move, ...]) -> str:
    """The moves as aligned lines."""
    width = max((len(move.source) for move in moves), default=0)
    return "\n".join(f"{m.source:<{width}}  {m.layout:<{len(REVERSED)}}  {m.target} {m.shape}" for m in moves)
