"""Masked language modelling: which tokens are masked, by what, how often; on real text and the v3 vocabulary."""

import pickle
from itertools import pairwise

import numpy as np
import pytest

from conformance.suite.binomial import assert_binomial
from deberta_core import (
    DataCollatorForLanguageModeling,
    DataCollatorForNGramMask,
    DataCollatorForWholeWordMask,
    InputError,
)
from deberta_core.collation.masking import choose_places, cut_into_ngrams, mask_budget
from deberta_core.collation.words import LONGEST_WORD, WordStarts, words_by_ids, words_by_starts
from deberta_core.tokenization import DebertaTokenizer, DebertaV2Tokenizer

COLLATORS = (DataCollatorForLanguageModeling, DataCollatorForWholeWordMask, DataCollatorForNGramMask)


@pytest.fixture(scope="module")
def v3(shared):
    return DebertaV2Tokenizer.from_pretrained(shared / "data" / "deberta_v3_tokenizer")


@pytest.fixture(scope="module")
def v1(shared):
    return DebertaTokenizer.from_pretrained(shared / "data" / "deberta_v1_tokenizer")


@pytest.fixture(scope="module")
def lines(shared):
    text = (shared / "data" / "text" / "wikitext-2.valid.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines() if len(line) > 200][:200]


def encode(tokenizer, texts, **options):
    encoding = tokenizer(texts, truncation=True, max_length=128, **options)
    rows = [{name: encoding[name][row] for name in encoding} for row in range(len(texts))]
    return rows, [encoding.word_ids(row) for row in range(len(texts))]


@pytest.fixture(scope="module")
def v3_rows(v3, lines):
    return encode(v3, lines)


def maskable(batch, tokenizer):
    # Where something was replaced the original is in `labels`.
    original = np.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
    return (batch["attention_mask"] == 1) & ~np.isin(original, tokenizer.all_special_ids), original


@pytest.mark.parametrize("collator", COLLATORS)
def test_rates(v3, v3_rows, collator):
    batch = collator(v3, seed=5)(v3_rows[0])
    free, original = maskable(batch, v3)
    chosen = batch["labels"] != -100
    assert not (chosen & ~free).any()
    np.testing.assert_array_equal(batch["input_ids"][~chosen], original[~chosen])
    count = int(chosen.sum())
    if collator is DataCollatorForLanguageModeling:
        assert_binomial(count, int(free.sum()), 0.15)
    masked, kept = batch["input_ids"] == v3.mask_token_id, batch["input_ids"] == original
    assert_binomial(int((chosen & masked).sum()), count, 0.8)
    # A random token is the same one once in 128,000 times.
    assert_binomial(int((chosen & kept).sum()), count, 0.1)
    drawn = batch["input_ids"][chosen & ~masked & ~kept]
    assert not np.isin(drawn, v3.all_special_ids).any()
    assert len(np.unique(drawn)) > 0.9 * len(drawn)
    assert drawn.max() > 100_000


@pytest.mark.parametrize("collator", COLLATORS[1:])
def test_budget(v3, v3_rows, collator):
    batch = collator(v3, seed=1)(v3_rows[0])
    free, _ = maskable(batch, v3)
    for row, kept in zip(batch["labels"], free, strict=True):
        over = (row != -100).sum() - mask_budget(int(kept.sum()), 0.15)
        assert 0 <= over < LONGEST_WORD


@pytest.mark.parametrize(("maskable", "budget"), [(0, 0), (1, 1), (3, 1), (10, 2), (100, 15), (510, 76)])
def test_budget_of_a_row(maskable, budget):
    assert mask_budget(maskable, 0.15) == budget


@pytest.mark.parametrize("collator", COLLATORS[1:])
@pytest.mark.parametrize("version", ["v1", "v3"])
def test_words_are_never_split(request, lines, collator, version):
    tokenizer = request.getfixturevalue(version)
    rows, word_ids = encode(tokenizer, lines[:80], padding=True)
    labels = collator(tokenizer, seed=2)(rows)["labels"]
    several = 0
    for row, words in zip(labels, word_ids, strict=True):
        for word in set(words) - {None}:
            chosen = [row[place] != -100 for place, other in enumerate(words) if other == word]
            assert len(chosen) > LONGEST_WORD or len(set(chosen)) == 1
            several += len(chosen) > 1 and all(chosen)
    assert several > 50  # words of several tokens were masked


def test_given_words_are_kept_together(v3):
    words = ["Zwei", "Brücken", "waren", "aus", "Holz", "水が", "冷たい", "です"]
    encoding = v3([words], is_split_into_words=True)
    given = encoding.word_ids(0)
    row = {name: encoding[name][0] for name in encoding} | {"word_ids": given}
    collate = DataCollatorForWholeWordMask(v3, mlm_probability=0.4, seed=0, pad_to_multiple_of=32)
    for _ in range(20):
        batch = collate([row])
        assert "word_ids" not in batch
        for word in range(len(words)):
            places = [place for place, other in enumerate(given) if other == word]
            assert len(set((batch["labels"][0, places] != -100).tolist())) == 1
    with pytest.raises(InputError, match="word_ids of example 0"):
        collate([row | {"word_ids": given[:-1]}])


def test_text_without_spaces_counts_token_by_token(v3):
    text = "昔々あるところにおじいさんとおばあさんが住んでいましたとさ" * 3
    rows, words = encode(v3, [text])
    assert words[0].count(0) > LONGEST_WORD
    labels = DataCollatorForWholeWordMask(v3, seed=0)(rows)["labels"][0]
    assert (labels != -100).sum() == mask_budget(len(words[0]) - 2, 0.15)


def test_ngram_lengths():
    random = np.random.default_rng(0)
    words = [[place] for place in range(30_000)]
    ngrams = cut_into_ngrams(words, 3, random)
    assert [word for ngram in ngrams for word in ngram] == words
    lengths = np.array([len(ngram) for ngram in ngrams])
    for length, probability in zip((1, 2, 3), (6 / 11, 3 / 11, 2 / 11), strict=True):
        assert_binomial(int((lengths == length).sum()), len(ngrams), probability)
    assert all(len(ngram) == 1 for ngram in cut_into_ngrams(words[:100], 1, random))


def test_runs_of_ngrams_are_longer(v3, v3_rows):
    # Without the runs, a masked word would be followed by a masked one as often as any word is masked.
    following = {}
    for collator in COLLATORS[1:]:
        chosen = collator(v3, seed=4)(v3_rows[0])["labels"] != -100
        masked = [
            [
                any(chosen[row, place] for place, other in enumerate(words) if other == word)
                for word in range(max(filter(None, words)) + 1)
            ]
            for row, words in enumerate(v3_rows[1])
        ]
        pairs = [after for row in masked for before, after in pairwise(row) if before]
        following[collator] = np.mean(pairs)
    assert following[DataCollatorForWholeWordMask] < 0.2 < 0.3 < following[DataCollatorForNGramMask]


def test_every_place_is_masked_equally_often(v3, v3_rows):
    # Masking from left to right until the budget is spent would spare the ends of rows.
    collate = DataCollatorForNGramMask(v3, seed=6)
    rows = [row for row in v3_rows[0] if len(row["input_ids"]) == 128]
    labels = np.concatenate([collate(rows)["labels"] for _ in range(4)])[:, 1:-1]
    chosen = labels != -100
    first, last = chosen[:, :63].sum(), chosen[:, 63:].sum()
    assert_binomial(int(first), int(first + last), 0.5)


def test_words_lie_in_stretches_between_special_tokens(small_tokenizer):
    tokens = ["[CLS]", "▁the", "▁ri", "ver", "[SEP]", "s", "▁is", "[UNK]", "e", "[SEP]"]
    ids = [3 if token.startswith("[") else 100 + place for place, token in enumerate(tokens)]
    maskable = [not token.startswith("[") for token in tokens]
    expected = [[[1], [2, 3]], [[5], [6]], [[8]]]
    assert words_by_starts(ids, maskable, lambda index: tokens[index - 100].startswith("▁")) == expected
    assert words_by_ids([-1, 0, 1, 1, -1, 1, 2, -1, 2, -1], maskable) == expected
    assert words_by_ids([-1, -1, 4], [True] * 3) == [[[0], [1], [2]]]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("v3", ["▁Nobody", "▁builds", "▁(there)", "▁now,", "▁said", "▁she."]),
        ("v1", ["Nobody", "Ġ", "Ġbuilds", "Ġ(there)", "Ġnow,", "Ċsaid", "Ġshe."]),
    ],
)
def test_where_words_begin(request, version, words):
    tokenizer = request.getfixturevalue(version)
    ids = tokenizer("Nobody  builds (there) now,\nsaid she.", add_special_tokens=False)["input_ids"]
    (found,) = words_by_starts(ids, [True] * len(ids), WordStarts(tokenizer))
    tokens = tokenizer.convert_ids_to_tokens(ids)
    assert ["".join(tokens[place] for place in word) for word in found] == words


def test_choose_places_is_cut_at_a_word():
    words = [[0, 1], [2], [3, 4, 5]]
    assert choose_places([words], 3, np.random.default_rng(0)) == [0, 1, 2]
    assert choose_places([words], 4, np.random.default_rng(0)) == [0, 1, 2, 3, 4, 5]
    assert choose_places([], 0, np.random.default_rng(0)) == []


@pytest.mark.parametrize("collator", COLLATORS)
def test_deterministic(small_tokenizer, prose, collator):
    rows = [dict(small_tokenizer(text)) for text in prose]
    first, second = (collator(small_tokenizer, seed=11) for _ in range(2))
    calls = [first(rows)["input_ids"] for _ in range(3)]
    assert not np.array_equal(calls[0], calls[1])
    for ids in calls[:2]:
        np.testing.assert_array_equal(second(rows)["input_ids"], ids)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(second))(rows)["input_ids"], calls[2])
    assert not np.array_equal(collator(small_tokenizer, seed=12)(rows)["input_ids"], calls[0])
    assert not np.array_equal(*(collator(small_tokenizer)(rows)["input_ids"] for _ in range(2)))


def test_random_tokens_are_ordinary_ones(small_tokenizer, prose):
    shares = {"mlm_probability": 1.0, "mask_replace_prob": 0.0, "random_replace_prob": 1.0}
    collate = DataCollatorForLanguageModeling(small_tokenizer, seed=0, **shares)
    batch = collate([dict(small_tokenizer(" ".join(prose), verbose=False))] * 8)
    drawn = batch["input_ids"][batch["labels"] != -100]
    ordinary = set(range(small_tokenizer.vocab_size)) - set(small_tokenizer.all_special_ids)
    assert set(drawn.tolist()) == ordinary


@pytest.mark.parametrize("seed", [3, None])
def test_workers_draw_differently(small_tokenizer, prose, seed):
    torch = pytest.importorskip("torch")
    collate = DataCollatorForLanguageModeling(small_tokenizer, seed=seed)
    rows = [dict(small_tokenizer(prose[0]))] * 8
    load = lambda: torch.utils.data.DataLoader(rows, batch_size=4, num_workers=2, collate_fn=collate)  # noqa: E731

    def epochs():
        torch.manual_seed(0)
        loader = load()
        return [[batch["labels"] for batch in loader] for _ in range(2)]

    (a, b), (c, d) = epochs()
    assert len({labels.tobytes() for labels in (a, b, c, d)}) == 4
    again = epochs()
    same = all(
        np.array_equal(*pair)
        for old, new in zip(((a, b), (c, d)), again, strict=True)
        for pair in zip(old, new, strict=True)
    )
    assert same == (seed is not None)


@pytest.mark.parametrize("collator", COLLATORS)
def test_masks_of_the_examples_are_kept(small_tokenizer, prose, collator):
    encoding = small_tokenizer(prose[:2], return_special_tokens_mask=True)
    rows = [{name: encoding[name][row] for name in encoding} for row in range(2)]
    rows[0]["special_tokens_mask"] = [1] * len(rows[0]["input_ids"])
    rows[0]["labels"], rows[1]["labels"] = [7], [7, 8]
    batch = collator(small_tokenizer, mlm_probability=1.0, mask_replace_prob=1.0, random_replace_prob=0.0)(rows)
    assert "special_tokens_mask" not in batch
    assert (batch["labels"][0] == -100).all()
    assert (batch["input_ids"][1] == small_tokenizer.mask_token_id).sum() == len(rows[1]["input_ids"]) - 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mlm": False}, "masked language model"),
        ({"mlm_probability": 0.0}, r"mlm_probability=0.0 is not in \(0, 1\]"),
        ({"mlm_probability": 15}, r"mlm_probability=15 is not in"),
        ({"mask_replace_prob": 0.95}, "mask_replace_prob=0.95 and random_replace_prob=0.1"),
        ({"random_replace_prob": -0.1}, "no shares of one whole"),
        ({"seed": -1}, "seed=-1 is not an int of 0 or more"),
        ({"max_gram": 0}, "max_gram=0 is not a positive int"),
    ],
)
def test_refusals(small_tokenizer, options, message):
    with pytest.raises(InputError, match=message):
        DataCollatorForNGramMask(small_tokenizer, **options)


def test_a_tokenizer_without_mask_is_refused(small_tokenizer, tmp_path):
    small_tokenizer.save_pretrained(tmp_path)
    without = DebertaV2Tokenizer.from_pretrained(tmp_path, mask_token=None)
    with pytest.raises(InputError, match="has no mask_token"):
        DataCollatorForLanguageModeling(without)
