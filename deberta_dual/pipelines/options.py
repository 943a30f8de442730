"""The options that pipelines share; the dataclasses of the tasks extend them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deberta_core.errors import InputError, WrongType, one_of
from deberta_core.tokenization.lengths import SIDES, check_choice
from deberta_dual.pipelines.examples import check_count

STRATEGIES = ("longest_first", "only_first", "only_second", "do_not_truncate")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """What can be chosen in every pipeline.

    Args:
        batch_size: rows in a batch, at most.
        max_length: of a row, in tokens; None: the tokenizer's `model_max_length`; where that is not set, or absolute
            positions are added, no more than the configuration's `max_position_embeddings`.
    """

    batch_size: int = 32
    max_length: int | None = None

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        check_count("max_length", self.max_length, least=3, none="for the model's own limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions(PipelineOptions):
    """What can be chosen where a text that is too long is cut.

    Args:
        truncation: True or a name of `STRATEGIES`: cut; False or "do_not_truncate": not cut; None: cut, and a warning
            says so.
        truncation_side: "right" cuts the end of a text, "left" its beginning; None: as the tokenizer is set.
    """

    truncation: bool | str | None = None
    truncation_side: str | None = None

    def __post_init__(self) -> None:
        PipelineOptions.__post_init__(self)
        if self.truncation is not None and not isinstance(self.truncation, bool) and self.truncation not in STRATEGIES:
            raise InputError(one_of("truncation", self.truncation, ("True", "False", *STRATEGIES)))
        if self.truncation_side is not None:
            check_choice("truncation_side", self.truncation_side, SIDES)


def unfolded(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Options, with those that `name` holds as a dict among them.

    Raises:
        InputError: one is given twice, or `name` is no dict.
    """
    rest = dict(options)
    inner = rest.pop(name, None)
    if inner is None:
        return rest
    if not isinstance(inner, Mapping):
        raise WrongType(f"{name}={inner!r:.60} is no dict. Give a dict of options of the tokenizer.")
    twice = [key for key in inner if key in rest]
    if twice:
        raise InputError(f"{twice[0]} is given twice, by itself and in {name}. Give it once.")
    return rest | {str(key): value for key, value in inner.items()}
