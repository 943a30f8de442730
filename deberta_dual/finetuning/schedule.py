"""Which examples each step learns from: a function of the seed and the step alone, so that runs can be resumed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deberta_dual.backends.protocol import Arrays

Feature = Mapping[str, Any]

# Batches' worth of shuffled examples that are sorted by length, so that little is padded and order stays random.
SORTED_TOGETHER = 32


class Piece(NamedTuple):
    """What goes through the model at once: a part of a step's examples.

    Attributes:
        batch: the arrays.
        share: of the step's labels that count, by their weights; the shares of all pieces of a step add up to 1.
        tokens: real ones, not padding.
        row_share: of the step's labels that count, however much they weigh.
    """

    batch: Arrays
    share: float
    tokens: int
    row_share: float


def as_it_is(feature: Feature, seeds: Sequence[int]) -> Feature:
    """Nothing of an example is left to chance."""
    return feature


def one_row(feature: Feature) -> int:
    """An example is a row by itself."""
    return 1


class Schedule:
    """The steps of a run.

    Args:
        features: tokenized examples.
        collate: makes a batch of some of them.
        count: how many labels of an example count in the loss.
        batch_size: examples of a step, over all processes.
        accumulation: pieces in which a process takes its part of a step.
        epochs: how often all examples are seen.
        seed: of their order, and of what is drawn.
        draw: what a step learns from an example, of the example and three seeds: of the run, the epoch, the example.
        rows: how many rows of a batch an example is.
        weigh: what the labels of an example that count weigh together; None: one each.

    Attributes:
        steps_per_epoch: the last may have fewer examples.
        steps: of the whole run.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        collate: Callable[[Sequence[Feature]], Arrays],
        count: Callable[[Feature], int],
        *,
        batch_size: int,
        accumulation: int,
        epochs: int,
        seed: int,
        draw: Callable[[Feature, Sequence[int]], Feature] = as_it_is,
        rows: Callable[[Feature], int] = one_row,
        weigh: Callable[[Feature], float] | None = None,
    ) -> None:
        self._features, self._collate, self._count, self._draw = features, collate, count, draw
        self._rows, self._weigh = rows, weigh or count
        self._batch_size, self._accumulation, self._seed = batch_size, accumulation, seed
        self._lengths = np.array([token_count(feature) for feature in features])
        self.steps_per_epoch = -(-len(features) // batch_size)
        self.steps = epochs * self.steps_per_epoch
        self._order = lru_cache(maxsize=2)(self._shuffle)

    def parts(self, step: int, process: int = 0, processes: int = 1) -> list[NDArray[Any]]:
        """The numbers of the examples in each of the `accumulation` pieces of a process; some may be empty."""
        return np.array_split(self._chosen(step)[process::processes], self._accumulation)

    def pieces(self, step: int, process: int = 0, processes: int = 1) -> Iterator[Piece]:
        """What a process learns from in a step, in `accumulation` pieces.

        All processes make equally many. A piece without examples has one of others', of share 0.
        """
        chosen = self._chosen(step)
        seeds = self._seed, step // self.steps_per_epoch
        drawn = {number: self._draw(self._features[number], (*seeds, number)) for number in chosen.tolist()}
        ways = self._weigh, self._count
        totals = [sum(map(way, drawn.values())) or 1 for way in ways]
        for part in self.parts(step, process, processes):
            features = [drawn[number] for number in (part if len(part) else chosen[:1]).tolist()]
            own = [sum(map(way, features)) if len(part) else 0.0 for way in ways]
            share, row_share = (value / total for value, total in zip(own, totals, strict=True))
            yield Piece(self._collate(features), share, self.tokens(part), row_share)

    def examples(self, step: int) -> int:
        """How many examples a step has."""
        return len(self._chosen(step))

    def tokens(self, numbers: NDArray[Any]) -> int:
        """The real tokens of examples."""
        return int(self._lengths[numbers].sum()) if len(numbers) else 0

    def rows(self, step: int) -> list[int]:
        """The rows of the batch of each piece, where one process takes them all."""
        numbers = (part if len(part) else self._chosen(step)[:1] for part in self.parts(step))
        return [sum(self._rows(self._features[number]) for number in part.tolist()) for part in numbers]

    def _chosen(self, step: int) -> NDArray[Any]:
        return self._order(step // self.steps_per_epoch)[step % self.steps_per_epoch]

    def _shuffle(self, epoch: int) -> list[NDArray[Any]]:
        random = np.random.default_rng((self._seed, epoch))
        order = random.permutation(len(self._features))
        together = self._batch_size * SORTED_TOGETHER
        windows = [order[start : start + together] for start in range(0, len(order), together)]
        by_length = np.concatenate([own[np.argsort(self._lengths[own], kind="stable")] for own in windows])
        # Cut where windows begin, and the smaller batch at the very end of the epoch.
        batches = [by_length[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        full = [batch for batch in batches if len(batch) == self._batch_size]
        rest = [batch for batch in batches if len(batch) < self._batch_size]
        return [full[place] for place in random.permutation(len(full))] + rest


def token_count(feature: Feature) -> int:
    """The tokens of an example, over all choices."""
    ids = feature["input_ids"]
    return sum(map(len, ids)) if ids and isinstance(ids[0], list) else len(ids)
