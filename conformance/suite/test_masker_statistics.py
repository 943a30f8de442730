"""What the masker does, counted, against what NUMERICS 8 says in closed form; each count in its exact interval."""

from __future__ import annotations

import random

import numpy as np
import pytest

from conformance.suite.binomial import assert_binomial
from conformance.suite.test_training_curves import TEXT
from deberta_core import Masker, MaskingRule
from deberta_core.collation.gram_masking import MASKING_RULES, choose_grams
from deberta_core.tokenization import DebertaV2Tokenizer

LENGTH, ROWS = 128, 800


@pytest.fixture(scope="module")
def tokenizer() -> DebertaV2Tokenizer:
    """A tokenizer trained on `TEXT`."""
    return DebertaV2Tokenizer.train(TEXT, 400)


@pytest.fixture(scope="module")
def rows(tokenizer):
    """Rows of real text, each from another place of it, `[N, L]`."""
    ids = tokenizer(" ".join(TEXT * 2), add_special_tokens=False, verbose=False)["input_ids"]
    ids = [one for one in ids if one not in tokenizer.all_special_ids]
    starts = np.arange(ROWS)[:, None] % (len(ids) - LENGTH)
    found = np.asarray(ids)[starts + np.arange(LENGTH)].astype(np.int32)
    found[:, 0], found[:, -1] = tokenizer.cls_token_id, tokenizer.sep_token_id
    return found


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_lengths_of_ngrams(longest):
    """n units with a probability of (1 / n) / (1 + ... + 1 / N), one n-gram in each n * int(1 / p) units."""
    rule = MaskingRule(max_gram=longest)
    sizes = [len(gram) for gram in choose_grams(200_000, rule, random.Random(0))]
    total = sum(1 / n for n in range(1, longest + 1))
    for size in range(1, longest + 1):
        assert_binomial(sizes.count(size), len(sizes), 1 / size / total)


@pytest.mark.parametrize(("objective", "shares"), [("mlm", (0.8, 0.1, 0.1)), ("rtd", (1.0, 0.0, 0.0))])
def test_what_takes_the_place(tokenizer, rows, objective, shares):
    """[MASK], a random ordinary token, the token itself; a random one is the same once in so many ordinary ones."""
    masked, labels = Masker(tokenizer, MASKING_RULES[objective], seed=1)(rows, epoch=0, rows=np.arange(len(rows)))
    chosen = labels != -100
    assert np.array_equal(masked[~chosen], rows[~chosen])
    assert np.array_equal(labels[chosen], rows[chosen])
    assert not np.isin(rows[chosen], tokenizer.all_special_ids).any()
    count, by_mask, kept = int(chosen.sum()), masked == tokenizer.mask_token_id, masked == labels
    drawn = masked[chosen & ~by_mask & ~kept]
    mask, other, same = shares
    ordinary = tokenizer.vocab_size - len({one for one in tokenizer.all_special_ids if one < tokenizer.vocab_size})
    expected = (mask, other * (1 - 1 / ordinary), same + other / ordinary)
    for found, share in zip(((chosen & by_mask).sum(), len(drawn), kept.sum()), expected, strict=True):
        assert_binomial(int(found), count, share)
    assert not np.isin(drawn, tokenizer.all_special_ids).any()


@pytest.mark.parametrize("probability", [0.1, 0.15, 0.4])
def test_how_many_of_a_row(tokenizer, rows, probability):
    """The budget, p of the row's tokens; no more where the windows, of int(1 / p) tokens, are fewer."""
    rule = MaskingRule(probability=probability)
    labels = Masker(tokenizer, rule)(rows, epoch=0, rows=np.arange(len(rows))).labels
    budget, windows = round(LENGTH * probability), -(-(LENGTH - 2) // rule.window)
    assert set((labels != -100).sum(axis=1).tolist()) == {min(budget, windows)}
