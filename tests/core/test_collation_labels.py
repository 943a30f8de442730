"""Labels of tokens from labels of words and of spans, on WNUT-17 and on small cases."""

import numpy as np
import pytest

from deberta_core import DataCollatorForTokenClassification, InputError, align_span_labels, align_word_labels
from deberta_core.tokenization import DebertaTokenizer, DebertaV2Tokenizer

OUTSIDE, BEGIN, INSIDE = 0, 1, 2
CODES = {"O": OUTSIDE, "B": BEGIN, "I": INSIDE}


@pytest.fixture(scope="module")
def tweets(shared):
    """Words and labels of the development set; `B-location` and its like are all BEGIN."""
    text = (shared / "data" / "datasets" / "wnut17" / "emerging.dev.conll").read_text(encoding="utf-8")
    found = []
    for block in text.split("\n\n"):
        pairs = [line.split("\t") for line in block.splitlines() if line.strip()]
        pairs = [(word, CODES[label[0]]) for word, label in pairs if word.strip()]
        if pairs:
            found.append(tuple(map(list, zip(*pairs, strict=True))))
    assert len(found) > 900
    return found


@pytest.fixture(scope="module", params=["v1", "v3"])
def tokenizer(shared, request):
    kinds = {"v1": DebertaTokenizer, "v3": DebertaV2Tokenizer}
    options = {"add_prefix_space": True} if request.param == "v1" else {}
    return kinds[request.param].from_pretrained(shared / "data" / f"deberta_{request.param}_tokenizer", **options)


def test_words_of_tweets(tokenizer, tweets):
    encoding = tokenizer([words for words, _ in tweets], is_split_into_words=True)
    features = []
    for row, (words, word_labels) in enumerate(tweets):
        word_ids = encoding.word_ids(row)
        first = align_word_labels(word_labels, word_ids)
        every = align_word_labels(word_labels, word_ids, all_pieces=True)
        assert len(first) == len(every) == len(encoding["input_ids"][row])
        # A word of which the vocabulary sees nothing, such as a variation selector, has no token and no label.
        seen = [word for word in range(len(words)) if word in word_ids]
        assert len(seen) >= len(words) - 2
        assert [label for label in first if label != -100] == [word_labels[word] for word in seen]
        assert [-100 if word is None else word_labels[word] for word in word_ids] == every
        features.append({"input_ids": encoding["input_ids"][row], "labels": first})
    batch = DataCollatorForTokenClassification(tokenizer)(features)
    assert (batch["labels"] == BEGIN).sum() == sum(labels.count(BEGIN) for _, labels in tweets)
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()


def test_spans_of_tweets(tokenizer, tweets):
    """The same labels from the joined text, where a span is a run of B, I, I ..."""
    texts, spans = [], []
    for words, labels in tweets:
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        starts = ends - [len(word) for word in words]
        found = []
        for place, label in enumerate(labels):
            if label == BEGIN:
                found.append([int(starts[place]), int(ends[place]), BEGIN])
            elif label == INSIDE:
                found[-1][1] = int(ends[place])
        texts.append(" ".join(words))
        spans.append([tuple(span) for span in found])
    encoding = tokenizer(texts, return_offsets_mapping=True)
    for text, parts, offsets in zip(texts, spans, encoding["offset_mapping"], strict=True):
        labels = align_span_labels(parts, offsets, inside={BEGIN: INSIDE})
        assert labels.count(BEGIN) == len(parts)
        for start, end, _ in parts:
            covered = [place for place, (a, b) in enumerate(offsets) if a < b and a < end and b > start]
            assert [labels[place] for place in covered] == [BEGIN] + [INSIDE] * (len(covered) - 1)
            # The v3 vocabulary does not see a byte order mark, with which one name ends.
            found = text[offsets[covered[0]][0] : offsets[covered[-1]][1]]
            assert found.rstrip("\ufeff") == text[start:end].rstrip("\ufeff")
        assert all((label == -100) == (a == b) for label, (a, b) in zip(labels, offsets, strict=True))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [-100, 5, -100, 7, 0, -100, -100]),
        ({"all_pieces": True}, [-100, 5, 5, 7, 0, 0, -100]),
        ({"all_pieces": True, "inside": {5: 6, 7: 8}}, [-100, 5, 6, 7, 0, 0, -100]),
    ],
)
def test_word_labels(options, expected):
    assert align_word_labels([5, 7, 0, 9], [None, 0, 0, 1, 2, 2, None], **options) == expected


def test_the_first_word_of_a_second_text_has_its_label():
    assert align_word_labels([5], [None, 0, None, 0, 0, None]) == [-100, 5, -100, 5, -100, -100]


@pytest.mark.parametrize(
    ("spans", "options", "expected"),
    [
        ([], {}, [-100, 0, 0, 0, -100, -100]),
        ([(0, 7, 3)], {}, [-100, 3, 3, 0, -100, -100]),
        ([(0, 7, 3)], {"inside": {3: 4}, "outside": 9}, [-100, 3, 4, 9, -100, -100]),
        ([(8, 9, 1), (1, 2, 2)], {}, [-100, 2, 0, 1, -100, -100]),
        ([(100, 110, 1)], {}, [-100, 0, 0, 0, -100, -100]),
        ([(3, 4, 1)], {}, [-100, 0, 0, 0, -100, -100]),
    ],
)
def test_span_labels(spans, options, expected):
    offsets = [(0, 0), (0, 3), (4, 7), (8, 12), (12, 12), (0, 0)]
    assert align_span_labels(spans, offsets, **options) == expected


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(3, 3, 1)], r"\(3, 3, 1\) holds no character"),
        ([(-1, 3, 1)], "holds no character"),
        ([(0, 5, 1), (4, 7, 2)], r"\(0, 5, 1\) and \(4, 7, 2\) overlap"),
        ([(0, 1, 1), (2, 3, 2)], r"\(0, 1, 1\) and \(2, 3, 2\) share a token"),
    ],
)
def test_refused_spans(spans, message):
    with pytest.raises(InputError, match=message):
        align_span_labels(spans, [(0, 0), (0, 3), (4, 7), (0, 0)])


def test_too_few_labels():
    with pytest.raises(InputError, match="There are 1 labels for 2 words"):
        align_word_labels([1], [None, 0, 1, None])
