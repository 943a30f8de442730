"""`deberta finetune`: bad usage is refused before anything is trained; what is trained is read by `deberta run`."""

import io
import json
import math
import shutil
from dataclasses import fields

import pytest

pytest.importorskip("torch")

from deberta_core import DebertaV2Config, InputError
from deberta_dual import pipeline
from deberta_dual.cli import main
from deberta_dual.commands.finetune import RECIPE_OPTIONS, TRAINING_OPTIONS
from deberta_dual.finetuning import TrainingOptions
from deberta_dual.finetuning.folder import RunFolder

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 48,
    "position_buckets": 8,
}
TOPICS = ("water", "people")


def settings(sizes):
    return [f"{name}={value}" for name, value in sizes.items()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, prose, small_tokenizer):
    """A vocabulary, and files of examples: `train.csv`, and `dev.jsonl` with other names."""
    folder = tmp_path_factory.mktemp("data")
    small_tokenizer.save_pretrained(folder / "vocabulary")
    labels = [TOPICS[len(text) % 2] for text in prose]
    quoted = ['"' + text.replace('"', '""') + '"' for text in prose]
    lines = [f"{text},{label}" for text, label in zip(quoted, labels, strict=True)]
    (folder / "train.csv").write_text("\n".join(["sentence,topic", *lines]), encoding="utf-8-sig")
    rows = [{"sentence": text, "topic": label.upper()} for text, label in zip(prose, labels, strict=True)]
    (folder / "dev.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "unseen.csv").write_text('sentence,topic\n"A, b",water\nc,stones\n')
    (folder / "one.csv").write_text("sentence,topic\na,water\nb,water\n")
    (folder / "words.conll").write_text("a\tO\nb\tB-x\n")
    DebertaV2Config(vocab_size=len(small_tokenizer), **SIZES).save_pretrained(folder / "model")
    small_tokenizer.save_pretrained(folder / "model")
    return folder


@pytest.fixture
def run(folder, tmp_path, monkeypatch, capsys):
    """Runs the command on the fixed data: status, rows, lines of errors. A None leaves a flag out."""
    monkeypatch.chdir(folder)

    def call(*more, **flags):
        given = {
            "task": "text-classification",
            "data": "train.csv",
            "columns": ["text=sentence", "label=topic"],
            "preset": "deberta-v3-small",
            "tokenizer": "vocabulary",
            "config": settings(SIZES),
            "output": tmp_path / "out",
            "device": "cpu",
        } | flags
        arguments = []
        for name, value in given.items():
            values = value if isinstance(value, list) else [value]
            arguments += [] if value is None else [f"--{name.replace('_', '-')}", *map(str, values)]
        status = main(["finetune", *arguments, *more])
        out, err = capsys.readouterr()
        return status, [json.loads(line) for line in out.splitlines()], err.splitlines()

    return call


# Flags that are given otherwise, the exit status, and what the one line of the error says.
WRONG = {
    "task": ({"task": "summarisation"}, 2, "argument --task: invalid choice: 'summarisation'"),
    "no data": ({"data": None}, 2, "the following arguments are required: --data"),
    "no output": ({"output": None}, 2, "required: --output"),
    "pair": ({"columns": ["sentence"]}, 2, "--columns: 'sentence' is no ROLE=COLUMN"),
    "clip": ({"clip": "short"}, 2, "argument --clip: 'short' is neither a number nor 'none'"),
    "dtype": ({"dtype": "float16"}, 2, "argument --dtype: invalid choice"),
    "problem type": ({"problem_type": "ranking"}, 2, "argument --problem-type: invalid choice"),
    "file": ({"data": "nowhere.csv"}, 1, "nowhere.csv does not exist. Give a file of examples."),
    "epochs": ({"epochs": 0}, 1, "epochs=0 is not allowed. Give an int of 1 or more"),
    "no start": ({"preset": None}, 1, "neither of model and preset were given"),
    "two starts": ({"model": "model"}, 1, "both of model and preset were given"),
    "preset": ({"preset": "deberta-v9"}, 1, "preset='deberta-v9' is unknown. Use one of: deberta-base"),
    "no vocabulary": ({"tokenizer": None}, 1, "give either tokenizer or vocab_size"),
    "two vocabularies": ({"vocab_size": 300}, 1, "give either tokenizer or vocab_size"),
    "new vocabulary": ({"preset": None, "model": "model", "vocab_size": 300}, 1, "a checkpoint has a vocabulary"),
    "field": ({"config": ["hidden=8"]}, 1, "field='hidden' is unknown. Use one of: vocab_size, hidden_size"),
    "field's value": ({"config": ["hidden_size=big"]}, 1, "hidden_size='big' is not allowed"),
    "model's field": ({"preset": None, "model": "model", "config": ["hidden=8"]}, 1, "has no field hidden"),
    "entry": ({"columns": ["text=sentence", "words=topic"]}, 1, "'words' is nothing that text-classification reads"),
    "column": (
        {"columns": ["text=body"]},
        1,
        "train.csv, line 2: there is no column 'body'. There are: sentence, topic",
    ),
    "no columns": ({"columns": None}, 1, "train.csv, line 2: there is no 'label', but: text, topic. Say which"),
    "patience": ({"patience": 2}, 1, "patience=2 needs examples to judge the model by. Give evaluation data"),
    "short": ({"max_length": 0}, 1, "max_length=0 is not allowed. Give an int of 8 or more"),
    "long": (
        {"max_length": 49, "config": [*settings(SIZES), "position_biased_input=true"]},
        1,
        "max_length=49 is more",
    ),
    "class weights": ({"class_weights": ["people=1", "water"]}, 2, "--class-weights water: give 'balanced', CLASS"),
    "file of class weights": (
        {"class_weights": "even.json"},
        1,
        "even.json does not exist. --class-weights: give '",
    ),
    "teacher in output": ({"teacher": "model", "output": "model", "force": []}, 1, "model is in output='model'"),
    "data in output": ({"output": ".", "force": []}, 1, "train.csv is in output='.', whose model is replaced"),
    "file as output": ({"output": "dev.jsonl"}, 1, "output='dev.jsonl' is a file. Give a folder"),
    "used output": ({"output": "vocabulary", "tokenizer": "model"}, 1, "is not empty. Pass --force to replace it"),
    "no run": ({"output": "vocabulary", "tokenizer": "model", "resume": []}, 1, "no run to resume"),
    "one class": ({"data": "one.csv"}, 1, "All labels are 'water'. There must be at least two classes"),
    "no numbers": ({"problem_type": "regression"}, 1, "is no number. Regression learns finite numbers"),
    "other task": (
        {"task": "token-classification", "data": "words.conll", "columns": None, "problem_type": "regression"},
        1,
        "problem_type='regression' is for text-classification alone",
    ),
}


@pytest.mark.parametrize(("flags", "status", "message"), WRONG.values(), ids=WRONG)
def test_bad_usage_is_one_line(run, folder, tmp_path, flags, status, message):
    before = sorted(folder.rglob("*"))
    found, rows, errors = run(**flags)
    assert (found, rows) == (status, [])
    (line,) = [line for line in errors if not line.startswith("deberta: note: columns are read as")]
    assert line.startswith("deberta: error: ")
    assert message in line
    assert sorted(folder.rglob("*")) == before
    assert not (tmp_path / "out").exists()


def test_every_option_of_training_is_a_flag(run):
    assert {*TRAINING_OPTIONS, *RECIPE_OPTIONS} == {field.name for field in fields(TrainingOptions)}


def test_class_weights_are_given_here_or_in_a_file(run, tmp_path):
    file = tmp_path / "weights.json"
    file.write_text('{"people": 1, "Water": 2.5}')
    given = {"here": ["people=1", "Water=2.5"], "file": file, "none": None}
    rows = {name: run(class_weights=own, output=tmp_path / name, epochs=1)[1] for name, own in given.items()}
    assert rows["here"][0]["loss"] == rows["file"][0]["loss"] != rows["none"][0]["loss"]


def test_help_names_the_defaults(capsys):
    assert main(["finetune", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for part in (
        "peak learning rate; default: 2e-5",
        "number of epochs; default: 3",
        "choices, label (the number from 0",
    ):
        assert part in text


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A run on the prose: its folder."""
    output = tmp_path_factory.mktemp("run") / "classifier"
    files = {"data": "train.csv", "eval-data": "dev.jsonl", "test-data": "dev.jsonl", "tokenizer": "vocabulary"}
    paths = [word for name, file in files.items() for word in (f"--{name}", str(folder / file))]
    start = ["--preset", "deberta-v3-small", "--config", *settings(SIZES)]
    options = [
        "--epochs",
        "2",
        "--batch-size",
        "4",
        "--learning-rate",
        "1e-2",
        "--layer-decay",
        "0.9",
        "--clip",
        "none",
    ]
    columns = ["--columns", "text=sentence", "label=topic"]
    task = ["--task", "text-classification", "--framework", "torch", "--device", "cpu", "--output", str(output)]
    assert main(["finetune", *task, *paths, *start, *options, *columns]) == 0
    return output


def test_what_is_trained_is_told(trained):
    *rows, last = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [(row["step"], row["epoch"]) for row in rows] == [(4, 1), (8, 2)]
    assert all(math.isfinite(row["loss"]) and row["tokens_per_second"] > 0 for row in rows)
    assert all({"eval_accuracy", "eval_f1", "learning_rate"} <= set(row) for row in rows)
    assert sorted(last) == ["test_accuracy", "test_f1"]
    best = max(rows, key=lambda row: row["eval_accuracy"])
    assert last["test_accuracy"] == best["eval_accuracy"]  # the same data


def test_the_folder_holds_a_model_and_no_state(trained, small_tokenizer):
    assert {"config.json", "model.safetensors", "metrics.jsonl", "tokenizer_config.json"} <= {
        path.name for path in trained.iterdir()
    }
    assert not [path for path in trained.iterdir() if path.is_dir() or path.name.startswith(".")]
    config = DebertaV2Config.from_pretrained(trained)
    assert config.id2label == {0: "people", 1: "water"}
    assert (config.problem_type, config.hidden_size) == ("single_label_classification", SIZES["hidden_size"])
    assert config.vocab_size == len(small_tokenizer)


def test_the_card_tells_what_the_model_is(trained):
    card = (trained / "README.md").read_text()
    last = json.loads((trained / "metrics.jsonl").read_text().splitlines()[-1])
    assert card.startswith("---\nlibrary_name: deberta-dual\npipeline_tag: text-classification\n")
    assert f"| test_accuracy | {last['test_accuracy']:.4f} |" in card
    assert "* classes: people, water" in card
    assert "fresh weights of the size deberta-v3-small in PyTorch" in card
    assert "* layer_decay: 0.9" in card


def test_run_and_pipeline_read_the_folder(trained, prose, monkeypatch, capfdbinary):
    lines = "".join(json.dumps({"text": text}) + "\n" for text in prose)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    assert main(["run", "--task", "text-classification", "--model", str(trained), "--device", "cpu"]) == 0
    told = [json.loads(line)["label"] for line in capfdbinary.readouterr().out.splitlines()]
    classify = pipeline("text-classification", trained, framework="torch", device="cpu")
    assert told == [result["label"] for result in classify(prose)]
    expected = [TOPICS[len(text) % 2] for text in prose]
    (*_, last) = (json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines())
    right = sum(one == other for one, other in zip(told, expected, strict=True))
    assert right / len(prose) == pytest.approx(last["test_accuracy"])


@pytest.mark.parametrize("name", ["sub/thesis.txt", "thesis.txt"])
def test_force_keeps_what_is_no_checkpoints(run, tmp_path, name):
    file = tmp_path / "out" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    for flags in ({"force": []}, {"force": [], "resume": []}):
        status, _, errors = run(**flags)
        assert (status, len(errors)) == (1, 1)
        assert f"is no checkpoint folder, so --force does not replace it: it holds {name}" in errors[0]
    assert file.read_text() == "mine"


def test_the_old_model_lives_until_there_is_a_new_one(run, trained, tmp_path, monkeypatch):
    """And the old run's end is not taken for that of the new one."""
    shutil.copytree(trained, tmp_path / "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in ("model.safetensors", "spm.model")}

    def stop(*arguments):
        raise InputError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", stop)
        assert run(force=[], epochs=1)[::2] == (1, ["deberta: error: stopped"])
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before
    status, rows, _ = run(resume=[], epochs=1)
    assert (status, [row.get("epoch") for row in rows]) == (0, [1, None])  # the last one scores the training data
    assert (tmp_path / "out" / "model.safetensors").read_bytes() != before["model.safetensors"]


@pytest.mark.filterwarnings("always")
def test_a_finished_run_is_left_as_it_is(run, trained):
    before = {path: path.stat().st_mtime_ns for path in trained.iterdir()}
    status, rows, errors = run(output=trained, resume=[])
    assert (status, rows) == (0, [])
    assert errors == [f"deberta: warning: The run in {trained} is at its end; begin anew with --force."]
    assert {path: path.stat().st_mtime_ns for path in trained.iterdir()} == before


@pytest.mark.filterwarnings("always")
def test_a_checkpoint_that_does_not_fit(run, trained):
    status, _, errors = run(preset=None, model=trained, tokenizer=None, config="hidden_size=32")
    assert status == 1
    assert "The checkpoint does not fit the configuration: deberta.embeddings" in errors[-1]
