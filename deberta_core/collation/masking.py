"""Which tokens of a row are masked, and what takes their place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deberta_core.collation.words import Word
from deberta_core.errors import InputError


def check_shares(mask_replace_prob: float, random_replace_prob: float) -> None:
    """Refuses shares of masked tokens that are below 0 or more than one whole.

    Raises:
        InputError: they are.
    """
    shares = (mask_replace_prob, random_replace_prob)
    if min(shares) < 0 or sum(shares) > 1 + np.finfo(np.float64).eps:
        raise InputError(
            f"mask_replace_prob={shares[0]!r} and random_replace_prob={shares[1]!r} are no shares of one whole. "
            f"They must be 0 or more and at most 1 together."
        )


def mask_budget(maskable: int, probability: float) -> int:
    """How many of so many tokens are to be masked: `probability` of them, rounded half to even, but at least one."""
    return min(maskable, max(1, round(maskable * probability)))


def cut_into_ngrams(words: Sequence[Word], max_gram: int, random: np.random.Generator) -> list[list[Word]]:
    """Cuts a stretch of words into n-grams with random n from 1 to `max_gram`, of probability proportional to 1/n.

    The last n-gram is shorter where the stretch ends.

    Source:
        the distribution of `NGramMaskGenerator` in microsoft/DeBERTa, `apps/tasks/mlm_task.py`. It masks one n-gram in
        each window of words and goes from left to right until enough tokens are masked, so that the end of a row is
        masked less; here every word of a row is equally likely.
    """
    weights = 1.0 / np.arange(1, max_gram + 1)
    sizes = 1 + random.choice(max_gram, size=len(words), p=weights / weights.sum())
    ngrams: list[list[Word]] = []
    start = 0
    for size in sizes:
        if start < len(words):
            ngrams.append(list(words[start : start + size]))
        start += size
    return ngrams


def choose_places(ngrams: Sequence[Sequence[Word]], budget: int, random: np.random.Generator) -> list[int]:
    """Takes n-grams in random order, word by word, until `budget` tokens are taken.

    Returns:
        The places of `budget` tokens, or of more where the last word needs it: less than `budget` and its length.
    """
    places: list[int] = []
    for number in random.permutation(len(ngrams)):
        for word in ngrams[number]:
            if len(places) >= budget:
                return places
            places += word
    return places


def replace_tokens(
    ids: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    mask_id: int,
    ordinary_ids: NDArray[np.int64],
    mask_share: float,
    random_share: float,
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Replaces chosen tokens, each on its own: by [MASK], by a random token, or not at all.

    Args:
        ids: [B, L].
        chosen: [B, L].
        mask_id: of [MASK].
        ordinary_ids: the ids random tokens are drawn from, each equally likely; the token itself is one of them.
        mask_share: probability of [MASK].
        random_share: probability of a random token.
        random: the source of chance.
    """
    dice = random.random(ids.shape)
    drawn = ordinary_ids[random.integers(len(ordinary_ids), size=ids.shape)]
    replaced = np.where(dice < mask_share, mask_id, np.where(dice < mask_share + random_share, drawn, ids))
    return np.where(chosen, replaced, ids)
