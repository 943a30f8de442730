"""Schemes of labels: read whatever they are, written as one asks, and learnt in one that the data do not have."""

import json

import pytest

from deberta_core.errors import InputError
from deberta_dual.cli import main
from deberta_dual.data.formats import read_files
from deberta_dual.evaluation.entities import SCHEMES, entities, in_scheme, labels_of
from tests.finetuning_data import QUIET, SIZES

# One text, by hand: an entity of one word, two neighbours of one name, and one of three words.
WRITTEN = {
    "io": "I-X O I-X I-X I-X I-Y I-Y I-Y O",
    "iob1": "I-X O I-X I-X B-X I-Y I-Y I-Y O",
    "iob2": "B-X O B-X I-X B-X B-Y I-Y I-Y O",
    "bilou": "U-X O B-X L-X U-X B-Y I-Y L-Y O",
    "bioes": "S-X O B-X E-X S-X B-Y I-Y E-Y O",
}


def test_all_schemes_are_here():
    assert {*WRITTEN} == {*SCHEMES}


@pytest.mark.parametrize("source", [scheme for scheme in SCHEMES if scheme != "io"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_one_scheme_from_another(source, scheme):
    assert in_scheme(WRITTEN[source].split(), scheme) == WRITTEN[scheme].split()


def test_io_has_no_neighbours():
    assert in_scheme(WRITTEN["io"].split(), "iob2") == ["B-X", "O", "B-X", "I-X", "I-X", "B-Y", "I-Y", "I-Y", "O"]
    assert in_scheme(["X", "X", "O", "Y"], "bilou") == ["B-X", "L-X", "O", "U-Y"]


def test_of_entities_that_overlap_the_first_is_taken():
    labels = labels_of([("Y", 1, 3), ("X", 0, 2), ("Z", 0, 1)], 4, "iob2")
    assert entities(labels) == {("X", 0, 2), ("Y", 2, 3)}


@pytest.fixture(scope="module")
def files(tmp_path_factory, small_tokenizer):
    """Sentences in IOB1, in which they must be told apart, and a vocabulary."""
    folder = tmp_path_factory.mktemp("schemes")
    small_tokenizer.save_pretrained(folder / "vocabulary")
    rows = ["Anna I-PER\nBob B-PER\nruns O\n. O", "In O\nthe O\nOld I-LOC\nTown I-LOC\nshe O\nsings O"]
    (folder / "train.conll").write_text("\n\n".join(rows) + "\n", encoding="utf-8")
    (folder / "in_iob2.conll").write_text("\n\n".join(rows).replace("I-PER", "B-PER").replace("Old I", "Old B") + "\n")
    return folder


def test_a_scheme_is_learnt_judged_and_written(files, capfd):
    pytest.importorskip("torch")
    same = ["--task", "token-classification", "--framework", "torch", "--device", "cpu"]
    config = [f"{name}={value}" for name, value in {**SIZES, **QUIET}.items()]
    start = ["--preset", "deberta-v3-small", "--tokenizer", str(files / "vocabulary"), "--config", *config]
    settings = ["--epochs", "60", "--batch-size", "2", "--learning-rate", "1e-2", "--label-scheme", "bilou"]
    model, data = str(files / "model"), str(files / "train.conll")
    assert main(["finetune", *same, *start, *settings, "--data", data, "--output", model]) == 0
    last = json.loads(capfd.readouterr().out.splitlines()[-1])
    names = json.loads((files / "model/config.json").read_text())["id2label"].values()
    assert {*names} == {"O", "U-PER", "B-LOC", "L-LOC"}
    for file in ("train.conll", "in_iob2.conll"):  # whatever the scheme of the data
        assert main(["evaluate", *same, "--model", model, "--data", str(files / file)]) == 0
        found = json.loads(capfd.readouterr().out)
        assert (found["f1"], found["accuracy"]) == (1.0, 1.0) == (last["train_f1"], last["train_accuracy"])
    output = files / "found.conll"
    assert main(["run", *same, "--model", model, "--input", data, "--output", str(output)]) == 0
    assert [record.values for record in read_files(output)] == [
        record.values for record in read_files(files / "in_iob2.conll")
    ]
    assert main(["run", *same, "--model", model, "--input", data, "--label-scheme", "iob1"]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    wanted = [record.values for record in read_files(files / "train.conll")]
    assert [row["words"] for row in rows] == [one["words"] for one in wanted]
    assert [row["tags"] for row in rows] == [one["labels"] for one in wanted]


def test_words_of_running_text_have_tags(files):
    pytest.importorskip("torch")
    from deberta_dual import pipeline

    find = pipeline("token-classification", files / "model", framework="torch", device="cpu", label_scheme="iob2")
    found = find("In the Old Town she sings")
    assert found["words"] == ["In", "the", "Old", "Town", "she", "sings"]
    assert found["tags"] == ["O", "O", "B-LOC", "I-LOC", "O", "O"]
    assert find(" ") == {"words": [], "tags": [], "entities": []}


def test_an_unknown_scheme(files):
    pytest.importorskip("torch")
    from deberta_dual import finetune, pipeline
    from tests.finetuning_data import small_start

    with pytest.raises(InputError, match="label_scheme='ioe' is unknown"):
        pipeline("token-classification", files / "model", framework="torch", device="cpu", label_scheme="ioe")
    start = small_start(files / "vocabulary", None)
    for task, message in (
        ("token-classification", "'ioe' is unknown"),
        ("masked-lm", "for token-classification alone"),
    ):
        rows = [{"words": ["a"], "labels": ["O"], "text": "a"}] * 2
        with pytest.raises(InputError, match=message):
            finetune(task, rows, files / "other", start, label_scheme="ioe", framework="torch", device="cpu")
    rows = [{"words": ["a", "b"], "labels": [0, 1]}]
    with pytest.raises(InputError, match="are no names, and label_scheme='io' is of names"):
        finetune("token-classification", rows, files / "other", start, label_scheme="io", framework="torch")


def test_conll_is_written_of_tokens_alone(files, tmp_path, capfd):
    pytest.importorskip("torch")
    same = ["run", "--model", str(files / "model"), "--framework", "torch", "--device", "cpu"]
    output = ["--output", str(tmp_path / "found.conll")]
    assert main([*same, "--task", "text-classification", *output]) == 2
    assert "--output FILE.conll is for token-classification" in capfd.readouterr().err
    file = tmp_path / "words.jsonl"
    file.write_text('{"words": ["New York"]}\n')
    assert main([*same, "--task", "token-classification", "--input", str(file), *output]) == 1
    assert "the word 'New York' cannot stand in CoNLL" in capfd.readouterr().err
    file.write_text('{"words": ["Anna"]}\n{"words": 5}\n')
    assert main([*same, "--task", "token-classification", "--input", str(file), *output, "--on-error", "skip"]) == 1
    text = (tmp_path / "found.conll").read_text()
    assert text.startswith("Anna\t")
    assert "\n\n# line 2: words=5 are not allowed" in text
    (tmp_path / "found.conll.part").write_text(text)
    assert main([*same, "--task", "token-classification", "--input", str(file), *output, "--resume"]) == 1
    assert "such a file cannot be resumed" in capfd.readouterr().err
