"""Changing the sizes of a model: which places of which axes of its parameters stay, found by the parameter table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from deberta_core.config import BaseConfig
from deberta_core.errors import InputError, name_list
from deberta_core.parameters import DIMENSIONS, Array, Parameter, expand

Places = npt.NDArray[np.int64]

# How many blocks of D places a head has in each dimension that heads are laid out along.
_BLOCKS = {"all_heads": 1, "fused_heads": 3}


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one axis of one parameter: the kept places come first, fresh ones after them.

    Attributes:
        parameter: the parameter before the change.
        axis: the axis, in PyTorch's layout.
        kept: the places that stay, in their new order.
        fresh: how many places are new.
    """

    parameter: Parameter
    axis: int
    kept: Places
    fresh: int

    def apply(self, array: Array, fresh: Array) -> Array:
        """The changed parameter.

        Args:
            array: the parameter before the change, in PyTorch's layout.
            fresh: a fresh parameter of the changed shape; its last places are taken for the new ones.
        """
        tail = np.arange(len(self.kept), len(self.kept) + self.fresh)
        parts = np.take(array, self.kept, self.axis), np.take(fresh, tail, self.axis)
        return np.concatenate(parts, self.axis, dtype=array.dtype)


@dataclass(frozen=True, slots=True)
class Surgery:
    """A change of a model's sizes.

    Attributes:
        before: the configuration of the model as it is.
        after: the configuration of the changed model.
        kept: for each dimension that changes, a name of `parameters.DIMENSIONS`, the places that stay in a layer.
    """

    before: BaseConfig
    after: BaseConfig
    kept: Mapping[str, Callable[[Any], Places]]

    def changes(self, task: str | None) -> Iterator[Change]:
        """The change of every axis that changes, in a model of this task.

        Raises:
            InputError: no such task.
        """
        for parameter in expand(self.before, task).values():
            for axis, dimension in enumerate(parameter.dimensions):
                if dimension in self.kept:
                    kept = self.kept[dimension](parameter.layer)
                    size = DIMENSIONS[dimension](self.after, parameter.layer)
                    if size != parameter.shape[axis] or not np.array_equal(kept, np.arange(size)):
                        yield Change(parameter, axis, kept, size - len(kept))


def prune_heads(config: BaseConfig, heads: Mapping[int, Iterable[int]]) -> Surgery:
    """Takes heads out of layers.

    Args:
        config: the configuration of the model.
        heads: layer numbers to head numbers, both those of the whole model; heads that are gone already stay so.

    Raises:
        ConfigError: no such layer or head, a layer would have no head left, or the heads are mixed (talking heads).
    """
    asked = config.replace(pruned_heads=heads).pruned_heads
    layers = asked.keys() | config.pruned_heads.keys()
    after = config.replace(pruned_heads={i: {*config.pruned_heads.get(i, ()), *asked.get(i, ())} for i in layers})

    def places(layer: int, blocks: int) -> Places:
        kept = np.flatnonzero(np.isin(config.kept_heads(layer), after.kept_heads(layer)))
        width = blocks * config.head_size
        return (kept[:, None] * width + np.arange(width)).ravel()

    def kept_along(blocks: int) -> Callable[[Any], Places]:
        return lambda layer: places(layer, blocks)

    return Surgery(config, after, {dimension: kept_along(blocks) for dimension, blocks in _BLOCKS.items()})


def resize_vocabulary(config: BaseConfig, size: int | None, multiple: int | None = None) -> Surgery:
    """Adds fresh tokens at the end of the vocabulary, or takes the last ones away.

    Args:
        config: the configuration of the model.
        size: the new number of tokens; None is the present one.
        multiple: rounds the number up to a multiple of it; None does not.

    Raises:
        ConfigError: the number is no positive integer, or the padding token would be gone.
        InputError: `multiple` is no positive integer.
    """
    after = config.replace(vocab_size=config.vocab_size if size is None else size)
    if multiple is not None:
        if not isinstance(multiple, int) or isinstance(multiple, bool) or multiple < 1:
            raise InputError(f"pad_to_multiple_of={multiple!r} is not a positive int. Give a number of tokens.")
        after = after.replace(vocab_size=-(-after.vocab_size // multiple) * multiple)
    kept = np.arange(min(config.vocab_size, after.vocab_size))
    return Surgery(config, after, {"vocabulary": lambda layer: kept})


def trim_vocabulary(config: BaseConfig, keep_ids: Iterable[int]) -> Surgery:
    """Keeps some tokens of the vocabulary.

    Args:
        config: the configuration of the model.
        keep_ids: the ids to keep, each once; a token's new id is its place here.

    Raises:
        InputError: an id is out of range or there twice, or the padding token is missing.
    """
    kept = np.asarray(keep_ids if isinstance(keep_ids, np.ndarray) else list(keep_ids))
    if kept.ndim != 1 or kept.dtype.kind not in "iu":
        raise InputError(f"keep_ids is {keep_ids!r:.60}. Give token ids, a list or array of int.")
    values, counts = np.unique(kept, return_counts=True)
    outside = values[(values < 0) | (values >= config.vocab_size)]
    if len(outside):
        raise InputError(f"keep_ids holds {name_list(map(str, outside))}: ids are 0 to {config.vocab_size - 1}.")
    if counts.max(initial=1) > 1:
        raise InputError(f"keep_ids holds {name_list(map(str, values[counts > 1]))} more than once. Give each id once.")
    new_ids = {int(old): new for new, old in enumerate(kept)}
    if config.pad_token_id not in new_ids:
        raise InputError(f"keep_ids lacks {config.pad_token_id}, the pad_token_id. Keep the special tokens.")
    extra = {name: _renumbered(name, value, new_ids) for name, value in config.extra.items()}
    after = replace(config, vocab_size=len(kept), pad_token_id=new_ids[config.pad_token_id], extra=extra)
    return Surgery(config, after, {"vocabulary": lambda layer: kept.astype(np.int64)})


def near_mean(rows: Array, count: int, draw: Callable[[int], Array]) -> Array:
    """New rows of a table, close to the mean of the old ones: normal, with 1e-9 of their covariance.

    Args:
        rows: `[V, ...]`.
        count: how many new ones.
        draw: gives that many numbers of the standard normal distribution.

    Source:
        transformers 4.57 `_init_added_embeddings_weights_with_mean`; differs: the covariance is not made, since a sum
        of the old rows' distances from their mean, each times a normal number, is of that distribution.
    """
    flat = rows.reshape(len(rows), -1).astype(np.float32)
    mean = flat.mean(axis=0)
    flat -= mean
    scale = (1e-9 / len(flat)) ** 0.5
    fresh = [mean + scale * (draw(len(flat)) @ flat) for _ in range(count)]
    return np.asarray(fresh, rows.dtype).reshape(count, *rows.shape[1:])


def _renumbered(name: str, value: Any, new_ids: Mapping[int, int]) -> Any:
    """Other ids a config.json may hold (`bos_token_id`, ...); None where the token is gone."""
    return new_ids.get(value) if name.endswith("_token_id") and isinstance(value, int) else value
