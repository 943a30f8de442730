"""The masking of pretraining: Microsoft's draws give Microsoft's masks; many rows at once give those of the book."""

import json
import random

import numpy as np
import pytest

from conformance.suite.binomial import assert_binomial
from deberta_core import DebertaTokenizer, DebertaV2Tokenizer, InputError, Masker, MaskingRule
from deberta_core.collation.counted_draws import row_keys, uniforms
from deberta_core.collation.gram_masking import MASKING_RULES, mask_row
from deberta_core.collation.words import LONGEST_WORD, WordStartTable

SPECIAL = {"[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"}
LENGTH = 128
CASES = range(5)


@pytest.fixture(scope="module")
def golden(shared):
    return json.loads((shared / "goldens-pretraining" / "ngram-masking" / "cases.json").read_text())


@pytest.fixture(scope="module")
def v3(shared):
    return DebertaV2Tokenizer.from_pretrained(shared / "data" / "deberta_v3_tokenizer")


@pytest.fixture(scope="module")
def v1(shared):
    return DebertaTokenizer.from_pretrained(shared / "data" / "deberta_v1_tokenizer")


@pytest.fixture(scope="module")
def rows(v3, shared):
    """Real text in rows of 128 tokens, as [N, L]; the last two are padded."""
    return make_rows(v3, (shared / "data" / "text" / "wikitext-2.valid.txt").read_text(encoding="utf-8"))


def make_rows(tokenizer, text):
    ids = tokenizer(" ".join(text.split()), add_special_tokens=False, verbose=False)["input_ids"]
    count = len(ids) // (LENGTH - 2)
    found = np.full((count, LENGTH), tokenizer.cls_token_id, dtype=np.int32)
    found[:, 1:-1] = np.reshape(ids[: count * (LENGTH - 2)], (count, -1))
    found[:, -1] = tokenizer.sep_token_id
    found[-2, 61:] = tokenizer.pad_token_id
    found[-1, :50] = tokenizer.pad_token_id
    return found


def units_of(ids, begins, special):
    """Units by the book: places of tokens, a new one where a word begins or behind a special token."""
    units, after_special = [], True
    for place, index in enumerate(ids):
        if index in special:
            after_special = True
            continue
        if begins[place] or after_special:
            units.append([place])
        else:
            units[-1].append(place)
        after_special = False
    return [part for unit in units for part in ([unit] if len(unit) <= LONGEST_WORD else [[one] for one in unit])]


class CountedDraws:
    """The draws that `Masker` makes for a row, in the order in which `mask_row` asks for them."""

    def __init__(self, key, length, places):
        self._key, self._length, self._places = key, length, iter(places)
        self._asked, self._grams = [], None

    def _at(self, counter):
        return float(uniforms(self._key[None], np.array([counter]))[0])

    def random(self):
        if self._grams is None:
            self._asked.append(None)
            return self._at(3 * (len(self._asked) - 1))
        self._place = next(self._places)
        return self._at(3 * self._length + 2 * self._place)

    def randint(self, low, high):
        return low + int(self._at(3 * (len(self._asked) - 1) + 1) * (high - low + 1))

    def shuffle(self, grams):
        self._grams = len(grams)
        turns = [self._at(3 * number + 2) for number in range(len(grams))]
        grams[:] = [gram for _, gram in sorted(zip(turns, grams, strict=True), key=lambda pair: pair[0])]

    def choice(self, values):
        return values[int(self._at(3 * self._length + 2 * self._place + 1) * len(values))]


@pytest.mark.parametrize("case", CASES)
def test_microsofts_draws_give_microsofts_masks(golden, case):
    case, vocabulary = golden["cases"][case], golden["vocabulary"]
    special = {vocabulary[token] for token in SPECIAL}
    rule = MaskingRule(
        max_gram=case["max_gram"],
        order="left",
        mask_replace_prob=case["mask_prob"],
        random_replace_prob=1 - case["mask_prob"] - case["keep_prob"],
    )
    ids = [vocabulary[token] for token in case["tokens"]]
    begins = [case["max_gram"] == 1 or token.startswith("_") for token in case["tokens"]]
    masked, labels = mask_row(
        ids,
        units_of(ids, begins, special),
        rule,
        mask_id=vocabulary["[MASK]"],
        replacements=[*vocabulary.values()],
        random=random.Random(case["seed"]),
    )
    assert masked == [vocabulary[token] for token in case["masked"]]
    assert [max(label, 0) for label in labels] == case["labels"]


@pytest.mark.parametrize("unit", ["token", "word"])
@pytest.mark.parametrize(("max_gram", "probability"), [(1, 0.15), (3, 0.15), (2, 0.4), (1, 1.0)])
def test_many_rows_at_once_are_masked_by_the_book(v3, rows, unit, max_gram, probability):
    rule = MaskingRule(unit=unit, max_gram=max_gram, probability=probability)
    special, starts = set(v3.all_special_ids), WordStartTable(v3)
    ordinary = [index for index in range(v3.vocab_size) if index not in special]
    some = rows[[0, 1, 2, 3, -2, -1]]
    found = Masker(v3, rule, seed=3)(some, epoch=2, rows=np.arange(6))
    for row, (ids, key) in enumerate(zip(some, row_keys(3, 2, np.arange(6)), strict=True)):
        real = np.flatnonzero(ids != v3.pad_token_id)
        begins = starts(ids[real]) | (unit == "token")
        places = np.flatnonzero(found.labels[row] != -100)
        masked, labels = mask_row(
            ids[real].tolist(),
            units_of(ids[real].tolist(), begins, special),
            rule,
            mask_id=v3.mask_token_id,
            replacements=ordinary,
            random=CountedDraws(key, LENGTH, places),
        )
        np.testing.assert_array_equal(found.input_ids[row, real], masked)
        np.testing.assert_array_equal(found.labels[row, real], labels)
        assert (found.labels[row, ids == v3.pad_token_id] == -100).all()


def test_from_left_to_right_spares_the_end_as_microsofts_code_does(golden, v3, rows):
    # One of 6 tokens of each window, until round(0.15 * 128) = 19 of the 21 windows are done: nothing after token 114.
    rule = MaskingRule(order="left")
    chosen = shares_of(v3, rule, rows, epochs=8)
    expected = np.zeros(LENGTH)
    expected[1:115] = 1 / 6
    assert_shares(chosen, expected)
    tenth = np.arange(LENGTH) * 10 // LENGTH
    measured = golden["shares"][0]
    assert measured["max_gram"] == 1
    for number, share in enumerate(measured["share_by_tenth"]):
        tokens = 2000 * int((tenth == number).sum())
        assert_binomial(round(share * tokens), tokens, expected[tenth == number].mean())
    assert measured["share"] == chosen.mean() == 19 / 128


def test_in_random_order_every_place_is_masked_equally_often(v3, rows):
    chosen = shares_of(v3, MaskingRule(), rows, epochs=8)
    assert_shares(chosen, np.r_[0, np.full(LENGTH - 2, 19 / 126), 0])
    assert chosen.mean() == 19 / 128


def test_ngrams_of_words_spare_no_end(v3, rows):
    chosen = shares_of(v3, MASKING_RULES["mlm"], rows, epochs=8)
    ninths = [part.mean() for part in np.array_split(chosen[:, 1:-1], 9, axis=1)]
    assert max(ninths[:-1]) < 1.1 * min(ninths[:-1])
    # The last window is cut off by the end, and what is chosen in it lies closer together.
    assert ninths[0] < ninths[-1] < 1.5 * ninths[0]
    # A word may exceed the budget, and windows of short words may not reach it.
    assert abs(chosen.mean() - 0.15) < 0.003
    left = shares_of(v3, MaskingRule(unit="word", max_gram=3, order="left"), rows, epochs=8)
    assert left[:, -9:-1].mean() < 0.7 * left[:, 40:80].mean()


def shares_of(tokenizer, rule, rows, epochs):
    """Whether each token is masked, for each row and epoch, [N, L]."""
    full = rows[:-2]
    full = full[~np.isin(full[:, 1:-1], tokenizer.all_special_ids).any(axis=1)]
    masker = Masker(tokenizer, rule, seed=7)
    return np.concatenate(
        [masker(full, epoch=epoch, rows=np.arange(len(full))).labels != -100 for epoch in range(epochs)]
    )


def assert_shares(chosen, expected):
    for place, probability in enumerate(expected):
        count = int(chosen[:, place].sum())
        assert_binomial(count, len(chosen), probability)


def test_masks_are_a_function_of_seed_epoch_and_row(v3, rows):
    numbers = np.arange(300, 300 + len(rows))
    masker = Masker(v3, MASKING_RULES["mlm"], seed=5)
    whole = masker(rows, epoch=1, rows=numbers)
    order = np.random.default_rng(0).permutation(len(rows))[:40]
    for part in np.split(order, [1, 7, 20]):
        some = Masker(v3, MASKING_RULES["mlm"], seed=5)(rows[part], epoch=1, rows=numbers[part])
        np.testing.assert_array_equal(some.input_ids, whole.input_ids[part])
        np.testing.assert_array_equal(some.labels, whole.labels[part])
    for seed, epoch, first in ((6, 1, 300), (5, 2, 300), (5, 1, 301)):
        other = Masker(v3, MASKING_RULES["mlm"], seed=seed)(rows, epoch=epoch, rows=np.arange(len(rows)) + first)
        both = (other.labels != -100) & (whole.labels != -100)
        assert both.mean() < 0.03  # by chance, 0.15 squared


def test_odd_rows(v3):
    ids = np.full((4, 6), v3.pad_token_id)
    ids[1, :2] = v3.cls_token_id, v3.sep_token_id
    ids[2, :3] = v3.cls_token_id, 500, v3.sep_token_id
    ids[3, :4] = v3.cls_token_id, v3.unk_token_id, v3.mask_token_id, v3.sep_token_id
    for rule in MASKING_RULES.values():
        labels = Masker(v3, rule)(ids, epoch=0, rows=np.arange(4)).labels
        assert [np.flatnonzero(row != -100).tolist() for row in labels] == [[], [], [1], []]
        assert Masker(v3, rule)(ids[:0], epoch=0, rows=[]).labels.shape == (0, 6)


def test_text_without_spaces_is_masked_token_by_token(v3):
    ids = np.array(v3(["昔々あるところにおじいさんとおばあさんが住んでいましたとさ" * 3])["input_ids"])
    labels = Masker(v3, MaskingRule(unit="word"), seed=0)(ids, epoch=0, rows=[0]).labels
    assert (labels != -100).sum() == round(0.15 * ids.shape[1])


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("v3", ["▁Nobody", "▁builds", "▁(there", ")", "▁now", ",", "▁said", "▁she", "."]),
        ("v1", ["Nobody", "Ġ", "Ġbuilds", "Ġ(there", ")", "Ġnow", ",", "Ċsaid", "Ġshe", "."]),
    ],
)
def test_where_words_begin(request, version, words):
    tokenizer = request.getfixturevalue(version)
    ids = np.array(tokenizer("Nobody  builds (there) now,\nsaid she.", add_special_tokens=False)["input_ids"])
    tokens = tokenizer.convert_ids_to_tokens(ids.tolist())
    begins = np.flatnonzero(WordStartTable(tokenizer)(ids) | (np.arange(len(ids)) == 0))
    assert ["".join(part) for part in np.split(tokens, begins)[1:]] == words


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 0.0}, r"probability=0.0 is not in \(0, 1\]"),
        ({"unit": "letter"}, "unit='letter' is unknown"),
        ({"order": "right"}, "order='right' is unknown"),
        ({"max_gram": 0}, "max_gram=0 is not a positive int"),
        ({"mask_replace_prob": 0.95}, "no shares of one whole"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        MaskingRule(**options)


def test_a_seed_and_a_mask_are_needed(v3, small_tokenizer, tmp_path):
    with pytest.raises(InputError, match="seed=-1 is not an int"):
        Masker(v3, MaskingRule(), seed=-1)
    small_tokenizer.save_pretrained(tmp_path)
    without = DebertaV2Tokenizer.from_pretrained(tmp_path, mask_token=None)
    with pytest.raises(InputError, match="has no mask_token"):
        Masker(without, MaskingRule())
