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
        first = length * _A_WINDOW + place * _A_TOKEN
        dice = uniforms(keys[row], first + _DICE)
        drawn = self._ordinary[(uniforms(keys[row], first + _WORD) * len(self._ordinary)).astype(np.int64)]
        kept = np.where(dice >= 1 - self.rule.random_replace_prob, drawn, original)
        masked[row, place] = np.where(dice < self.rule.mask_replace_prob, self._mask_id, kept)

    def _chosen(self, ids: NDArray[Any], keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which tokens are masked, `[B, L]`."""
        free = ~self._is_special[ids]
        unit, sizes = self._units(ids, free)  # [B, L], [B, U]
        starts, lengths = self._grams(np.count_nonzero(sizes, axis=1), keys)  # [B, W]
        if self.rule.order == "random":
            turns = uniforms(keys[:, None], np.arange(starts.shape[1]) * _A_WINDOW + _TURN)
            order = np.argsort(turns, axis=1, kind="stable")  # those of no length may stand anywhere
            starts, lengths = (np.take_along_axis(values, order, axis=1) for values in (starts, lengths))
        steps = np.arange(self.rule.max_gram)
        wanted = (starts[:, :, None] + steps).reshape(len(ids), -1)  # [B, W * max_gram], numbers of units
        there = (steps < lengths[:, :, None]).reshape(wanted.shape)
        tokens = np.where(there, np.take_along_axis(sizes, np.where(there, wanted, 0), axis=1), 0)
        budget = np.maximum(1, np.rint(np.count_nonzero(ids != self._pad_id, axis=1) * self.rule.probability))
        taken = there & (np.cumsum(tokens, axis=1) - tokens < budget[:, None])
        is_taken = np.zeros(sizes.shape, dtype=bool)
        row, number = np.nonzero(taken)
        is_taken[row, wanted[row, number]] = True
        chosen: NDArray[np.bool_] = free & np.take_along_axis(is_taken, unit, axis=1)
        return chosen

    def _units(self, ids: NDArray[Any], free: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The unit of each token, `[B, L]`, and the tokens of each unit, `[B, L]`; 0 where there are no more units."""
        begins = free if self._starts is None else self._word_begins(ids, free)
        unit, sizes = _counted(begins, free)
        if (long := sizes > LONGEST_WORD).any():
            unit, sizes = _counted(begins | (free & np.take_along_axis(long, unit, axis=1)), free)
        return unit, sizes

    def _word_begins(self, ids: NDArray[Any], free: NDArray[np.bool_]) -> NDArray[np.bool_]:
        assert self._starts is not None
        begins = self._starts(ids)
        begins[:, 0] = True
        begins[:, 1:] |= ~free[:, :-1]
        return begins & free

    def _grams(self, units: NDArray[np.int64], keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The first unit and the length of the n-gram of each window, `[B, W]`; see `choose_grams`."""
        windows = np.arange(-(-int(units.max(initial=0)) // self.rule.window))
        draws = uniforms(keys[:, None, None], windows[:, None] * _A_WINDOW + np.array([_LENGTH, _START]))  # [B, W, 2]
        sizes = np.searchsorted(self.rule.gram_steps[:-1], draws[..., 0], side="right") + 1
        starts = np.zeros(sizes.shape, dtype=np.int64)
        lengths = np.zeros_like(starts)
        begin = np.zeros_like(units)
        for window in windows:
            left, size = units - begin, sizes[:, window]
            if not left.any():
                break
            wide = np.minimum(size * self.rule.window, left)
            first = begin + (draws[:, window, 1] * wide).astype(np.int64)
            starts[:, window] = first
            lengths[:, window] = np.where(left > 0, np.minimum(size, units - first), 0)
            begin = np.minimum(np.maximum(begin + wide, first + size), units)
        return starts, lengths


def _counted(begins: NDArray[np.bool_], free: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, length = begins.shape
    unit = np.maximum(np.cumsum(begins, axis=1) - 1, 0)
    flat = (unit + np.arange(rows)[:, None] * length)[free]
    return unit, np.bincount(flat, minlength=rows * length).reshape(rows, length)
