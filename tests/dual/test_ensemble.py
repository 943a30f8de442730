"""Several models as one: the mean of their probabilities, in both frameworks, or a refusal that names both."""

import json

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core import InputError
from deberta_core.checkpoint import save_weights
from deberta_core.tokenization import DebertaV2Tokenizer
from deberta_dual import evaluate, pipeline
from deberta_dual.backends import get_backend
from deberta_dual.commands.run import main as run_command
from deberta_dual.data.words import CONFIG_KEY
from tests.finetuning_data import write_examples

CLASSES = ("even", "long", "short")
HEADS = {
    "text-classification": ("sequence_classification", {"id2label": dict(enumerate(CLASSES))}),
    "token-classification": ("token_classification", {"id2label": {0: "O", 1: "B-name"}}),
    "question-answering": ("question_answering", {}),
    "multiple-choice": ("multiple_choice", {}),
    "ranking": ("sequence_classification", {"num_labels": 1, "problem_type": "multi_label_classification"}),
    "masked-lm": ("masked_lm", {}),
}
FRAMEWORKS = ("torch", "tf")


@pytest.fixture
def checkpoint(tmp_path, small_config, small_tokenizer, random_weights):
    """Makes a folder with a model of other weights than the last one's."""
    made = []

    def make(task, tokenizer=small_tokenizer, **changes):
        name, head = HEADS[task]
        config = small_config.replace(
            vocab_size=len(tokenizer), pad_token_id=0, position_biased_input=False, **{**head, **changes}
        )
        folder = tmp_path / f"model-{len(made)}"
        config.save_pretrained(folder)
        weights = {key: array * (1 + len(made)) for key, array in random_weights(config, name).items()}
        save_weights(folder, config, name, weights)
        tokenizer.save_pretrained(folder)
        made.append(folder)
        return folder

    return make


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_probabilities_are_averaged(checkpoint, prose, framework):
    folders = [checkpoint("text-classification") for _ in range(3)]
    ask = {"framework": framework, "device": "cpu", "top_k": "all"}
    alone = [pipeline("text-classification", folder, **ask)(prose) for folder in folders]
    together = pipeline("text-classification", folders, **ask)(prose)
    for number, found in enumerate(together):
        assert [one["label"] for one in found] == list(CLASSES)
        expected = np.mean([[one["score"] for one in own[number]] for own in alone], axis=0)
        scores = np.array([one["score"] for one in found])
        assert_close(scores, expected, quantity="pipeline", name=f"text {number}")
    assert len({tuple(one["score"] for one in own[0]) for own in alone}) == 3


def test_classes_are_matched_by_name(checkpoint, prose):
    """Also where they are in another order, and in other letters."""
    folder = checkpoint("text-classification")
    other = checkpoint("text-classification", id2label={0: "Short", 1: "even", 2: "LONG"})
    ask = {"framework": "torch", "device": "cpu", "top_k": "all"}
    first, second = (pipeline("text-classification", one, **ask)(prose[0], top_k="all") for one in (folder, other))
    own = {one["label"].lower(): one["score"] for one in second}
    found = pipeline("text-classification", [folder, other], **ask)(prose[0], top_k="all")
    for one, alone in zip(found, first, strict=True):
        assert one["label"] == alone["label"]
        expected = np.array([(alone["score"] + own[one["label"]]) / 2])
        assert_close(np.array([one["score"]]), expected, quantity="pipeline", name=one["label"])


@pytest.mark.parametrize("task", HEADS)
def test_a_model_twice_is_that_model_and_so_it_is_in_the_other_framework(checkpoint, prose, tmp_path, task):
    """For every task, by the metrics of evaluate; those of the other framework are the same, too."""
    folder, file = checkpoint(task), write_examples(tmp_path, task, prose)
    if task == "ranking":
        assert all(json.loads(line)["relevance"] <= 1 for line in file.read_text().splitlines())
    alone = evaluate(task, folder, file, framework="torch", device="cpu").metrics
    twice = evaluate(task, [folder, folder], file, framework="torch", device="cpu").metrics
    other = evaluate(task, folder, file, framework="tf", device="cpu").metrics
    for found in (twice, other):
        assert found.keys() == alone.keys()
        for name, value in alone.items():
            assert_close(np.array([found[name]]), np.array([value]), quantity="pipeline", name=name)


def test_both_frameworks_at_once(checkpoint, prose, small_tokenizer):
    """Model objects are averaged, too, also those of two frameworks."""
    folders = [checkpoint("text-classification") for _ in range(2)]
    loaded = [
        get_backend(framework).load_model(folder, "sequence_classification", "cpu")
        for framework, folder in zip(FRAMEWORKS, folders, strict=True)
    ]
    mixed = pipeline("text-classification", loaded, tokenizer=small_tokenizer, top_k="all")
    plain = pipeline("text-classification", folders, framework="torch", device="cpu", top_k="all")
    assert (mixed.framework, plain.framework) == (None, "torch")
    found, expected = (np.array([one["score"] for one in run(prose[0], top_k="all")]) for run in (mixed, plain))
    assert_close(found, expected, quantity="pipeline", name="scores")
    with pytest.raises(InputError, match="the model is several, which cannot be saved"):
        mixed.save_pretrained("anywhere")


def test_models_that_do_not_go_together(checkpoint, prose):
    first = checkpoint("text-classification")
    others = {
        "have different classes: grand, long": checkpoint(
            "text-classification", id2label=dict(enumerate(("even", "grand", "short")))
        ),
        "differ in the problem_type: None and 'regression'": checkpoint(
            "text-classification", problem_type="regression"
        ),
        "have different vocabularies": checkpoint(
            "text-classification", DebertaV2Tokenizer.train(prose, 450, model_max_length=64)
        ),
    }
    for message, other in others.items():
        for use in (pipeline, lambda *given, **more: evaluate(*given, [{"text": "a", "label": "even"}], **more)):
            with pytest.raises(InputError, match=rf"{first} and {other} {message}"):
                use("text-classification", [first, other], framework="torch", device="cpu")
    with pytest.raises(InputError, match=r"give vectors, each in a space of its own. Use one model"):
        pipeline("feature-extraction", [first, first], framework="torch", device="cpu")
    with pytest.raises(InputError, match=r"2 models were given. Give at least one, and for calibrate exactly one"):
        evaluate("text-classification", [first, first], [], calibrate=True)
    with pytest.raises(InputError, match="model is missing"):
        pipeline("text-classification", [])


def test_words_must_be_read_alike(checkpoint):
    folders = [checkpoint("token-classification", extra={CONFIG_KEY: rule}) for rule in ("unicode", "spaces")]
    with pytest.raises(InputError, match="differ in the rule of words: 'unicode' and 'spaces'"):
        pipeline("token-classification", folders, framework="torch", device="cpu")


def test_the_command_takes_several(checkpoint, prose, tmp_path, capsys):
    folders = [str(checkpoint("text-classification")) for _ in range(2)]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(prose[:3]), encoding="utf-8")
    expected = pipeline("text-classification", folders, framework="torch", device="cpu")(prose[:3])
    for models in (["--model", folders[0], "--model", folders[1]], ["--model", *folders]):
        rest = ["--input", str(file), "--framework", "torch", "--device", "cpu"]
        assert run_command(["--task", "text-classification", *models, *rest]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [{"label": row["label"], "score": row["score"]} for row in rows] == expected
