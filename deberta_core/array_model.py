"""A model as a function from named arrays to named arrays, whatever framework computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from deberta_core.config import BaseConfig

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ArrayModel:
    """A model in evaluation mode, of arrays.

    Attributes:
        config: the configuration.
        task: a name of `deberta_core.tasks.TASKS`; None for the backbone.
        run: takes a batch, `input_ids`, `attention_mask` and `token_type_ids` `[B, L]` (`[B, N, L]` where the task
            folds choices) of int64, and the places `[M, 2]`, row and token, at which alone the logits `[M, V]` of
            masked LM are wanted; None for all other tasks. Returns the model's outputs by name, in float32.
        compiles: whether a batch of a new shape costs a compilation, so that few shapes should be used.
    """

    config: BaseConfig
    task: str | None
    run: Callable[[Arrays, NDArray[Any] | None], Arrays]
    compiles: bool = False
