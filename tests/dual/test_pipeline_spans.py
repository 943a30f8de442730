"""Pipelines that answer with parts of the text: entities and answers. The models are scripted."""

from itertools import pairwise

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, InputError
from deberta_dual.backends.protocol import ArrayModel
from deberta_dual.data.words import split_words
from deberta_dual.pipelines import QuestionAnsweringPipeline, TokenClassificationPipeline
from deberta_dual.pipelines.entities import Unit, join_units
from deberta_dual.pipelines.token_classification import join_windows

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
TAGS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
UNICODE = "Ünïcode: Zürich, 東京 and 😀 are\u00a0far\tfrom\n St. Mary's."


@pytest.fixture
def make(small_tokenizer):
    """Makes a pipeline whose model gives `outputs(tokens)` for each row, where `tokens` are those of the row."""

    def build(cls, outputs, labels=TAGS, tokenizer=small_tokenizer, **options):
        config = DebertaV2Config(
            vocab_size=len(tokenizer), **SIZES, position_biased_input=False, id2label=dict(enumerate(labels))
        )

        def run(inputs, places):
            rows = [outputs(tokenizer.convert_ids_to_tokens(row.tolist())) for row in inputs["input_ids"]]
            return {name: np.array([row[name] for row in rows], dtype="float32") for name in rows[0]}

        return cls(ArrayModel(config, cls.model_task, run), tokenizer, **options)

    return build


def probabilities(*rows):
    """Logits whose softmax is the rows."""
    return {"logits": np.log(np.maximum(np.array(rows, dtype=float), 1e-30))}


def tagged(tags, tokens):
    """Logits of a model that gives each token the class its piece has in `tags`, and O to others, with certainty."""
    return probabilities(*(np.eye(5)[TAGS.index(tags.get(token, "O"))] for token in tokens))


# "river old" is the tokens ▁ri ver ▁o ld: two words of two tokens.
TWO_WORDS = "river old"
CERTAIN = [1, 0, 0, 0, 0]


def two_words(*rows):
    return lambda tokens: probabilities(CERTAIN, *rows, CERTAIN)


def summary(results):
    return [(found["entity_group"], found["word"], found["start"], found["end"]) for found in results]


def scores(results):
    return np.array([found["score"] for found in results])


def test_every_token_by_itself(make):
    run = make(TokenClassificationPipeline, lambda tokens: tagged({"▁ri": "B-LOC", "▁o": "I-PER"}, tokens))
    assert run("The river old") == [
        {"entity": "B-LOC", "score": 1.0, "index": 2, "word": "▁ri", "start": 4, "end": 6},
        {"entity": "I-PER", "score": 1.0, "index": 4, "word": "▁o", "start": 10, "end": 11},
    ]


# Rows are tokens; classes are O, B-LOC, I-LOC, B-PER, I-PER.
ROWS = [
    [0.3, 0.6, 0.1, 0.0, 0.0],  # ▁ri   B-LOC
    [0.0, 0.0, 0.1, 0.9, 0.0],  # ver   B-PER
    [0.4, 0.0, 0.6, 0.0, 0.0],  # ▁o    I-LOC
    [0.9, 0.0, 0.1, 0.0, 0.0],  # ld    O
]


@pytest.mark.parametrize(
    ("strategy", "expected", "expected_scores"),
    [
        ("simple", [("LOC", "ri", 0, 2), ("PER", "ver", 2, 5), ("LOC", "o", 6, 7)], [0.6, 0.9, 0.6]),
        ("first", [("LOC", "river old", 0, 9)], [0.6]),
        ("average", [("PER", "river", 0, 5)], [0.45]),
        ("max", [("PER", "river", 0, 5)], [0.9]),
    ],
)
def test_strategies(make, strategy, expected, expected_scores):
    run = make(TokenClassificationPipeline, two_words(*ROWS))
    found = run(TWO_WORDS, aggregation_strategy=strategy)
    assert summary(found) == expected
    assert_close(scores(found), np.array(expected_scores), quantity="logits", name=strategy)


def test_entities_end_where_another_begins():
    units = [("B-A", 0.5), ("I-A", 1.0), ("B-A", 0.5), ("I-B", 0.5), ("O", 1.0), ("A", 0.25), ("I-A", 0.75)]
    joined = list(join_units([Unit(label, score, (k, k + 1)) for k, (label, score) in enumerate(units)]))
    assert [(unit.label, unit.score, unit.tokens) for unit in joined] == [
        ("A", 0.75, (0, 2)),
        ("A", 0.5, (2, 3)),
        ("B", 0.5, (3, 4)),
        ("O", 1.0, (4, 5)),
        ("A", 0.5, (5, 7)),
    ]


@pytest.mark.parametrize(
    ("strategy", "ignored", "expected"),
    [
        ("simple", ["O", "PER"], ["LOC"]),
        ("simple", [], ["O", "LOC", "PER", "O"]),
        ("none", ["O", "B-LOC"], ["I-PER"]),
    ],
)
def test_ignored_labels(make, strategy, ignored, expected):
    tags = {"▁ri": "B-LOC", "ver": "I-PER"}
    run = make(TokenClassificationPipeline, lambda tokens: tagged(tags, tokens), aggregation_strategy=strategy)
    found = run("The river old", ignore_labels=ignored)
    assert [one.get("entity_group", one.get("entity")) for one in found] == expected


@pytest.mark.parametrize("version", ["small_tokenizer", "small_byte_tokenizer"])
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
def test_places_are_of_the_original_text(make, strategy, version, request):
    tokenizer = request.getfixturevalue(version)
    run = make(
        TokenClassificationPipeline,
        lambda tokens: probabilities(*([[0, 1, 0, 0, 0]] * len(tokens))),
        tokenizer=tokenizer,
    )
    found = run(UNICODE, aggregation_strategy=strategy)
    assert all(0 <= one["start"] <= one["end"] <= len(UNICODE) for one in found)
    assert all(first["end"] <= second["start"] for first, second in pairwise(found))
    parts = [UNICODE[one["start"] : one["end"]] for one in found]
    assert "".join("".join(parts).split()) == "".join(UNICODE.split())
    if strategy != "none":
        assert [one["word"] for one in found] == parts
        assert all(part.strip() == part != "" for part in parts)
    if strategy in ("first", "average", "max"):
        words = [UNICODE[start:end] for start, end in split_words(UNICODE, "unicode")]
        assert [part for part in parts if "s" != part[-1] != "'"] == [word for word in words if word not in "'s"]


def test_a_long_text_is_read_in_windows(make, small_tokenizer, prose):
    text = "\n".join(prose)
    rows = []

    def outputs(tokens):
        rows.append([token for token in tokens if token != "[PAD]"])
        return tagged({"▁stone": "B-LOC"}, tokens)

    tokens = small_tokenizer.tokenize(text)
    for stride in (None, 0, 1, 40):
        rows.clear()
        run = make(TokenClassificationPipeline, outputs, aggregation_strategy="simple", stride=stride)
        places = [(one["start"], one["end"]) for one in run(text)]
        assert {text[slice(*place)] for place in places} == {"stone"}
        assert len(places) == tokens.count("▁stone") > 1
        assert len(rows) > 5
        assert max(map(len, rows)) == 64
        assert all(row[0] == "[CLS]" and row[-1] == "[SEP]" for row in rows)
    with pytest.raises(InputError, match="stride=62 leaves no progress: a window holds 62 tokens"):
        make(TokenClassificationPipeline, outputs, stride=62)(text)


def test_windows_share_their_overlap():
    # Ten tokens in windows of six that share two: each row says its window and token.
    windows = [(0, 6), (4, 10)]
    parts = [np.array([[number, token] for token in range(*window)]) for number, window in enumerate(windows)]
    joined = join_windows(parts, windows)
    assert joined[:, 1].tolist() == list(range(10))
    assert joined[:, 0].tolist() == [0] * 5 + [1] * 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"aggregation_strategy": "last"}, "aggregation_strategy='last' is unknown. Use one of: none, simple"),
        ({"ignore_labels": "O"}, "Give a list of names of classes"),
        ({"stride": -1}, "stride=-1 is not allowed"),
    ],
)
def test_wrong_options_of_entities(make, options, message):
    with pytest.raises(InputError, match=message):
        make(TokenClassificationPipeline, None, **options)


def asked(start, end, **scores):
    """Span logits of a model that sees the answer from the token `start` to `end`, and 8 for no answer as `nothing`."""

    def outputs(tokens):
        first, last = ([scores.get("other", 0.0)] * len(tokens) for _ in range(2))
        first[0] = last[0] = scores.get("nothing", 1.0)
        for place, token in enumerate(tokens):
            first[place] = 9.0 if token == start else first[place]
            last[place] = 9.0 if token == end else last[place]
        return {"start_logits": first, "end_logits": last}

    return outputs


@pytest.fixture
def asked_for_giants(small_tokenizer):
    """As `asked`, of a model that finds "giant": its tokens are ▁ gi ant, or ▁g i ant by sentencepiece 0.2.0."""
    word = [token for token in small_tokenizer.tokenize("giant") if token != "▁"]

    def build(**scores):
        marked = asked("start", "end", **scores)

        def outputs(tokens):
            tokens = list(tokens)
            for place in range(len(tokens)):
                if tokens[place : place + len(word)] == word:
                    tokens[place], tokens[place + len(word) - 1] = "start", "end"
            return marked(tokens)

        return outputs

    return build


@pytest.fixture
def context(prose):
    """A text of eleven windows, whose last one alone has a giant."""
    return " ".join(prose)


def test_an_answer_is_a_part_of_the_context(make):
    run = make(QuestionAnsweringPipeline, asked("▁stone", "▁bank"))
    context = "L'été 東京: the\tstone, at the bank."
    found = run({"question": "Which stone?", "context": context})
    assert list(found) == ["score", "start", "end", "answer"]
    # The question holds the token too, but no answer is there.
    assert found["answer"] == context[found["start"] : found["end"]] == "stone, at the bank"
    assert run(question="Which stone?", context=context) == found
    with pytest.raises(InputError, match="has no context"):
        run(question="Which stone?")


def test_white_space_around_an_answer_is_left_out(make, small_byte_tokenizer):
    context = "The stone \u00a0 is old.\t"  # tokens of v1 cover the space that does not break, and the tabulator
    run = make(QuestionAnsweringPipeline, asked("Â", "ĉ"), tokenizer=small_byte_tokenizer)
    found = run({"question": "Which?", "context": context})
    assert (found["answer"], found["start"], found["end"]) == ("is old.", 12, 19)


def test_white_space_has_no_say_in_words(make, small_byte_tokenizer):
    """v1 has tokens for it, which belong to no word."""
    tokens = small_byte_tokenizer.tokenize("stone  \t")
    rows = [[0, 1, 0, 0, 0]] * (len(tokens) - 3) + [[0, 0, 0.6, 0, 0.4]] * 3
    run = make(
        TokenClassificationPipeline, lambda _: probabilities(CERTAIN, *rows, CERTAIN), tokenizer=small_byte_tokenizer
    )
    for strategy in ("first", "average", "max"):
        (found,) = run("stone  \t", aggregation_strategy=strategy)
        assert (found["word"], found["score"]) == ("stone", 1.0)


def test_scores_are_products_of_probabilities(make):
    run = make(QuestionAnsweringPipeline, asked("▁stone", "▁stone", nothing=2.0))
    # Context: four tokens and the context token, with the logits 2 and 9 and 0, 0, 0.
    found = run({"question": "Where?", "context": "stone with money bank"})
    probability = np.exp(9) / (np.exp(9) + np.exp(2) + 3)
    assert_close(np.array(found["score"]), np.array(probability**2), quantity="logits", name="score")


def test_an_answer_in_the_last_window(make, context, asked_for_giants):
    giant = context.index("giant")
    for stride in (None, 0, 20):
        run = make(QuestionAnsweringPipeline, asked_for_giants(), doc_stride=stride)
        found = run({"question": "Who sleeps there?", "context": context})
        assert (found["start"], found["end"], found["answer"]) == (giant, giant + 5, "giant")
    both = run([{"question": "Who sleeps there?", "context": context}, {"question": "Who?", "context": "The giant."}])
    assert [one["answer"] for one in both] == ["giant", "giant"]


def test_several_answers(make, context, asked_for_giants):
    run = make(QuestionAnsweringPipeline, asked_for_giants())
    example = {"question": "Who sleeps there?", "context": context}
    found = run(example, top_k=4)
    assert len(found) == 4
    assert found[0]["answer"] == "giant"
    spans = [(one["start"], one["end"]) for one in found]
    assert len(set(spans)) == 4  # windows overlap, answers are given once
    assert scores(found).tolist() == sorted(scores(found), reverse=True)
    assert all(one["answer"].strip() == one["answer"] != "" for one in found)


def test_no_answer(make, context, asked_for_giants):
    example = {"question": "Who sleeps there?", "context": context}
    run = make(QuestionAnsweringPipeline, asked_for_giants(nothing=7.0))
    # One window is sure of an answer, so that the whole context has one.
    assert run(example, handle_impossible_answer=True)["answer"] == "giant"
    run = make(QuestionAnsweringPipeline, asked("no", "no", nothing=7.0))
    found = run(example, handle_impossible_answer=True)
    assert (found["answer"], found["start"], found["end"]) == ("", 0, 0)
    assert run(example)["answer"] != ""
    assert [one["answer"] == "" for one in run(example, top_k=3, handle_impossible_answer=True)] == [True, False, False]


def test_answers_are_short(make):
    run = make(QuestionAnsweringPipeline, asked("▁stone", "▁bank"))
    example = {"question": "Which?", "context": "stone with money bank"}
    assert run(example)["answer"] == "stone with money bank"
    assert run(example, max_answer_len=4)["answer"] == "stone with money bank"
    assert len(run(example, max_answer_len=3)["answer"].split()) < 4


def test_answers_do_not_end_before_they_begin(make):
    run = make(QuestionAnsweringPipeline, asked("▁bank", "▁stone"))
    found = run({"question": "Which?", "context": "stone with money bank"}, top_k=20)
    assert all(one["start"] < one["end"] for one in found)
    assert len(found) == 4 + 3 + 2 + 1


def test_a_question_may_not_fill_the_window(make, context, asked_for_giants):
    run = make(QuestionAnsweringPipeline, asked_for_giants())
    with pytest.raises(InputError, match="max_length=64"):
        run({"question": context, "context": context})


@pytest.mark.parametrize("name", ["top_k", "max_answer_len", "max_seq_len", "doc_stride"])
def test_wrong_options_of_answers(make, name):
    with pytest.raises(InputError, match=f"{name}=-1 is not allowed"):
        make(QuestionAnsweringPipeline, None, **{name: -1})
