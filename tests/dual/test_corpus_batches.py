"""Batches of a corpus: the same for any number of workers, processes and interruptions; all of it, once an epoch."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from deberta_core import MASKING_RULES, InputError
from deberta_core.tokenization import DebertaV2Tokenizer
from deberta_dual.pretraining import Batches, BatchOptions, Corpus, held_out_batches

OPTIONS = BatchOptions(rule=MASKING_RULES["mlm"], length=128, batch_size=192, seed=3, epochs=2, shuffle=1)


@pytest.fixture(scope="module")
def tokenizer(shared):
    return DebertaV2Tokenizer.from_pretrained(shared / "data" / "deberta_v3_tokenizer")


@pytest.fixture(scope="module")
def corpus(shared):
    return Corpus(shared / "data" / "text", held_out=0.05)


@pytest.fixture(scope="module")
def whole(corpus, tokenizer):
    """All batches of two epochs, made by this process alone."""
    return run(corpus, tokenizer, OPTIONS, workers=0)


def run(corpus, tokenizer, options, most=None, **how):
    with Batches(corpus, tokenizer, options, **how) as batches:
        return list(islice(batches, most))


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.inputs.keys() == other.inputs.keys()
        for name in one.inputs:
            np.testing.assert_array_equal(one.inputs[name], other.inputs[name])
        np.testing.assert_array_equal(one.original, other.original)
        np.testing.assert_array_equal(one.documents, other.documents)
        assert one[3:] == other[3:]


def test_batches_fit_a_model(whole, tokenizer):
    for batch in whole[::7]:
        inputs, size, length = batch.inputs, OPTIONS.batch_size, OPTIONS.length
        assert inputs["input_ids"].shape == inputs["labels"].shape == inputs["position_ids"].shape == (size, length)
        assert inputs["attention_mask"].shape == (size, length, length)
        chosen = inputs["labels"] != -100
        np.testing.assert_array_equal(np.where(chosen, inputs["labels"], inputs["input_ids"]), batch.original)
        assert batch.label_count == chosen.sum()
        assert batch.token_count == (batch.original != tokenizer.pad_token_id).sum()
        assert batch.label_count == pytest.approx(0.15 * batch.token_count, rel=0.03)
        own = batch.documents[:, :, None] == batch.documents[:, None, :]
        np.testing.assert_array_equal(inputs["attention_mask"], own & (batch.documents > 0)[:, None, :])
        starts = (batch.original == tokenizer.cls_token_id) & (batch.documents > 0)
        np.testing.assert_array_equal(starts, (inputs["position_ids"] == 0) & (batch.documents > 0))


def test_workers_change_nothing(corpus, tokenizer, whole):
    assert_same(run(corpus, tokenizer, OPTIONS, workers=2), whole)


def test_processes_change_nothing(corpus, tokenizer, whole):
    parts = [run(corpus, tokenizer, OPTIONS, 9, workers=0, process=number, processes=3) for number in range(3)]
    for together, *own in zip(whole, *parts, strict=False):
        for number, batch in enumerate(own):
            np.testing.assert_array_equal(batch.original, together.original[number::3])
            np.testing.assert_array_equal(batch.inputs["labels"], together.inputs["labels"][number::3])
            assert batch[3:] == together[3:]  # the counts of the step, and the state


@pytest.mark.parametrize("at", [0, 3, 12, 17, 18, -2, -1])
def test_going_on_is_as_if_nothing_had_happened(corpus, tokenizer, whole, at):
    state = json.loads(json.dumps(whole[at].state))
    rest = whole[at:][1:]
    found = run(corpus, tokenizer, OPTIONS, 8, workers=at % 2, state=state)
    assert json.loads(json.dumps([one.state for one in found])) == json.loads(json.dumps([b.state for b in rest[:8]]))
    assert_same([one._replace(state={}) for one in found], [one._replace(state={}) for one in rest[:8]])


def test_every_token_is_learned_from_once_an_epoch(corpus, tokenizer):
    texts = [document.text for document in corpus.read()]
    expected = np.concatenate(
        [
            np.array(ids, dtype=np.int64)
            for ids in tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        ]
    )
    for packing in ("documents", "text"):
        options = replace(OPTIONS, packing=packing, batch_size=1, epochs=1)
        ids = np.concatenate([batch.original[0] for batch in run(corpus, tokenizer, options, workers=0)])
        found = ids[~np.isin(ids, [tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id])]
        np.testing.assert_array_equal(np.sort(found), np.sort(expected))


def test_every_epoch_has_its_order_and_its_masks(shared, tokenizer):
    corpus = Corpus(shared / "data" / "text" / "tinyshakespeare.txt")
    batches = run(corpus, tokenizer, replace(OPTIONS, batch_size=1), workers=0)
    first, second = (batches[: len(batches) // 2], batches[len(batches) // 2 :])
    assert [batch.state["window"]["epoch"] for batch in (first[0], first[-1], second[0], second[-1])] == [0, 0, 1, 1]
    by_ids = {batch.original.tobytes(): batch.inputs["labels"] for batch in first}
    assert {batch.original.tobytes() for batch in second} == {*by_ids}
    assert sum(old.original.tobytes() == new.original.tobytes() for old, new in zip(first, second, strict=True)) < 20
    same = [np.array_equal(by_ids[batch.original.tobytes()], batch.inputs["labels"]) for batch in second]
    assert sum(same) < 20


def test_without_shuffling_rows_are_in_the_order_of_the_text(shared, tokenizer):
    corpus = Corpus(shared / "data" / "text" / "tinyshakespeare.txt")
    options = replace(OPTIONS, packing="text", shuffle=0, batch_size=64)
    batches = run(corpus, tokenizer, options, 3, workers=0)
    assert "position_ids" not in batches[0].inputs
    assert batches[0].inputs["attention_mask"].shape == (64, 128)
    text = "\n".join(document.text for document in islice(corpus.read(), 900))
    expected = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    found = np.concatenate([batch.original[:, 1:-1].ravel() for batch in batches])
    np.testing.assert_array_equal(found[:5_000], expected[:5_000])


def test_held_out_rows_are_the_same_and_never_learned_from(corpus, tokenizer, whole):
    options = replace(OPTIONS, batch_size=64, epochs=None)
    kept = held_out_batches(corpus, tokenizer, options, 150)
    assert [len(batch.original) for batch in kept] == [64, 64, 22]
    assert_same(held_out_batches(corpus, tokenizer, options, 150), kept)
    parts = [held_out_batches(corpus, tokenizer, options, 150, process=number, processes=2) for number in range(2)]
    for batch, *own in zip(kept, *parts, strict=True):
        for number, part in enumerate(own):
            np.testing.assert_array_equal(part.inputs["input_ids"], batch.inputs["input_ids"][number::2])
            assert part.label_count == batch.label_count

    def documents(batches):
        return {
            batch.original[row, batch.documents[row] == number].tobytes()
            for batch in batches
            for row in range(len(batch.original))
            for number in range(1, batch.documents[row].max() + 1)
        }

    assert not documents(kept) & documents(whole)


def test_no_text_to_hold_out(shared, tokenizer):
    with pytest.raises(InputError, match=r"no document in the share held_out=0.0"):
        held_out_batches(Corpus(shared / "data" / "text"), tokenizer, OPTIONS, 10)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_where_its_text_is_due(tmp_path, tokenizer, shared, workers):
    text = (shared / "data" / "text" / "wikitext-2.valid.txt").read_bytes()
    (tmp_path / "a.txt").write_bytes(text + text[: len(text) // 2] + b"\n\xff\n" + text)
    good = []
    making = Batches(Corpus(tmp_path), tokenizer, OPTIONS, workers=workers)
    with making, pytest.raises(InputError, match="byte 0xff at byte 1 of the line"):
        good.extend(making)
    assert len(good) > 5
    notes = []
    corpus = Corpus(tmp_path, on_error="skip", note=notes.append)
    assert_same(
        [one._replace(state={}) for one in run(corpus, tokenizer, OPTIONS, len(good), workers=workers)],
        [one._replace(state={}) for one in good],
    )


@pytest.mark.parametrize(("content", "epochs"), [("", None), ("\n\n \n", 1)])
def test_a_corpus_without_text(tmp_path, tokenizer, content, epochs):
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(InputError, match="the corpus holds no document"):
        run(Corpus(tmp_path), tokenizer, replace(OPTIONS, epochs=epochs), workers=0)


def test_text_without_a_token(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("\x01\x02")
    assert tokenizer("\x01\x02", add_special_tokens=False)["input_ids"] == []
    with pytest.raises(InputError, match="no text that makes a token"):
        run(Corpus(tmp_path), tokenizer, replace(OPTIONS, epochs=None), workers=0)


def test_a_small_corpus_fills_large_batches(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("A short text.\n\nAnother one.")
    options = replace(OPTIONS, batch_size=5, epochs=None)
    assert [len(batch.original) for batch in run(Corpus(tmp_path), tokenizer, options, 3, workers=0)] == [5, 5, 5]
    assert run(Corpus(tmp_path), tokenizer, replace(options, epochs=2), workers=0) == []  # fewer rows than one batch


def test_a_state_of_another_run_is_refused(corpus, tokenizer, whole, shared, tmp_path):
    state = json.loads(json.dumps(whole[2].state))
    other = replace(OPTIONS, length=64, rule=MASKING_RULES["rtd"], batch_size=8, epochs=None)
    with pytest.raises(InputError) as problem:
        Batches(corpus, tokenizer, other, workers=0, state=state)
    assert "length was 128 and is 64" in str(problem.value)
    assert "rule was {" in str(problem.value)
    assert "batch_size" not in str(problem.value)
    with pytest.raises(InputError, match=r"held_out was 0.05 and is 0.0"):
        Batches(Corpus(shared / "data" / "text"), tokenizer, OPTIONS, workers=0, state=state)
    (tmp_path / "a.txt").write_text("other")
    with pytest.raises(InputError, match=r"a.txt is new; .* is not there"):
        Batches(Corpus(tmp_path, held_out=0.05), tokenizer, OPTIONS, workers=0, state=state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"packing": "tight"}, "packing='tight' is unknown"),
        ({"length": 2}, "length=2 is not allowed"),
        ({"batch_size": 0}, "batch_size=0 is not allowed"),
        ({"seed": -1}, "seed=-1 is not allowed"),
        ({"shuffle": 0.5}, "shuffle=0.5 is not allowed"),
        ({"epochs": 0}, "epochs=0 is not allowed"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        replace(OPTIONS, **options)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"process": 0, "processes": 5}, "no equal part of batch_size=192"),
        ({"process": 2, "processes": 2}, "process=2 of 2"),
        ({"workers": -1}, "workers=-1 is not allowed"),
    ],
)
def test_refusals_of_a_process(corpus, tokenizer, how, message):
    with pytest.raises(InputError, match=message):
        Batches(corpus, tokenizer, OPTIONS, **how)
