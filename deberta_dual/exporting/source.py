"""What is exported, and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from deberta_core.config import BaseConfig

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Arrays], dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Source:
    """A checkpoint to export.

    Attributes:
        folder: the checkpoint folder.
        config: its configuration.
        params: its parameters by name, in PyTorch's layout.
        task: of the model; None is the backbone.
    """

    folder: Path
    config: BaseConfig
    params: Arrays
    task: str | None
