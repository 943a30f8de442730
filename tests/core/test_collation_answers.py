"""Windows for question answering, on XQuAD and on small cases."""

import json
from itertools import pairwise

import pytest

from deberta_core import DataCollatorWithPadding, InputError, answer_windows
from deberta_core.tokenization import DebertaTokenizer, DebertaV2Tokenizer

QUESTION = "Who stood by the poplar?"


@pytest.fixture(scope="module")
def questions(shared):
    """Questions, contexts, answers: 300 of XQuAD, across all articles."""
    data = json.loads((shared / "data" / "datasets" / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))["data"]
    found = []
    for paragraph in (paragraph for article in data for paragraph in article["paragraphs"]):
        for asked in paragraph["qas"]:
            answer = asked["answers"][0]
            start = answer["answer_start"]
            found.append((asked["question"], paragraph["context"], (start, start + len(answer["text"]))))
    return tuple(map(list, zip(*found[::4], strict=True)))


# Of 298 answers so many are whole tokens; the rest end inside one, such as `2,70` in `2,700` (2.70 in the context).
@pytest.mark.parametrize(("version", "kind", "inexact"), [("v1", DebertaTokenizer, 4), ("v3", DebertaV2Tokenizer, 1)])
def test_every_answer_is_in_some_window(shared, questions, version, kind, inexact):
    tokenizer = kind.from_pretrained(shared / "data" / f"deberta_{version}_tokenizer")
    asked, contexts, answers = questions
    windows = answer_windows(tokenizer, asked, contexts, answers, max_length=128, stride=64)
    assert len(windows) > len(asked)
    recovered = {}
    for window in windows:
        inputs, context = window.inputs, contexts[window.example]
        assert len(inputs["input_ids"]) == len(window.spans) <= 128
        start, end = inputs["start_positions"], inputs["end_positions"]
        if start:
            assert inputs["token_type_ids"][start] == inputs["token_type_ids"][end] == 1
            recovered.setdefault(window.example, set()).add(window.characters(start, end))
        else:
            assert end == 0
            # The window misses a part of the answer.
            kept = [span for span in window.spans if span]
            a, b = answers[window.example]
            assert a < kept[0][0] or b > kept[-1][1], context[a:b]
    assert sorted(recovered) == list(range(len(asked)))
    different = 0
    for example, spans in recovered.items():
        assert len(spans) == 1  # all windows that hold it say the same
        (start, end), (a, b) = spans.pop(), answers[example]
        assert start <= a < b <= end
        different += (start, end) != (a, b)
    assert different <= inexact


def test_windows_cover_the_context(small_tokenizer, prose):
    context = " ".join(prose[:3])
    windows = answer_windows(small_tokenizer, [QUESTION], [context], max_length=48, stride=8)
    assert len(windows) > 3
    covered = {place for window in windows for span in window.spans if span for place in range(*span)}
    assert covered >= {place for place, character in enumerate(context) if not character.isspace()}
    for before, after in pairwise(windows):
        assert len({span for span in before.spans if span} & {span for span in after.spans if span}) >= 8
    assert not {"start_positions", "end_positions"} & set(windows[0].inputs)


def test_no_answer_is_the_context_token(small_tokenizer, prose):
    context = prose[2]
    start = context.index("my grandfather's house")
    answers = [None, (start, start + len("my grandfather's house"))]
    windows = answer_windows(small_tokenizer, [QUESTION] * 2, [context] * 2, answers, max_length=100)
    assert [window.example for window in windows] == [0, 1]
    assert windows[0].inputs["start_positions"] == windows[0].inputs["end_positions"] == 0
    first, last = (windows[1].inputs[name] for name in ("start_positions", "end_positions"))
    span = windows[1].characters(first, last)
    assert context[slice(*span)] == "my grandfather's house"


@pytest.mark.parametrize("side", ["right", "left"])
def test_collated(small_tokenizer, prose, tmp_path, side):
    small_tokenizer.save_pretrained(tmp_path)
    tokenizer = DebertaV2Tokenizer.from_pretrained(tmp_path, padding_side=side)
    contexts = prose[:4]
    answers = [(context.index(" ", 20) + 1, context.index(" ", 40)) for context in contexts]
    windows = answer_windows(tokenizer, [QUESTION] * 4, contexts, answers, max_length=48, stride=16)
    batch = DataCollatorWithPadding(tokenizer)([window.inputs for window in windows])
    found = 0
    for row, window in enumerate(windows):
        start, end = (int(batch[name][row]) for name in ("start_positions", "end_positions"))
        if start:
            found += 1
            own = slice(window.inputs["start_positions"], window.inputs["end_positions"] + 1)
            assert batch["input_ids"][row, start : end + 1].tolist() == window.inputs["input_ids"][own]
        else:
            assert end == 0
    assert found >= 4


def test_characters(small_tokenizer, prose):
    window = answer_windows(small_tokenizer, [QUESTION], [prose[0]])[0]
    places = [place for place, span in enumerate(window.spans) if span]
    assert window.characters(places[0], places[-1]) == (0, len(prose[0]))
    for start, end in ((0, 0), (0, places[0]), (1, places[0]), (places[1], places[0]), (places[0], 10_000), (-1, 5)):
        assert window.characters(start, end) is None


def test_pieces_without_characters_are_no_limits(small_tokenizer):
    # Two of the three bytes that stand for 水 cover nothing, right where the answer begins.
    context = "The 水mill水 is old."
    start = context.index("mill")
    (window,) = answer_windows(small_tokenizer, [QUESTION], [context], [(start, start + 4)])
    first, last = window.inputs["start_positions"], window.inputs["end_positions"]
    assert window.spans[first - 1] == (start, start)
    assert small_tokenizer.decode(window.inputs["input_ids"][first : last + 1]) == "mill"


def test_an_answer_in_no_window_is_no_answer(small_tokenizer, prose):
    context = " ".join(prose[:3])
    windows = answer_windows(small_tokenizer, [QUESTION], [context], [(0, len(context))], max_length=48, stride=8)
    assert {window.inputs["start_positions"] for window in windows} == {0}


@pytest.mark.parametrize(
    ("answers", "options", "message"),
    [
        ([(5, 1000)], {}, r"answers\[0\]=\(5, 1000\) is no part of its context, which has \d+ characters"),
        ([(5, 5)], {}, "is no part of its context"),
        ([(3, 4)], {}, r"answers\[0\]=\(3, 4\) covers no token"),
        ([], {}, "0 answers for 1 questions"),
        (None, {"max_length": 12}, "max_length=12"),
        (None, {"max_length": 40, "stride": 39}, "stride=39"),
    ],
)
def test_refusals(small_tokenizer, prose, answers, options, message):
    with pytest.raises(InputError, match=message):
        answer_windows(small_tokenizer, [QUESTION], [prose[0]], answers, **options)
