"""The recipe for personal data in letters: BIO labels, first tokens alone, line feeds as tokens; exact spans."""

import json

import pytest

from deberta_core import AutoTokenizer
from deberta_dual import TrainingOptions, finetune, pipeline
from tests.finetuning_data import QUIET, small_start

# As the data have them: words, whether a space follows each, and labels; line feeds are words without a name.
LETTERS = [
    (
        "Anna Lee|\n\n|12 Elm Street|\n|Old Town|\n\n|Write to| anna.lee@mail.org| .",
        "NAME|O|ADDRESS|in ADDRESS|in ADDRESS|O|O|MAIL|O",
    ),
    ("Dear Bob|,|\n|I am| Anna Lee|'s| sister|.|\n\n|Jo Ann", "O|O|O|O|NAME|O|O|O|O|NAME"),
]


def parts(letter):
    """The text, its words, their labels, and the gold entities by their characters."""
    texts, names = letter[0].split("|"), letter[1].split("|")
    words, labels, gold, text = [], [], [], ""
    for part, name in zip(texts, names, strict=True):
        goes_on, name = name.startswith("in "), name.removeprefix("in ")
        start = len(text) + len(part) - len(part.lstrip(" "))
        own = [part] if not part.strip() else part.split()
        words += own
        if name == "O":
            labels += ["O"] * len(own)
        else:
            labels += [f"I-{name}" if goes_on or number else f"B-{name}" for number in range(len(own))]
            if goes_on:
                gold[-1][2] = start + len(part.strip(" "))
            else:
                gold.append([name, start, start + len(part.strip(" "))])
        text += part
    return text, words, labels, [(name, text[start:end], start, end) for name, start, end in gold]


@pytest.fixture(scope="module", params=["torch", pytest.param("tf", marks=pytest.mark.slow)])
def trained(request, tmp_path_factory, small_tokenizer):
    pytest.importorskip("tensorflow" if request.param == "tf" else "torch")
    folder = tmp_path_factory.mktemp("letters")
    small_tokenizer.save_pretrained(folder / "plain")
    tokenizer = AutoTokenizer.from_pretrained(folder / "plain")
    assert tokenizer.add_tokens(["\n"]) == 1
    start = small_start(folder / "vocabulary", tokenizer, **QUIET)
    rows = [{"document": n, "tokens": parts(one)[1], "labels": parts(one)[2]} for n, one in enumerate(LETTERS)]
    (folder / "train.json").write_text(json.dumps(rows))
    training = TrainingOptions(epochs=80, batch_size=2, learning_rate=1e-2)
    where = {"framework": request.param, "device": "cpu"}
    last = finetune("token-classification", folder / "train.json", folder / "model", start, training, **where)[-1]
    assert last["train_f1"] == 1.0
    return pipeline("token-classification", folder / "model", **where)


@pytest.mark.parametrize("letter", LETTERS)
def test_spans_are_exact(trained, letter):
    text, words, labels, gold = parts(letter)
    found = trained(text)
    assert [(one["entity_group"], one["word"], one["start"], one["end"]) for one in found] == gold
    assert trained(text, label_scheme="iob2")["tags"] == labels
    assert [one["entity_group"] for one in trained({"words": words})] == [name for name, *_ in gold]


def test_line_feeds_are_seen(trained):
    """As words in training, as characters in running text: the same tokens for the model."""
    text, words, *_ = parts(LETTERS[0])
    options = trained.options
    given, running = (trained.prepare(one, options).rows[0].inputs["input_ids"] for one in ({"words": words}, text))
    assert given == running
    assert running.count(trained.tokenizer.convert_tokens_to_ids("\n")) == 5
