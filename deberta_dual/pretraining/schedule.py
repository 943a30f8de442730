"""The steps of a pretraining: batches of a corpus, cut into the pieces that go through a model at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from deberta_core.inputs import IGNORED_LABEL
from deberta_dual.backends.protocol import Arrays
from deberta_dual.pretraining.batches import Batch, Batches
from deberta_dual.pretraining.corpus import Corpus
from deberta_dual.pretraining.options import BatchOptions


class MaskedPiece(NamedTuple):
    """What goes through the models at once: a part of a step's rows.

    Attributes:
        batch: the inputs, with masks and labels.
        share: of the step's masked tokens.
        token_share: of its real tokens.
        tokens: real ones.
    """

    batch: Arrays
    share: float
    token_share: float
    tokens: int


class CorpusSchedule:
    """The steps of a run; to be closed, as by `with`.

    Args:
        corpus: is read as often as the steps need.
        tokenizer: of the models.
        options: what the batches depend on.
        steps: of the whole run.
        accumulation: pieces in which a process takes its part of a step.
        first_step: the one to begin with.
        state: what `state` gave for it; None for the first step of all.
        workers: processes that make rows ahead.
        process: the number of this process of the run.
        processes: of the run.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Any,
        options: BatchOptions,
        *,
        steps: int,
        accumulation: int,
        first_step: int = 0,
        state: Mapping[str, Any] | None = None,
        workers: int = 1,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.steps, self.steps_per_epoch = steps, steps
        self._accumulation, self._next, self._rows = accumulation, first_step, options.batch_size
        own = {"workers": workers, "process": process, "processes": processes}
        self._batches = Batches(corpus, tokenizer, options, state=state, **own)
        self._states: dict[int, Mapping[str, Any]] = {}

    def __enter__(self) -> CorpusSchedule:
        return self

    def __exit__(self, *error: Any) -> None:
        self._batches.close()

    def pieces(self, step: int, process: int = 0, processes: int = 1) -> Iterator[MaskedPiece]:
        """What this process learns from in a step; steps are asked for one after the other.

        Raises:
            InputError: the corpus cannot be read.
        """
        assert step == self._next, "steps are asked for in order"
        batch = next(self._batches)
        self._next += 1
        self._states = {number: state for number, state in self._states.items() if number > step - 2}
        self._states[step] = batch.state
        yield from _cut(batch, self._accumulation)

    def state(self, step: int) -> Mapping[str, Any]:
        """What goes on behind a step that was asked for last, or before that one; JSON."""
        return self._states[step]

    def examples(self, step: int) -> int:
        """How many rows a step has."""
        return self._rows


def _cut(batch: Batch, count: int) -> Iterator[MaskedPiece]:
    rows = len(batch.original)
    for part in np.array_split(np.arange(rows), min(count, rows)):
        own = {name: array[part] for name, array in batch.inputs.items()}
        tokens = int((batch.documents[part] > 0).sum())
        labels = int((own["labels"] != IGNORED_LABEL).sum())
        own["attention_mask"] = own["attention_mask"].astype(np.int64)
        yield MaskedPiece(own, labels / max(batch.label_count, 1), tokens / max(batch.token_count, 1), tokens)
