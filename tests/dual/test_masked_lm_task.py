"""Masked LM: masks are a function of the seeds; and pseudo-perplexity in windows. Models are scripted."""

import numpy as np
import pytest

from deberta_core import DebertaV2Config, InputError
from deberta_core.inputs import IGNORED_LABEL
from deberta_core.reference.arrays import log_softmax
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.finetuning import FINETUNE_TASKS, Record
from deberta_dual.pipelines import MaskedLMPipeline

LONG = " ".join(["The river rises in the hills above the old town."] * 4)


@pytest.fixture
def config(small_tokenizer):
    return DebertaV2Config(vocab_size=len(small_tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1)


@pytest.fixture
def work(small_tokenizer):
    return FINETUNE_TASKS["masked-lm"](small_tokenizer, max_length=24, batch_size=4)


def records(*texts):
    return [Record({"text": text}, f"f, line {number}", number) for number, text in enumerate(texts, 1)]


def test_the_masks_are_a_function_of_the_seeds(work, config, small_tokenizer):
    features = work.features(records(LONG, "A mill."), config)
    assert len(features) > 3  # the long text is several rows
    special = set(small_tokenizer.all_special_ids)
    for number, feature in enumerate(features):
        drawn = work.drawn(feature, (3, 0, number))
        assert drawn == work.drawn(feature, (3, 0, number))
        ids, labels = np.array(feature["input_ids"]), np.array(drawn["labels"])
        chosen = labels != IGNORED_LABEL
        assert (ids[chosen] == labels[chosen]).all()
        assert not special & set(ids[chosen].tolist())
        assert (np.array(drawn["input_ids"])[~chosen] == ids[~chosen]).all()
        free = sum(one not in special for one in ids.tolist())
        assert chosen.sum() == work.count(drawn) == max(1, round(free * 0.15))
        others = [work.drawn(feature, seeds)["labels"] for seeds in ((4, 0, number), (3, 1, number))]
        if free > 8:
            assert drawn["labels"] not in others


def test_a_text_without_a_token_to_mask(work, config, small_tokenizer):
    unknown = records(small_tokenizer.unk_token)
    (feature,) = work.features(unknown, config)
    assert work.count(work.drawn(feature, (0,))) == 0
    model = ArrayModel(config, "masked_lm", lambda inputs, places: pytest.fail("nothing is asked"))
    answers = work.answer(model, unknown, [feature])
    with pytest.raises(InputError, match="no text has a token to mask"):
        work.compare(config, answers, unknown)


def test_the_loss_is_the_mean_over_tokens(work, config):
    """A model that knows nothing has the vocabulary as perplexity; two rows of unequal length count by their tokens."""
    rows = records(LONG, "A mill.")
    features = work.features(rows, config)
    size = config.vocab_size
    model = ArrayModel(config, "masked_lm", lambda inputs, places: {"logits": np.zeros((len(places), size), "float32")})
    answers = work.answer(model, rows, features)
    found = work.compare(config, answers, rows)
    assert found["loss"] == pytest.approx(np.log(size))
    assert found["perplexity"] == pytest.approx(size)
    again = work.answer(model, rows, features)
    assert all((a.right == b.right).all() for a, b in zip(answers, again, strict=True))


class Foreseeing:
    """A masked LM whose logits favour the token before a mask, more in longer rows; keeps what it was asked."""

    def __init__(self, config):
        self.config, self.rows = config, []

    def __call__(self, inputs, places):
        logits = np.zeros((len(places), self.config.vocab_size), "float32")
        for number, (row, place) in enumerate(places.tolist()):
            own = inputs["input_ids"][row][inputs["attention_mask"][row] > 0].tolist()
            self.rows.append((own, place))
            logits[number, own[place - 1]] = len(own) / 10
        return {"logits": logits}


@pytest.mark.parametrize("limit", [8, 9, 64])
def test_pseudo_perplexity_in_windows(config, small_tokenizer, limit):
    model = Foreseeing(config)
    answer = MaskedLMPipeline(ArrayModel(config, "masked_lm", model), small_tokenizer)
    text = "The river rises in the hills above the old town."
    found = answer(text, max_length=limit, batch_size=4)
    ids = small_tokenizer(text, add_special_tokens=False)["input_ids"]
    size = min(limit - 2, len(ids))
    first, last = small_tokenizer.cls_token_id, small_tokenizer.sep_token_id
    losses, rows = [], []
    for place, token in enumerate(ids):
        start = max(0, min(place - (limit - 2) // 2, len(ids) - size))
        row = [first, *ids[start : start + size], last]
        row[place - start + 1] = small_tokenizer.mask_token_id
        rows.append((row, place - start + 1))
        logits = np.zeros(config.vocab_size)
        logits[row[place - start]] = len(row) / 10
        losses.append(-log_softmax(logits)[token])
    assert sorted(model.rows) == sorted(rows)  # every token once, as nearly in the middle as can be
    assert found == {"perplexity": pytest.approx(np.exp(np.mean(losses)))}


def test_special_tokens_are_not_foreseen(config, small_tokenizer):
    model = Foreseeing(config)
    answer = MaskedLMPipeline(ArrayModel(config, "masked_lm", model), small_tokenizer)
    answer(f"A {small_tokenizer.unk_token} mill.")
    masked = [place for _, place in model.rows]
    ids = small_tokenizer(f"A {small_tokenizer.unk_token} mill.")["input_ids"]
    assert sorted(masked) == [n for n, one in enumerate(ids) if one not in small_tokenizer.all_special_ids]
    with pytest.raises(InputError, match="the text has no token to mask"):
        answer(small_tokenizer.unk_token)
