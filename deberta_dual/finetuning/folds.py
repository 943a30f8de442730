"""Dividing examples: evaluation data that are held out, and the folds of a cross-validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deberta_core.errors import InputError

Numbers = NDArray[np.int64]


def held_out(groups: Sequence[Hashable | None], share: float, seed: int) -> NDArray[np.bool_]:
    """Which examples are held out.

    Args:
        groups: of each example what others share that must be on its side; None: it stands by itself.
        share: of the groups.
        seed: of the choice.

    Raises:
        InputError: one side would be empty.
    """
    owners = _owners(groups)
    total = int(owners.max()) + 1
    count = round(share * total)
    if not 0 < count < total:
        raise InputError(f"eval_share={share} of {total} examples leaves nothing for one side. Choose another.")
    return np.isin(owners, np.random.default_rng(seed).permutation(total)[:count])


def fold_numbers(
    groups: Sequence[Hashable | None], strata: Sequence[Hashable | None], folds: int, seed: int
) -> Numbers:
    """The number of the fold in which each example is held out.

    Groups are dealt out one by one, each to the fold that has the smallest share of its strata so far, and of those to
    the one with the fewest examples. Without groups, the folds' numbers of examples of each stratum, and of all,
    differ by one at most.

    Args:
        groups: as in `held_out`.
        strata: of each example what all folds should have equally much of, such as its class; None: nothing.
        folds: how many.
        seed: of the choice.

    Raises:
        InputError: there are fewer groups than folds.
    """
    owners = _owners(groups)
    total = int(owners.max()) + 1
    if total < folds:
        raise InputError(f"folds={folds} is more than the {total} examples, or groups of them. Lower it.")
    kinds = {kind: number for number, kind in enumerate(dict.fromkeys(strata))}
    counts: list[Counter[int]] = [Counter() for _ in range(total)]
    for owner, kind in zip(owners.tolist(), strata, strict=True):
        counts[owner][kinds[kind]] += 1
    sizes = np.array([own.total() for own in counts])
    usual = np.array([own.most_common(1)[0][0] for own in counts])
    order = np.random.default_rng(seed).permutation(total)
    order = order[np.lexsort((usual[order], -sizes[order]))]  # stable: random among equals
    of_kind = np.array([*Counter(strata).values()])
    there, filled = np.zeros((folds, len(kinds))), np.zeros(folds)
    fold_of = np.zeros(total, dtype=np.int64)
    for group in order.tolist():
        own = list(counts[group])
        amounts = np.array([counts[group][kind] for kind in own])
        fold = int(np.lexsort((filled, there[:, own] @ (amounts / of_kind[own])))[0])
        fold_of[group] = fold
        there[fold, own] += amounts
        filled[fold] += sizes[group]
    return fold_of[owners]


def _owners(groups: Sequence[Hashable | None]) -> Numbers:
    """The number of the group of each example, in the order of the first ones."""
    keys: list[Any] = [(number,) if group is None else (None, group) for number, group in enumerate(groups)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.int64)
