"""`deberta run`, in this process and in one of its own."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config
from deberta_core.checkpoint import save_weights
from deberta_dual import pipeline
from deberta_dual.cli import main
from deberta_dual.data.results import RESULTS
from deberta_dual.pipelines import PIPELINES

NLI = {0: "contradiction", 1: "entailment", 2: "neutral"}
# A parent that ignores SIGINT hands that down.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from deberta_dual.cli import main
from deberta_dual.data.results import RESULTS
sys.exit(main())
"""
PAIR = '{"text": "A soccer game with multiple people playing.", "text_pair": "Some people are playing a sport."}'


@pytest.fixture(scope="module")
def make_folder(small_tokenizer, random_weights, tmp_path_factory):
    """Makes a checkpoint folder of a model's task."""

    def make(task, **changes):
        folder = tmp_path_factory.mktemp("model")
        config = DebertaV2Config(
            vocab_size=len(small_tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            position_biased_input=False,
            **changes,
        )
        config.save_pretrained(folder)
        save_weights(folder, config, task, random_weights(config, task))
        small_tokenizer.save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def classifier(make_folder):
    return make_folder("sequence_classification", id2label=NLI)


@pytest.fixture
def run(monkeypatch, capfdbinary):
    """Runs the command in this process: status, lines of JSON, lines of errors."""

    def call(text, *arguments):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        status = main(["run", "--device", "cpu", *map(str, arguments)])
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err.decode().splitlines()

    return call


def start(*arguments, **options):
    """Starts the command as a process of its own."""
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", PROGRAM, "run", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, encoding="utf-8", **options)


def test_the_command_of_the_readme(classifier):
    """The literal command, in a shell, as its users type it."""
    shown = f"echo '{PAIR}' | deberta run --task text-classification --model DIR --device cpu"
    command = shown.replace("| deberta", f"| {sys.executable} -c '{PROGRAM}'").replace("DIR", str(classifier))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, shell=True, capture_output=True, encoding="utf-8", env=environment, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    expected = pipeline("text-classification", classifier, framework="torch", device="cpu")(json.loads(PAIR))
    assert json.loads(done.stdout) == {"line": 1, **expected}
    assert done.stdout.count("\n") == 1


def test_text_and_json_in_order(run, classifier, prose):
    text = "\n".join([*prose, json.dumps({"text": "L'été"}), "", '{"text": "é", "text_pair": "Geld"}'])
    status, results, errors = run(
        text, "--task", "text-classification", "--model", classifier, "--top-k", "all", "--batch-size", 3
    )
    assert (status, errors) == (0, [])
    direct = pipeline("text-classification", classifier, framework="torch", device="cpu", top_k=None, batch_size=3)
    found = direct([*prose, "L'été", {"text": "é", "text_pair": "Geld"}])
    rows = [{"line": number, "labels": labels} for number, labels in enumerate(found, 1)]
    assert results == [
        *rows[:-1],
        {"line": len(prose) + 2, "error": "blank line"},
        {**rows[-1], "line": len(prose) + 3},
    ]


OPTIONS = {
    "zero-shot-classification": (["--candidate-labels", "river,town", "--multi-label"], "The river."),
    "token-classification": (["--aggregation-strategy", "first", "--ignore-labels", "--stride", "3"], "The Zürich."),
    "question-answering": (
        ["--top-k", "2", "--handle-impossible-answer", "--doc-stride", "4", "--max-answer-len", "3"],
        '{"question": "Who?", "context": "The ferryman said so."}',
    ),
    "fill-mask": (["--top-k", "2", "--targets", "stone,mill"], "The [MASK] is old."),
    "masked-lm": (["--top-k", "2"], "The [MASK] is old."),
    "ranking": (["--function-to-apply", "none"], '{"query": "The river", "document": "It rises."}'),
    "reward": ([], '{"prompt": "What rises?", "text": "The river."}'),
    "multiple-choice": ([], '{"text": "The river", "choices": ["rises", "falls"]}'),
    "feature-extraction": ([], "The river."),
    "sentence-embeddings": (["--pooling", "max", "--normalize"], "The river."),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_task(run, make_folder, name):
    flags, line = OPTIONS[name]
    folder = make_folder(PIPELINES[name].model_task, id2label={0: "fits"} if name in ("ranking", "reward") else NLI)
    status, (result,), errors = run(line, "--task", name, "--model", folder, *flags)
    assert (status, errors) == (0, [])
    assert result.keys() - {"line"} <= {*RESULTS[name]}
    assert result["line"] == 1
    if name == "multiple-choice":
        assert result["choice"] == ("rises", "falls")[int(np.argmax(result["scores"]))]
        assert sum(result["scores"]) == pytest.approx(1)
    if "embedding" in result:
        assert len(result["embedding"]) == {"feature-extraction": 6, "sentence-embeddings": 16}[name]


def test_a_bad_line_stops_after_the_lines_before_it(run, classifier, prose):
    text = f'{prose[0]}\n{{"text": "a"\n{prose[1]}\n'
    status, results, errors = run(text, "--task", "text-classification", "--model", classifier)
    assert status == 1
    assert len(results) == 1
    assert len(errors) == 1
    assert errors[0].startswith("deberta: error: line 2: the line is no JSON: Expecting")


def test_bad_lines_are_answered_with_their_error(run, classifier, prose):
    lines = [prose[0], '{"text": "a"', "", '{"txt": "a", "id": 7}', '{"text": 5}', prose[1], '{"text": 6}']
    status, results, errors = run(
        "\n".join(lines), "--task", "text-classification", "--model", classifier, "--on-error", "skip"
    )
    assert status == 1
    assert [row["line"] for row in results] == [1, 2, 3, 4, 5, 6, 7]
    assert ["error" in row for row in results] == [False, True, True, True, True, False, True]
    assert results[2] == {"line": 3, "error": "blank line"}
    assert results[3].keys() == {"line", "error", "txt", "id"}
    assert [error.split(": ")[2] for error in errors] == ["line 2", "line 4", "line 5", "line 7"]


def test_what_is_not_read_is_handed_on(run, classifier, prose):
    text = json.dumps({"id": "a7", "text": prose[0], "label": "old", "score": 1, "line": 9, "error": None})
    status, (row,), _ = run(text, "--task", "text-classification", "--model", classifier)
    assert status == 0
    handed = {"id": "a7", "input_label": "old", "input_score": 1, "input_line": 9, "input_error": None}
    assert {name: row[name] for name in handed} == handed
    assert row.keys() - handed.keys() == {"line", "label", "score"}


TABLE = 'id,review,stars\n1,"A film, at last.",5\n2,"Two\nlines.",1\n'


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_a_table_in_and_a_table_out(run, classifier, tmp_path, ending):
    source, target = tmp_path / "test.csv", tmp_path / f"answers{ending}"
    source.write_text(TABLE)
    arguments = ["--task", "text-classification", "--model", classifier, "--input", source, "--output", target]
    status, _, errors = run("", *arguments)
    assert (status, errors) == (0, ["deberta: note: columns are read as text=review; --columns changes that."])
    if ending == ".parquet":
        rows = pytest.importorskip("pyarrow.parquet").read_table(target).to_pylist()
    elif ending == ".csv":
        rows = list(csv.DictReader(target.open(newline="")))
    else:
        rows = [json.loads(line) for line in target.read_text().splitlines()]
    direct = pipeline("text-classification", classifier, framework="torch", device="cpu")
    expected = direct(["A film, at last.", "Two\nlines."])
    assert [str(row["line"]) for row in rows] == ["2", "3"]
    assert [(row["id"], row["stars"], row["label"]) for row in rows] == [
        ("1", "5", expected[0]["label"]),
        ("2", "1", expected[1]["label"]),
    ]
    assert [float(row["score"]) for row in rows] == [one["score"] for one in expected]


def test_answers_of_several_files_name_theirs(run, classifier, tmp_path):
    files = [tmp_path / "a.csv", tmp_path / "b.jsonl"]
    files[0].write_text("text,file\na,x\n")
    files[1].write_text('{"text": "b"}\n{"body": "c"}\n')
    same = ["--task", "text-classification", "--model", classifier, "--input"]
    status, rows, errors = run("", *same, *files, "--on-error", "skip")
    assert (status, len(errors)) == (1, 1)
    assert [(row["file"], row["line"]) for row in rows] == [(str(files[0]), 2), (str(files[1]), 1), (str(files[1]), 2)]
    assert rows[0]["input_file"] == "x"
    assert f"{files[1]}, line 2: there is no 'text'" in errors[0]
    status, rows, errors = run("", *same, *files)
    assert (status, len(rows)) == (1, 2)
    assert f"{files[1]}, line 2: there is no 'text', which is text in what was read before" in errors[0]
    status, rows, _ = run("", *same, files[0])
    assert (rows[0]["file"], "input_file" in rows[0]) == ("x", False)


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_titles_alone_have_no_answers(run, classifier, tmp_path, ending):
    file, output = tmp_path / "titles.csv", tmp_path / f"answers{ending}"
    file.write_text("text,label\n")
    same = ["--task", "text-classification", "--model", classifier, "--input", file]
    assert run("", *same, "--output", output) == (0, [], [f"deberta: note: {file}: there is nothing to answer."])
    if ending == ".jsonl":
        assert output.read_bytes() == b""
    elif ending == ".csv":
        assert output.read_text() == "line,label,score,labels,error\n"
    else:
        assert pytest.importorskip("pyarrow.parquet").read_table(output).num_rows == 0


def test_a_table_of_another_encoding(run, classifier, tmp_path):
    file = tmp_path / "old.csv"
    file.write_text('text;Größe\n"Zürich\nliegt";5\n', encoding="latin-1")
    same = ["--task", "text-classification", "--model", classifier, "--input", file]
    status, rows, _ = run("", *same, "--encoding", "latin-1")
    assert (status, rows[0]["Größe"]) == (0, "5")
    assert run("", *same)[0] == 1


def test_resume_needs_a_file(run, classifier):
    status, _, errors = run("", "--task", "text-classification", "--model", classifier, "--resume")
    assert (status, len(errors)) == (2, 1)
    assert "--resume goes with --output FILE" in errors[0]


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
@pytest.mark.parametrize("cut", [0, 1, 30])
def test_a_killed_job_goes_on_behind_its_last_whole_line(run, classifier, prose, tmp_path, ending, cut):
    source, target = tmp_path / "in.txt", tmp_path / f"out{ending}"
    source.write_text("\n".join(prose[:4]), encoding="utf-8")
    arguments = ["--task", "text-classification", "--model", classifier, "--input", source, "--output", target]
    assert run("", *arguments)[0] == 0
    whole = target.read_bytes()
    score = re.compile(rb"0\.\d+")
    part = tmp_path / f"{target.name}.part"
    part.write_bytes(whole[: len(whole) // 2 + cut])
    target.unlink()
    assert run("", *arguments, "--resume")[0] == 0
    # How scores round depends on the batch.
    assert [score.sub(b"", line) for line in target.read_bytes().splitlines()] == [
        score.sub(b"", line) for line in whole.splitlines()
    ]
    assert not part.exists()


def test_sentences_of_conll_and_questions_of_squad(run, make_folder, tmp_path):
    folder = make_folder("token_classification", id2label={0: "O", 1: "B-X", 2: "I-X"})
    source = tmp_path / "test.conll"
    source.write_text("The O\nriver B-X\n\nNew B-X\nYork I-X\n")
    status, rows, _ = run("", "--task", "token-classification", "--model", folder, "--input", source)
    assert (status, [row["line"] for row in rows]) == (0, [1, 4])
    assert [row["labels"] for row in rows] == [["O", "B-X"], ["B-X", "I-X"]]
    squad = {
        "data": [{"paragraphs": [{"context": "In May.", "qas": [{"id": "q1", "question": "When?", "answers": []}]}]}]
    }
    source = tmp_path / "dev.json"
    source.write_text(json.dumps(squad))
    folder = make_folder("question_answering")
    status, (row,), _ = run("", "--task", "question-answering", "--model", folder, "--input", source)
    assert (status, row["id"], row["answers"]) == (0, "q1", [])
    assert {"answer", "score", "start", "end"} <= row.keys()


def test_files_in_and_out(run, classifier, prose, tmp_path):
    source, target = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("\n".join(prose), encoding="utf-8")
    arguments = ["--task", "text-classification", "--model", classifier, "--input", source, "--output", target]
    assert run("", *arguments) == (0, [], [])
    assert len(target.read_text(encoding="utf-8").splitlines()) == len(prose)
    before = target.read_bytes()
    source.write_text("{\n", encoding="utf-8")
    assert run("", *arguments)[0] == 1
    assert target.read_bytes() == before  # whole or untouched
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in.txt", "out.jsonl", "out.jsonl.part"]
    source.unlink()
    status, _, errors = run("", *arguments)
    assert status == 1
    assert "in.txt" in errors[0]


@pytest.mark.filterwarnings("default::deberta_core.errors.DebertaWarning")
def test_what_is_cut_is_said_in_a_line(run, classifier, prose):
    status, results, errors = run(
        " ".join(prose), "--task", "text-classification", "--model", classifier, "--max-length", 20
    )
    assert (status, len(results), len(errors)) == (0, 1, 1)
    assert errors[0].startswith("deberta: warning: A text has ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "text-classification"], "--model"),
        (["--task", "sentiment", "--model", "x"], "invalid choice: 'sentiment'"),
        (["--task", "text-classification", "--model", "x", "--pooling", "mean"], "--pooling is not for text-class"),
        (["--task", "zero-shot-classification", "--model", "x"], "needs --candidate-labels"),
        (["--task", "fill-mask", "--model", "x", "--top-k", "some"], "'some' is neither a number nor 'all'"),
    ],
)
def test_bad_usage(run, arguments, message):
    status, results, (error,) = run("", *arguments)
    assert (status, results) == (2, [])
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "fill-mask", "--top-k", "all"], "top_k=None is not allowed"),
        (["--task", "fill-mask"], "cannot do fill-mask: it has no cls.predictions"),
        (["--task", "text-classification", "--batch-size", "0"], "batch_size=0 is not allowed"),
        (["--task", "text-classification", "--dtype", "float7"], "float7"),
        (["--task", "text-classification", "--input", "nowhere.txt"], "error: nowhere.txt does not exist. Give a file"),
    ],
)
def test_errors_are_one_line(run, classifier, arguments, message):
    status, results, (error,) = run("The river.", *arguments, "--model", classifier)
    assert (status, results) == (1, [])
    assert error.startswith("deberta: error: ")
    assert message in error


def test_a_reader_may_leave_early(classifier, prose, tmp_path):
    source = tmp_path / "in.txt"
    source.write_text("\n".join(prose * 400), encoding="utf-8")
    arguments = ["--task", "text-classification", "--model", classifier, "--input", source, "--batch-size", 4]
    process = start(*arguments, stdout=subprocess.PIPE)
    assert json.loads(process.stdout.readline())
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=300) == 0


def test_an_interrupt_ends_it(classifier, prose):
    """As Ctrl-C does, and with all results of whole windows written."""
    process = start(
        *["--task", "text-classification", "--model", classifier, "--batch-size", 1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    process.stdin.write("\n".join(prose * 2) + "\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())  # it is at work, and waits for more
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    assert err == "deberta: error: interrupted, nothing half-written was left\n"
    assert all(json.loads(line) for line in out.splitlines())


@pytest.fixture
def tensorflow():
    """TensorFlow, which writes to the screen when it is imported: before that is looked at."""
    return pytest.importorskip("tensorflow")


def test_both_frameworks(tensorflow, run, classifier, prose):
    arguments = ["--task", "text-classification", "--model", classifier, "--framework"]
    text = "\n".join(prose[:3])
    (status, ours, errors), (_, theirs, _) = run(text, *arguments, "tf"), run(text, *arguments, "torch")
    assert (status, errors) == (0, [])
    assert [one["label"] for one in ours] == [one["label"] for one in theirs]
    scores, expected = (np.array([one["score"] for one in results]) for results in (ours, theirs))
    assert_close(scores, expected, quantity="pipeline", name="scores")
