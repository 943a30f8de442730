"""`explain`, of every head, in both frameworks."""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np
import pytest

from conformance.suite.cases import random_params
from conformance.suite.compare import assert_close
from deberta_core import DebertaV2Config
from deberta_core.errors import InputError
from deberta_core.tasks import task_spec
from deberta_dual import explain, export, pipeline
from deberta_dual.explaining.explanation import MAX_TOKENS

TEXT, PAIR = "The river rises in the hills.", "Nobody builds there now."
PACKAGES = {"torch": "deberta_torch", "tf": "deberta_tf"}
FRAMEWORKS = [name for name in PACKAGES if importlib.util.find_spec({"tf": "tensorflow"}.get(name, name))]
# Head -> fields of its configuration, the texts, and what is asked for.
HEADS = {
    None: ({}, (TEXT,), {}),
    "sequence_classification": ({"id2label": {0: "no", 1: "yes"}}, (TEXT, PAIR), {"target": "yes"}),
    "token_classification": ({"id2label": {0: "O", 1: "B-X"}}, (TEXT,), {"token": 3, "target": "B-X"}),
    "question_answering": ({}, ("What rises?", TEXT), {"target": "end"}),
    "masked_lm": ({}, ("The [MASK] rises in the hills.",), {}),
    "multiple_choice": ({}, (TEXT, PAIR), {}),
    "replaced_token": ({}, (TEXT,), {"token": 2}),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, small_tokenizer):
    """A folder for each of `HEADS`."""
    package = importlib.import_module(PACKAGES[FRAMEWORKS[0]])
    made = {}
    for task, (fields, _, _) in HEADS.items():
        config = DebertaV2Config.preset(
            "deberta-v3-small",
            vocab_size=len(small_tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            max_position_embeddings=64,
            position_buckets=8,
            **fields,
        )
        made[task] = tmp_path_factory.mktemp("explained") / str(task)
        prefix = "" if FRAMEWORKS[0] == "torch" else "TF"
        model = getattr(package, f"{prefix}DebertaV2{task_spec(task).class_suffix}")(config)
        package.weights.assign(model, random_params(config, task))
        model.save_pretrained(made[task], format="safetensors")
        small_tokenizer.save_pretrained(made[task])
    return made


def explained(folders, task, framework, steps):
    _, texts, asked = HEADS[task]
    return explain(folders[task], *texts, layer=0, head=1, steps=steps, framework=framework, **asked)


@pytest.mark.parametrize("task", HEADS)
def test_parts_add_up_to_scores_and_attributions_to_what_the_output_moved(folders, task):
    found = explained(folders, task, FRAMEWORKS[0], 128)
    assert_close(found.content + found.c2p + found.p2c, found.scores, quantity="hidden", name="scores")
    assert len(found.tokens) == len(found.scores) == len(found.distances) // 2 + 1
    if task is None:
        assert (found.target, found.attributions, found.value) == (None, None, None)
        return
    moved = np.asarray(found.value - found.baseline_value)
    assert abs(moved) > 1e-2, "the output did not move: the test can say nothing"
    assert found.attributions.shape == (len(found.tokens),)
    assert_close(found.attributions.sum(), moved, quantity="integrated gradients", name="sum of tokens")


@pytest.mark.skipif(len(FRAMEWORKS) < 2, reason="needs torch and TensorFlow")
@pytest.mark.parametrize("task", HEADS)
def test_frameworks_explain_alike(folders, task):
    one, other = (explained(folders, task, name, 4) for name in FRAMEWORKS)
    assert other.target == one.target
    assert other.tokens == one.tokens
    for name in ("content", "c2p", "p2c", "probabilities", "c2p_by_distance", "p2c_by_distance", "attributions"):
        if getattr(one, name) is not None:
            assert_close(getattr(other, name), getattr(one, name), quantity="pipeline", name=name)


def test_the_value_is_the_model_s_answer(folders):
    found = explain(folders["multiple_choice"], TEXT, PAIR, framework=FRAMEWORKS[0])
    other = explain(folders["multiple_choice"], TEXT, TEXT, framework=FRAMEWORKS[0])
    answer = pipeline("multiple-choice", folders["multiple_choice"], framework=FRAMEWORKS[0])(
        {"text": TEXT, "choices": [PAIR, TEXT]}, top_k=None
    )
    scores = {row["choice"]: row["score"] for row in answer}
    expected = 1 / (1 + np.exp(other.value - found.value))
    assert_close(np.asarray(scores[PAIR]), np.asarray(expected), quantity="pipeline", name="the softmax of both values")


@pytest.mark.parametrize(
    ("task", "texts", "options", "message"),
    [
        (None, (TEXT,), {"layer": 2}, "layer=2, but the model has layers 0 to 1"),
        (None, (TEXT,), {"head": 2}, "head=2, but layer 1 has heads 0 to 1"),
        (None, ("river " * (MAX_TOKENS + 1),), {}, "can be explained at once"),
        ("sequence_classification", (TEXT,), {"target": "perhaps"}, "target='perhaps'"),
        ("sequence_classification", (TEXT,), {"token": 1}, "token=1 is not for this model's head"),
        ("token_classification", (TEXT,), {"token": 99}, "token=99, but the text has tokens"),
        ("masked_lm", (TEXT,), {}, r"the text has no \[MASK\]"),
        ("multiple_choice", (TEXT,), {}, "text_pair is missing"),
        ("multiple_choice", (TEXT, PAIR), {"target": "0"}, "target='0' is not for this model's head"),
        ("replaced_token", (TEXT,), {"steps": 0}, "steps=0"),
    ],
)
def test_what_cannot_be_explained(folders, task, texts, options, message):
    with pytest.raises(InputError, match=message):
        explain(folders[task], *texts, framework=FRAMEWORKS[0], **options)


def test_graphs_and_averages_are_refused(folders, tmp_path):
    folder = folders["sequence_classification"]
    with pytest.raises(InputError, match="2 models are averaged"):
        explain(pipeline("text-classification", [folder, folder], framework=FRAMEWORKS[0]), TEXT)
    for needed in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(needed)
    export(folder, tmp_path / "graph")
    with pytest.raises(InputError, match="onnx"):
        explain(pipeline("text-classification", tmp_path / "graph", framework="onnx"), TEXT)
