"""Masks many rows at once for pretraining, the same rows in the same way wherever and in whatever batch they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deberta_core.collation.counted_draws import row_keys, uniforms
from deberta_core.collation.gram_masking import MaskingRule
from deberta_core.collation.words import LONGEST_WORD, WordStartTable
from deberta_core.errors import InputError
from deberta_core.inputs import IGNORED_LABEL

_ROWS = 128  # masked together, so that what is worked on stays in the processor's cache
_LENGTH, _START, _TURN, _A_WINDOW = range(4)  # counters of the draws of a window
_DICE, _WORD, _A_TOKEN = range(3)  # and of a masked token


class MaskedRows(NamedTuple):
    """Rows with masks.

    Attributes:
        input_ids: what the model reads, `[B, L]`.
        labels: the original id at masked tokens, -100 elsewhere, `[B, L]`.
    """

    input_ids: NDArray[Any]
    labels: NDArray[Any]


class Masker:
    """Masks rows of ids by a rule; see `mask_row`, which does the same row by row.

    The masks of a row are a function of the seed, the epoch, the row's number and its ids. Special tokens ([MASK],
    [CLS], [SEP], [PAD] and [UNK]) are never masked, and random tokens are ordinary ones.

    Args:
        tokenizer: tells the special tokens, and where words begin: at a token with a space before it, at one character
            of punctuation, and behind a special token. More than 16 tokens without such a beginning are text written
            without spaces, and count token by token (differs: Microsoft's code masks them as a whole).
        rule: what is masked, and by what.
        seed: an int of 0 or more.

    Raises:
        InputError: the tokenizer has no [MASK], or the seed is none.

    Source:
        NUMERICS, section 8. Differs from Microsoft's code in the order of n-grams, and in that random tokens are
        ordinary ones. With n-grams the last few tokens of a row are masked up to twice as often as others, since the
        last window may be shorter than its n-gram asks for.
    """

    def __init__(self, tokenizer: Any, rule: MaskingRule, *, seed: int = 0) -> None:
        if tokenizer.mask_token_id is None:
            raise InputError("The tokenizer has no mask_token. Load it with mask_token=...")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InputError(f"seed={seed!r} is not an int of 0 or more. Give one.")
        self.rule, self._seed = rule, seed
        self._mask_id, self._pad_id = tokenizer.mask_token_id, tokenizer.pad_token_id
        self._is_special = np.zeros(len(tokenizer), dtype=bool)
        self._is_special[tokenizer.all_special_ids] = True
        self._ordinary = np.flatnonzero(~self._is_special[: tokenizer.vocab_size])
        self._starts = WordStartTable(tokenizer) if rule.unit == "word" else None

    def __call__(self, ids: NDArray[Any], *, epoch: int, rows: ArrayLike) -> MaskedRows:
        """Masks rows.

        Args:
            ids: with [CLS], [SEP], and padding anywhere, `[B, L]`.
            epoch: counts from 0.
            rows: their numbers, which with the epoch decide the masks, `[B]`.
        """
        keys = row_keys(self._seed, epoch, rows)
        masked, labels = ids.copy(), np.full_like(ids, IGNORED_LABEL)
        for start in range(0, len(ids), _ROWS):
            part = slice(start, start + _ROWS)
            self._mask(ids[part], keys[part], masked[part], labels[part])
        return MaskedRows(masked, labels)

    def _mask(self, ids: NDArray[Any], keys: NDArray[np.uint64], masked: NDArray[Any], labels: NDArray[Any]) -> None:
        length = ids.shape[1]
        row, place = np.nonzero(self._chosen(ids, keys))
        original = ids[row, place]
        labels[row, place] = original
        if self.rule.mask_replace_prob == 1:  # numbers of [0, 1) need not be drawn
            masked[row, place] = self._mask_id
            return
        first, row_key = length * _A_WINDOW + place * _A_TOKEN, keys[row]
        dice = uniforms(row_key, first + _DICE)
        drawn = self._ordinary[(uniforms(row_key, first + _WORD) * len(self._ordinary)).astype(np.int64)]
        kept = np.where(dice >= 1 - self.rule.random_replace_prob, drawn, original)
        masked[row, place] = np.where(dice < self.rule.mask_replace_prob, self._mask_id, kept)

    def _chosen(self, ids: NDArray[Any], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which tokens are masked, `[B, L]`."""
        free = ~self._is_special[ids]
        units = self._units(ids, free)
        starts, lengths = self._grams(units.number, keys)  # [B, W]
        first_of_row = np.arange(0, ids.size, ids.shape[1])[:, None]
        if self.rule.order == "random":
            windows = np.arange(starts.shape[1])
            turns = uniforms(keys[:, None], windows * _A_WINDOW + _TURN)
            order = np.argsort(turns, axis=1, kind="stable")  # those of no length may stand anywhere
            order += np.arange(len(starts))[:, None] * len(windows)  # in all of them
            starts, lengths = starts.ravel()[order], lengths.ravel()[order]
        steps = np.arange(self.rule.max_gram)
        there = (steps < lengths[:, :, None]).reshape(len(ids), -1)  # [B, W * max_gram]
        wanted = (starts[:, :, None] + steps).reshape(there.shape)  # numbers of units
        wanted = np.where(there, wanted, 0) + first_of_row
        tokens = units.sizes[wanted] * there
        budget = np.maximum(1, np.rint(np.count_nonzero(ids != self._pad_id, axis=1) * self.rule.probability))
        taken = there & (np.cumsum(tokens, axis=1) - tokens < budget[:, None])
        is_taken = np.zeros(ids.size, dtype=bool)
        is_taken[wanted[taken]] = True
        chosen: NDArray[np.bool_] = free & is_taken[units.of_token]
        return chosen

    def _units(self, ids: NDArray[Any], free: NDArray[np.bool_]) -> _Units:
        if self._starts is None:
            return _counted(free, free)
        begins = self._starts(ids)
        begins[:, 0] = True
        begins[:, 1:] |= ~free[:, :-1]
        begins &= free
        units = _counted(begins, free)
        if (long := units.sizes > LONGEST_WORD).any():
            units = _counted(begins | (free & long[units.of_token]), free)
        return units

    def _grams(self, units: NDArray[np.int64], keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first unit and the length of the n-gram of each window, `[B, W]`; see `choose_grams`."""
        counters = np.arange(-(-int(units.max(initial=0)) // self.rule.window)) * _A_WINDOW
        places = uniforms(keys[:, None], counters + _START)
        sizes = np.ones(places.shape, dtype=np.int64)
        if self.rule.max_gram > 1:
            dice = uniforms(keys[:, None], counters + _LENGTH)
            sizes += np.searchsorted(self.rule.gram_steps[:-1], dice, side="right")
        asked = sizes * self.rule.window
        # Only the last window of a row is shorter than it asks for, and behind it none is left.
        advance = np.maximum(asked, (places * asked).astype(np.int64) + sizes)
        end = units[:, None]
        begin = np.minimum(np.cumsum(advance, axis=1) - advance, end)
        starts = begin + (places * np.minimum(asked, end - begin)).astype(np.int64)
        used = np.count_nonzero((begin < end).any(axis=0))
        return starts[:, :used], np.minimum(sizes, end - starts)[:, :used]


class _Units(NamedTuple):
    """What is masked as a whole, in many rows.

    Attributes:
        of_token: the unit of each token, numbered from `row * L`, `[B, L]`.
        sizes: the tokens of each unit, `[B * L]`; 0 where there are no more units.
        number: how many units each row has, `[B]`.
    """

    of_token: NDArray[np.int64]
    sizes: NDArray[np.int64]
    number: NDArray[np.int64]


def _counted(begins: NDArray[np.bool_], free: NDArray[np.bool_]) -> _Units:
    numbers = np.cumsum(begins, axis=1, dtype=np.int64)
    of_token = np.maximum(numbers - 1, 0)
    of_token += np.arange(0, begins.size, begins.shape[1])[:, None]
    sizes = np.bincount(of_token[free], minlength=begins.size)
    return _Units(of_token, sizes, numbers[:, -1])
