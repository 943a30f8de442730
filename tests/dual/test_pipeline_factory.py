"""From a folder or an object to a pipeline, as far as no framework is needed; and the lines of the command."""

import pytest

from deberta_core import DebertaV2Config, InputError, TokenizationError, WeightError
from deberta_core.checkpoint import save_weights
from deberta_core.tasks import task_spec
from deberta_dual import pipeline
from deberta_dual.backends import choose_framework
from deberta_dual.pipelines import PIPELINES


@pytest.fixture
def checkpoint(tmp_path, small_config, random_weights):
    """Makes a checkpoint folder of a task, with or without `architectures` in its config.json."""

    def make(task, architectures=None):
        config = small_config.replace(extra={"architectures": architectures} if architectures else {})
        config.save_pretrained(tmp_path)
        save_weights(tmp_path, config, task, random_weights(config, task))
        return tmp_path

    return make


def test_the_names_of_pipelines():
    assert set(PIPELINES) == {
        "text-classification",
        "zero-shot-classification",
        "token-classification",
        "question-answering",
        "fill-mask",
        "masked-lm",
        "multiple-choice",
        "ranking",
        "reward",
        "feature-extraction",
        "sentence-embeddings",
    }
    with pytest.raises(InputError, match=r"task='sentiment' is unknown\. Use one of: text-classification"):
        pipeline("sentiment", "folder")


@pytest.mark.parametrize("name", [name for name, cls in PIPELINES.items() if cls.model_task])
def test_a_backbone_alone_answers_nothing(checkpoint, name):
    with pytest.raises(WeightError, match=rf"cannot do {name}: it has no .*ForM?\w+\)"):
        pipeline(name, checkpoint(None))


def test_the_head_of_another_task(checkpoint):
    folder = checkpoint("token_classification")
    with pytest.raises(WeightError, match=r"cannot do text-classification: it has no pooler.dense.bias, pooler"):
        pipeline("text-classification", folder)


@pytest.mark.parametrize(
    ("held", "name"),
    [("sequence_classification", "token-classification"), ("multiple_choice", "multiple-choice")],
)
def test_a_head_of_the_same_names(checkpoint, held, name):
    """The parameters of the one are among those of the other, so that config.json has to tell."""
    other = "DebertaV2" + task_spec("sequence_classification").class_suffix
    with pytest.raises(WeightError, match=rf"config.json says architectures=\['{other}'\], and {name} needs"):
        pipeline(name, checkpoint(held, [other]))


def test_missing_files(tmp_path, checkpoint, small_config):
    with pytest.raises(ValueError, match="does not exist"):
        pipeline("text-classification", tmp_path / "nothing")
    with pytest.raises(TokenizationError, match="has no"):
        pipeline("text-classification", checkpoint("sequence_classification"))


def test_a_model_that_is_none(small_tokenizer):
    for model in (3, DebertaV2Config):
        with pytest.raises(InputError, match="Give a folder, a hub id, or a model of deberta_torch or deberta_tf"):
            pipeline("text-classification", model, small_tokenizer)


def test_options_are_looked_at_first():
    with pytest.raises(InputError, match="top_k=0 is not allowed"):
        pipeline("text-classification", "no/such/folder", top_k=0)


def test_the_framework(monkeypatch):
    installed = {"torch", "tensorflow"}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name in installed else None)
    assert choose_framework() == "torch"
    assert choose_framework("tf") == "tf"
    installed.remove("torch")
    assert choose_framework() == "tf"
    with pytest.raises(InputError, match=r"framework='torch' needs torch. Use pip install 'deberta-dual\[torch\]'"):
        choose_framework("torch")
    installed.clear()
    with pytest.raises(InputError, match="needs torch or tensorflow"):
        choose_framework()
    with pytest.raises(InputError, match=r"framework='jax' is unknown\. Use one of: torch, tf"):
        choose_framework("jax")


def test_several_processes_train_in_pytorch_alone(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert choose_framework("torch", trains="finetuning") == "torch"
    assert choose_framework("tf") == "tf"
    with pytest.raises(InputError, match=r"framework='tf' works in one process, and this is one of 2 of torchrun"):
        choose_framework("tf", trains="finetuning")
