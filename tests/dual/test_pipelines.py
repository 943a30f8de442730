"""What all pipelines share: streaming, order, batches, options, errors. The models are scripted."""

import io
import itertools

import numpy as np
import pytest

from deberta_core import DebertaV2Config, DebertaWarning, InputError, WeightError
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.pipelines import TextClassificationPipeline, TokenClassificationPipeline
from deberta_dual.pipelines.base import BATCHES_AHEAD
from deberta_dual.pipelines.batches import ModelRow, padded_shape, run_rows
from deberta_dual.progress import InputProgress


@pytest.fixture
def config(small_tokenizer):
    return DebertaV2Config(
        vocab_size=len(small_tokenizer),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=48,
        position_biased_input=False,
        num_labels=2,
    )


@pytest.fixture
def batches():
    """The shapes of the batches that were run."""
    return []


@pytest.fixture
def model(config, batches):
    """Its first logit is the number of tokens, so that every result tells which text it is of."""

    def run(inputs, places):
        assert places is None
        batches.append(inputs["input_ids"].shape)
        length = inputs["attention_mask"].sum(axis=1)
        return {"logits": np.stack([length, 0 * length], axis=1).astype("float32")}

    return ArrayModel(config, "sequence_classification", run)


@pytest.fixture
def lengths(model, small_tokenizer):
    """A pipeline whose scores are the numbers of tokens."""
    return TextClassificationPipeline(model, small_tokenizer, batch_size=4, function_to_apply="none")


def token_count(tokenizer, text):
    return len(tokenizer(text)["input_ids"])


def score(result):
    return result["score"]


def test_one_input_gives_one_result(lengths, small_tokenizer, prose):
    expected = {"label": "LABEL_0", "score": float(token_count(small_tokenizer, prose[0]))}
    assert lengths(prose[0]) == [expected]
    assert lengths({"text": prose[0]}) == expected
    assert lengths([prose[0]]) == [expected]
    assert lengths([]) == []


def test_results_come_in_the_order_of_inputs(lengths, small_tokenizer, prose, batches):
    expected = [token_count(small_tokenizer, text) for text in prose]
    assert [score(result) for result in lengths(tuple(prose))] == expected
    assert [rows for rows, _ in batches] == [4, 4, 4, 3]
    # Similar lengths are together: the batches are the sorted lengths, cut.
    assert [width for _, width in batches] == sorted(expected, reverse=True)[::4]


def test_a_stream_is_read_a_few_batches_ahead(lengths, prose):
    read = 0

    def endless():
        nonlocal read
        for text in itertools.cycle(prose):
            read += 1
            yield text

    results = lengths(endless())
    for count in range(1, 200):
        next(results)
        assert count <= read < count + BATCHES_AHEAD * 4
    assert read > 4  # it does read ahead


def test_a_bad_input_is_named_after_the_results_before_it(lengths, prose):
    results = lengths(iter([prose[0], prose[1], None, prose[2]]))
    assert len(list(itertools.islice(results, 2))) == 2
    with pytest.raises(InputError, match=r"inputs\[2\]: text is None, of type NoneType"):
        next(results)


def test_an_error_of_the_inputs_comes_after_the_results(lengths, prose):
    def broken():
        yield prose[0]
        raise OSError("the disk is gone")

    results = lengths(broken())
    assert next(results)
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


def test_bad_inputs_can_be_passed_over(lengths, prose):
    seen = []
    inputs = [prose[0], 3, {"txt": "a"}, prose[1]]
    results = list(lengths.stream(inputs, on_error=lambda number, error: seen.append((number, str(error)))))
    assert len(results) == 2
    assert [number for number, _ in seen] == [1, 2]
    assert "text is 3, of type int" in seen[0][1]
    assert "has no text. Give a dict of text, text_pair (if there is one)." in seen[1][1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "inputs is of type NoneType"),
        (3, "inputs is of type int"),
        ({"text": "a", "pair": "b"}, "holds 'pair', which is unknown"),
        ({"text": "a", "text_pair": ["b"]}, "text_pair is .*A text must be a str"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_wrong_inputs(lengths, wrong, message):
    with pytest.raises(ValueError, match=message):
        lengths(wrong)


def test_wrong_options(model, small_tokenizer, lengths, prose):
    with pytest.raises(InputError, match=r"option 'topk' is unknown\. Did you mean 'top_k'\?"):
        TextClassificationPipeline(model, small_tokenizer, topk=2)
    with pytest.raises(InputError, match="top_k=0 is not allowed"):
        lengths(prose[0], top_k=0)
    with pytest.raises(InputError, match="function_to_apply='tanh' is unknown"):
        lengths.stream(prose, function_to_apply="tanh")  # before the first result
    with pytest.raises(InputError, match="batch_size=0 is not allowed"):
        TextClassificationPipeline(model, small_tokenizer, batch_size=0)


def test_options_of_a_call_last_one_call(lengths, prose):
    assert len(lengths(prose[0], top_k=None)) == 2
    assert len(lengths(prose[0])) == 1


def test_a_model_of_another_task(model, small_tokenizer):
    with pytest.raises(InputError, match=r"one for sequence_classification, but token-classification needs"):
        TokenClassificationPipeline(model, small_tokenizer)


def test_a_tokenizer_of_another_model(model, config, small_tokenizer):
    smaller = ArrayModel(config.replace(vocab_size=40), model.task, model.run)
    with pytest.raises(InputError, match="has 501 tokens, but the model vocab_size=40"):
        TextClassificationPipeline(smaller, small_tokenizer)


def test_what_does_not_fit_is_said_once(lengths, prose):
    long = " ".join(prose[:3])
    with pytest.warns(DebertaWarning, match="reads max_length=64") as said:
        results = lengths([long, long])
    assert [score(result) for result in results] == [64, 64]
    assert len(said) == 1
    lengths(long)


def test_the_limit_is_the_tokenizers_or_the_configurations(model, config, small_tokenizer):
    unlimited = type(small_tokenizer)(small_tokenizer.serialized_model)
    assert TextClassificationPipeline(model, unlimited).max_length == 48
    assert TextClassificationPipeline(model, unlimited, max_length=20).max_length == 20
    biased = ArrayModel(config.replace(position_biased_input=True), model.task, model.run)
    assert TextClassificationPipeline(biased, small_tokenizer).max_length == 48
    with pytest.raises(InputError, match="max_length=49 is more than max_position_embeddings=48"):
        TextClassificationPipeline(biased, small_tokenizer, max_length=49)


def test_numbers_that_are_none_are_refused(config, small_tokenizer, prose):
    broken = ArrayModel(
        config,
        "sequence_classification",
        lambda inputs, places: {"logits": np.full((len(inputs["input_ids"]), 2), np.nan)},
    )
    with pytest.raises(WeightError, match="the model's logits are not finite"):
        TextClassificationPipeline(broken, small_tokenizer)(prose[0])


def test_few_shapes_where_shapes_are_compiled():
    shapes = {padded_shape(rows, length, True) for rows in range(1, 33) for length in range(1, 513)}
    assert len({rows for rows, _ in shapes}) == 6
    assert sorted({length for _, length in shapes}) == [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    assert all(padded_shape(5, length, True)[1] >= length for length in range(1, 513))
    assert padded_shape(5, 77, False) == (5, 77)


def test_rows_that_fill_up_a_batch_have_no_results(config):
    seen = []

    def run(inputs, places):
        seen.append(inputs["input_ids"])
        return {"logits": inputs["input_ids"][:, :1].astype("float32")}

    names = ("input_ids", "attention_mask", "token_type_ids")
    rows = [ModelRow(dict.fromkeys(names, [number] * (number + 3))) for number in range(3)]
    results = dict(run_rows(ArrayModel(config, "sequence_classification", run, True), rows, 8, 9))
    assert {number: outputs["logits"].tolist() for number, outputs in results.items()} == {0: [0], 1: [1], 2: [2]}
    assert [ids.shape for ids in seen] == [(4, 16)]
    assert set(seen[0][:, 5:].ravel()) == {9}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("shown", "is_drawn"), [(True, True), (False, False), (None, False)])
def test_progress_is_drawn_on_request(shown, is_drawn):
    stream = Terminal()
    with InputProgress(4, shown, stream) as bar:
        bar.advance()
    assert ("25% of 4 inputs" in stream.getvalue()) == is_drawn
    assert stream.getvalue().endswith("\x1b[K") == is_drawn


def test_progress_of_a_long_run(monkeypatch):
    clock = itertools.count()  # every look at the clock takes a second
    monkeypatch.setattr("deberta_dual.progress.time.monotonic", lambda: float(next(clock)))
    for stream, is_drawn in ((Terminal(), True), (io.StringIO(), False)):
        with InputProgress(None, None, stream) as bar:
            for _ in range(5):
                bar.advance()
        assert ("inputs" in stream.getvalue()) == is_drawn
