"""What a word of running text is, and that a model trained on words finds its entities in running text."""

import json

import pytest

from deberta_core import InputError
from deberta_dual.cli import main
from deberta_dual.data.formats import read_files
from deberta_dual.data.words import choose_rule, join_words, split_words, words_of_tokens
from tests.finetuning_data import QUIET, SIZES

TEXT = "Anna Weber's father, who didn't stay in the U.S., paid 3,50 for a well-kept map (of Port Louis)."
SPLIT = {
    "unicode": "Anna Weber ' s father , who didn ' t stay in the U . S . , paid 3 , 50 for a well - kept map ( of "
    "Port Louis ) .",
    "penn": "Anna Weber 's father , who did n't stay in the U.S. , paid 3,50 for a well-kept map ( of Port Louis ) .",
    "spaces": TEXT,
}


@pytest.mark.parametrize("rule", SPLIT)
def test_rules(rule):
    assert [TEXT[start:end] for start, end in split_words(TEXT, rule)] == SPLIT[rule].split()
    assert choose_rule([SPLIT[rule].split()] * 2) == rule
    assert split_words("", rule) == split_words(" \n", rule) == []


def test_marks_and_joiners_are_in_their_words():
    text = "U\u0308ber हिन्दी, é!"
    assert [text[start:end] for start, end in split_words(text, "unicode")] == ["U\u0308ber", "हिन्दी", ",", "é", "!"]


def test_running_text_of_words():
    assert join_words(SPLIT["penn"].split()) == TEXT


@pytest.mark.parametrize(("name", "rule"), [("emerging.test.annotated", "penn"), ("wnut17train.conll", "penn")])
def test_the_rule_of_real_data(shared, name, rule):
    file = shared / "data" / "datasets" / "wnut17" / name
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    assert choose_rule([record.values["words"] for record in read_files(file)]) == rule


def test_words_of_tokens():
    text = "Port Louis."
    assert words_of_tokens(text, [(0, 4), (4, 8), (8, 10), (10, 11), (11, 11)]) == [0, 1, 1, 2, None]
    assert words_of_tokens("a 東", [(0, 0), (0, 1), (1, 2), (2, 2), (2, 3)]) == [0, 0, 1, 1, 1]


# Words and labels, as Penn's rule has them: names beside punctuation and clitics.
SENTENCES = [
    ("Anna Weber 's boat left Port Louis .", "B-PER I-PER O O O B-LOC I-LOC O"),
    ("In Paris , Jean ( Paul Moreau ) did n't speak .", "O B-LOC O B-PER O B-PER I-PER O O O O O"),
    ("The U.S. bought well-kept maps of Oslo , Bergen and Rome .", "O B-LOC O O O O B-LOC O B-LOC O B-LOC O"),
    ("We saw Lee , Ann and Bob .", "O O B-PER O B-PER O B-PER O"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_tokenizer):
    """A model that knows these sentences by heart, trained by the command on a file of CoNLL."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("ner")
    small_tokenizer.save_pretrained(folder / "vocabulary")
    rows = [
        "\n".join(f"{word} {label}" for word, label in zip(words.split(), labels.split(), strict=True))
        for words, labels in SENTENCES
    ]
    (folder / "train.conll").write_text("\n\n".join(rows) + "\n")
    config = [f"{name}={value}" for name, value in {**SIZES, **QUIET}.items()]
    settings = [
        "--epochs",
        "60",
        "--batch-size",
        "4",
        "--learning-rate",
        "1e-2",
        "--framework",
        "torch",
        "--device",
        "cpu",
    ]
    data = ["--data", str(folder / "train.conll"), "--output", str(folder / "model")]
    start = ["--preset", "deberta-v3-small", "--tokenizer", str(folder / "vocabulary"), "--config", *config]
    assert main(["finetune", "--task", "token-classification", *data, *start, *settings]) == 0
    return folder / "model"


def gold(words, labels):
    """The entities of running text by their characters."""
    words, labels, text, place, found = words.split(), labels.split(), join_words(words.split()), 0, []
    for word, label in zip(words, labels, strict=True):
        place = text.index(word, place)
        if label.startswith("B-"):
            found.append([label[2:], place, place + len(word)])
        elif label.startswith("I-"):
            found[-1][2] = place + len(word)
        place += len(word)
    return [(name, text[start:end], start, end) for name, start, end in found]


def test_running_text_has_the_entities_of_its_words(trained):
    from deberta_dual import pipeline

    find = pipeline("token-classification", trained, framework="torch", device="cpu")
    for words, labels in SENTENCES:
        for result in (find(join_words(words.split())), find("  " + join_words(words.split()) + "\n")):
            spaces = 0 if result[0]["start"] == gold(words, labels)[0][2] else 2
            found = [(one["entity_group"], one["word"], one["start"] - spaces, one["end"] - spaces) for one in result]
            assert found == gold(words, labels)
    assert find(" ") == []


def test_the_file_and_its_words_agree(trained, capfd):
    file = trained.parent / "train.conll"
    task = ["--task", "token-classification", "--model", str(trained), "--framework", "torch", "--device", "cpu"]
    assert main(["evaluate", *task, "--data", str(file)]) == 0
    assert json.loads(capfd.readouterr().out)["f1"] == 1.0
    assert main(["run", *task, "--input", str(file)]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    for row, (words, labels) in zip(rows, SENTENCES, strict=True):
        found = [(one["entity_group"], one["word"].split()) for one in row["entities"]]
        assert [name for name, _ in found] == [name for name, *_ in gold(words, labels)]
        assert all(set(part) <= set(words.split()) for _, part in found)


def test_an_unknown_rule(trained):
    from deberta_dual import pipeline

    with pytest.raises(InputError, match=r"word_rule='chinese' is unknown\. Use one of: unicode, penn, spaces"):
        pipeline("token-classification", trained, framework="torch", device="cpu", word_rule="chinese")
