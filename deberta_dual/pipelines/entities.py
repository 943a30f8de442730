"""From scores of tokens to labelled tokens, words and entities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

import numpy as np

from deberta_dual.pipelines.scores import Floats
from deberta_dual.pipelines.spans import Span


class AggregationStrategy(StrEnum):
    """How tokens are put together; see `TokenClassificationOptions`."""

    NONE = "none"
    SIMPLE = "simple"
    FIRST = "first"
    AVERAGE = "average"
    MAX = "max"


STRATEGIES = tuple(str(one) for one in AggregationStrategy)
# How the scores of a word are made of those of its tokens [tokens, N]; other strategies leave the tokens as they are.
WORD_STRATEGIES: dict[str, Callable[[Floats], Floats]] = {
    "first": lambda scores: scores[0],
    "average": lambda scores: scores.mean(axis=0),
    "max": lambda scores: scores[scores.max(axis=1).argmax()],
}


@dataclass(slots=True)
class Unit:
    """A token, a word or several: what it is said to be.

    Args:
        label: the class, such as "B-LOC".
        score: of the class.
        tokens: its first token and the one after its last.
    """

    label: str
    score: float
    tokens: Span

    @property
    def entity(self) -> str:
        """The class without its prefix."""
        return self.label[2:] if self.label[:2] in ("B-", "I-") else self.label


def make_units(scores: Floats, words: Sequence[int | None], strategy: str, labels: Mapping[int, str]) -> Iterator[Unit]:
    """Labels tokens and puts them together.

    Args:
        scores: `[tokens, N]`.
        words: the number of each token's word, None for one that is in no word; not read where words have no say.
        strategy: a name of `STRATEGIES`.
        labels: the names of the classes.
    """
    units = _labelled(scores, words, strategy, labels)
    return iter(units) if strategy == "none" else join_units(units)


def join_units(units: Sequence[Unit]) -> Iterator[Unit]:
    """Puts neighbours of one entity together; one that begins with B- starts anew. The score is the mean."""
    run: list[Unit] = []
    for unit in units:
        if run and (unit.entity != run[-1].entity or unit.label.startswith("B-")):
            yield _joined(run)
            run = []
        run.append(unit)
    if run:
        yield _joined(run)


def _labelled(scores: Floats, words: Sequence[int | None], strategy: str, labels: Mapping[int, str]) -> list[Unit]:
    if strategy in WORD_STRATEGIES:
        pairs = groupby(range(len(scores)), key=lambda token: words[token])
        groups = [list(tokens) for word, tokens in pairs if word is not None]
        return [_unit(WORD_STRATEGIES[strategy](scores[own]), (own[0], own[-1] + 1), labels) for own in groups]
    return [_unit(row, (token, token + 1), labels) for token, row in enumerate(scores)]


def _unit(scores: Floats, tokens: Span, labels: Mapping[int, str]) -> Unit:
    label = int(scores.argmax())
    return Unit(labels[label], float(scores[label]), tokens)


def _joined(run: Sequence[Unit]) -> Unit:
    score = float(np.mean([unit.score for unit in run]))
    return Unit(run[0].entity, score, (run[0].tokens[0], run[-1].tokens[1]))
