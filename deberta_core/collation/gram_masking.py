"""How pretraining masks: one n-gram of units in each window; a unit is a token or a word. By the book, row by row."""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from deberta_core.collation.masking import check_shares
from deberta_core.collation.words import Word
from deberta_core.errors import InputError, one_of
from deberta_core.inputs import IGNORED_LABEL

UNITS = ("token", "word")
ORDERS = ("random", "left")


class Draws(Protocol):
    """A source of chance, such as a `random.Random`."""

    def random(self) -> float:
        """A number in [0, 1)."""

    def randint(self, a: int, b: int, /) -> int:
        """An int from a to b, both included."""

    def choice(self, seq: Sequence[int], /) -> int:
        """One of them."""

    def shuffle(self, x: MutableSequence[Any], /) -> None:
        """Puts them in random order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingRule:
    """Which tokens of a row are masked, and what takes their place.

    Args:
        probability: the share of tokens to mask, in (0, 1].
        unit: what is masked as a whole, a name of `UNITS`.
        max_gram: the most units side by side that are chosen together; n of them with a probability proportional to
            1/n.
        order: of the chosen n-grams until the budget is spent: "random"; or "left", from left to right as Microsoft's
            code, which leaves the end of a row unmasked.
        mask_replace_prob: share of [MASK] among the masked tokens.
        random_replace_prob: share of random tokens among them; the rest stays.

    Raises:
        InputError: a value is not allowed.

    Source:
        NUMERICS, section 8; `NGramMaskGenerator` of microsoft/DeBERTa, `apps/tasks/mlm_task.py`.
    """

    probability: float = 0.15
    unit: str = "token"
    max_gram: int = 1
    order: str = "random"
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise InputError(f"probability={self.probability!r} is not in (0, 1]. The usual value is 0.15.")
        if self.unit not in UNITS:
            raise InputError(one_of("unit", self.unit, UNITS))
        if self.order not in ORDERS:
            raise InputError(one_of("order", self.order, ORDERS))
        if isinstance(self.max_gram, bool) or not isinstance(self.max_gram, int) or self.max_gram < 1:
            raise InputError(f"max_gram={self.max_gram!r} is not a positive int. The paper's value is 3.")
        check_shares(self.mask_replace_prob, self.random_replace_prob)

    @property
    def window(self) -> int:
        """Units of a window, for each unit of its n-gram."""
        return int(1 / self.probability)

    @property
    def gram_steps(self) -> list[float]:
        """The probability of n-grams of at most 1, 2, ... units."""
        weights = [1 / n for n in range(1, self.max_gram + 1)]
        return list(accumulate(weight / sum(weights) for weight in weights))


# Objective -> its masking in DeBERTa's papers.
MASKING_RULES = {
    "mlm": MaskingRule(unit="word", max_gram=3),
    "rtd": MaskingRule(mask_replace_prob=1.0, random_replace_prob=0.0),
}


def choose_grams(units: int, rule: MaskingRule, random: Draws) -> list[range]:
    """Chooses n-grams of so many units, one in each window, in the order of the text.

    A window has `rule.window` units for each unit of its n-gram; the n-gram may run over its end.
    """
    grams: list[range] = []
    start = 0
    while start < units:
        dice = random.random()
        size = 1 + next((n for n, step in enumerate(rule.gram_steps) if dice < step), rule.max_gram - 1)
        window = min(size * rule.window, units - start)
        first = start + random.randint(0, window - 1)
        grams.append(range(first, min(first + size, units)))
        start = max(start + window, first + size)
    return grams


def mask_row(
    ids: Sequence[int],
    units: Sequence[Word],
    rule: MaskingRule,
    *,
    mask_id: int,
    replacements: Sequence[int],
    random: Draws,
) -> tuple[list[int], list[int]]:
    """Masks a row by the book; `Masker` does the same for many rows at once, with draws of its own.

    Draws, in this order: for each window `random()` for the length of the n-gram and `randint` for its start; for the
    order "random", `shuffle` of the n-grams; then for each masked token, from left to right, `random()` and, where a
    random token is due, `choice`.

    Args:
        ids: of the row, [CLS] and [SEP] included, no padding.
        units: the places of each unit's tokens; special tokens are in none.
        rule: what to do.
        mask_id: of [MASK].
        replacements: what random tokens are drawn from.
        random: the source of chance.

    Returns:
        The ids with the masks, and the labels: the original id at masked tokens, -100 elsewhere.
    """
    grams = choose_grams(len(units), rule, random)
    if rule.order == "random":
        random.shuffle(grams)
    # Microsoft also bounds this by its most predictions a row, which is never less.
    budget = max(1, round(len(ids) * rule.probability))
    places: list[int] = []
    for unit in (units[number] for gram in grams for number in gram):
        if len(places) < budget:
            places += unit
    masked, labels = list(ids), [IGNORED_LABEL] * len(ids)
    for place in sorted(places):
        labels[place] = ids[place]
        dice = random.random()
        if dice < rule.mask_replace_prob:
            masked[place] = mask_id
        elif dice >= 1 - rule.random_replace_prob:
            masked[place] = random.choice(replacements)
    return masked, labels
