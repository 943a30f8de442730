"""Pipelines in ONNX Runtime: from a checkpoint by way of the cache, and from an exported folder."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config, DebertaV2Tokenizer
from deberta_core.errors import InputError
from deberta_dual import evaluate, export, pipeline
from deberta_dual.backends import FRAMEWORKS, choose_framework, get_backend
from deberta_dual.exporting.cache import cache_folder

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")
deberta_torch = pytest.importorskip("deberta_torch")

TEXTS = ["The ship left the harbour at dawn.", "Rain stopped play, and the crowd went home.", "A third text."]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes a checkpoint of a class, with a tokenizer."""

    def checkpoint(name, **fields):
        folder = tmp_path_factory.mktemp("models") / name
        tokenizer = DebertaV2Tokenizer.train(TEXTS * 20, 290)
        torch.manual_seed(0)
        config = DebertaV2Config(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            position_buckets=8,
            pos_att_type=("p2c", "c2p"),
            share_att_key=True,
            position_biased_input=False,
            max_position_embeddings=64,
            **fields,
        )
        getattr(deberta_torch, name)(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return checkpoint


def scores(results):
    return np.array([row["score"] for one in results for row in one])


@pytest.mark.parametrize("framework", ["onnx", "openvino"])
@pytest.mark.filterwarnings("ignore:This CPU has no bfloat16 instructions:deberta_core.errors.DebertaWarning")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
def test_dtypes(make, framework, dtype):
    pytest.importorskip(FRAMEWORKS[framework].packages[0])
    folder = make("DebertaV2ForTokenClassification", id2label={0: "O", 1: "B-X"})
    wanted = pipeline("token-classification", folder, framework="torch", aggregation_strategy="none")(TEXTS)
    found = pipeline("token-classification", folder, framework=framework, dtype=dtype, aggregation_strategy="none")
    quantity = {"float32": "pipeline", "bfloat16": "exported bfloat16", "int8": "optimized int8"}[dtype]
    assert_close(scores(found(TEXTS)), scores(wanted), quantity=quantity, name="scores")


def test_an_exported_folder_is_judged(make, tmp_path):
    folder = make("DebertaV2ForSequenceClassification", id2label={0: "calm", 1: "wet"})
    export(folder, tmp_path / "exported")
    examples = tmp_path / "test.csv"
    examples.write_text("text,label\n" + "\n".join(f"{text.replace(',', '')},wet" for text in TEXTS))
    ours, theirs = (
        evaluate("text-classification", one, examples, **options).metrics
        for one, options in ((tmp_path / "exported", {}), (folder, {"framework": "torch"}))
    )
    assert ours.keys() == theirs.keys()
    assert ours["accuracy"] == theirs["accuracy"]


def test_a_checkpoint_is_run_and_cached(make):
    folder = make("DebertaV2ForSequenceClassification", id2label={0: "calm", 1: "wet", 2: "loud"})
    before = sorted(path.name for path in folder.iterdir())
    wanted = pipeline("text-classification", folder, framework="torch")(TEXTS, top_k=3)
    found = pipeline("text-classification", folder, framework="onnx")
    assert_close(scores(found(TEXTS, top_k=3)), scores(wanted), quantity="pipeline", name="scores")
    assert sorted(path.name for path in folder.iterdir()) == before
    made = list((cache_folder() / "graphs").glob("*/model.onnx"))
    assert len(made) == 1
    state = made[0].stat().st_mtime_ns
    pipeline("text-classification", folder, framework="onnx")
    assert made[0].stat().st_mtime_ns == state
    # Other weights in the same place are another graph.
    model = deberta_torch.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.bias += 1.0
    model.save_pretrained(folder)
    assert pipeline("text-classification", folder, framework="onnx").model.file != made[0]


def test_an_exported_folder_needs_no_framework_to_be_named(make, tmp_path):
    folder = make("DebertaV2ForTokenClassification", id2label={0: "O", 1: "B-X"})
    export(folder, tmp_path / "exported")
    run = pipeline("token-classification", tmp_path / "exported")
    assert run.framework == "onnx"
    assert not cache_folder().exists()
    wanted = pipeline("token-classification", folder, framework="torch")(TEXTS, aggregation_strategy="none")
    found = run(TEXTS, aggregation_strategy="none")
    assert [[e["word"] for e in one] for one in found] == [[e["word"] for e in one] for one in wanted]
    with pytest.raises(InputError, match="holds a graph of"):
        pipeline("text-classification", tmp_path / "exported")
    with pytest.raises(InputError, match="no onnx graph in int8"):
        pipeline("token-classification", tmp_path / "exported", dtype="int8")
    export(folder, tmp_path / "exported", dtype="int8")
    assert pipeline("token-classification", tmp_path / "exported", dtype="int8").model.file.name == "model_int8.onnx"


@pytest.mark.parametrize("is_exported", [False, True])
def test_masks_are_filled(make, tmp_path, is_exported):
    folder = make("DebertaV2ForMaskedLM", legacy=False)
    place = tmp_path / "exported" if is_exported else folder
    if is_exported:
        export(folder, place)
    text = "Rain [MASK] play."
    wanted = pipeline("fill-mask", folder, framework="torch")(text)
    found = pipeline("fill-mask", place, framework="onnx")(text)
    assert [one["token"] for one in found] == [one["token"] for one in wanted]
    assert_close(
        np.array([one["score"] for one in found]),
        np.array([one["score"] for one in wanted]),
        quantity="pipeline",
        name="scores",
    )


@pytest.mark.parametrize("task", ["feature-extraction", "multiple-choice", "question-answering"])
def test_other_tasks(make, task):
    names = {"multiple-choice": "DebertaV2ForMultipleChoice", "question-answering": "DebertaV2ForQuestionAnswering"}
    folder = make(names.get(task, "DebertaV2Model"))
    example = {
        "feature-extraction": TEXTS[0],
        "multiple-choice": {"text": "Rain", "choices": ["stopped", "play"]},
        "question-answering": {"question": "What stopped?", "context": TEXTS[1]},
    }[task]
    wanted = pipeline(task, folder, framework="torch")(example)
    found = pipeline(task, folder, framework="onnx")(example)
    if task == "feature-extraction":
        assert_close(np.array(found), np.array(wanted), quantity="pipeline", name="vectors")
        return
    numbers = {key: np.array(value) for key, value in wanted.items() if key in ("score", "scores")}
    assert numbers
    for key, value in numbers.items():
        assert_close(np.array(found.pop(key)), value, quantity="pipeline", name=key)
        wanted.pop(key)
    assert found == wanted


def test_what_is_refused(make):
    folder = make("DebertaV2ForSequenceClassification")
    for options, message in (
        ({"device": "cuda"}, "runs on the CPU"),
        ({"dtype": "float8"}, "onnx's dtype='float8'"),
    ):
        with pytest.raises(InputError, match=message):
            pipeline("text-classification", folder, framework="onnx", **options)
    with pytest.raises(InputError, match="framework='onnx'"):
        choose_framework("onnx", trains="finetuning")
    with pytest.raises(InputError, match="trains none"):
        get_backend("onnx").train(None, None)
