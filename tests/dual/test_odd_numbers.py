"""Integers of every type, empty batches and huge embeddings: the same from the reference, PyTorch and Keras.

The same answer, or the same `InputError`; an optimised model is one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import deberta_tf
import deberta_torch
from conformance.suite.compare import assert_close
from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.errors import InputError
from deberta_core.reference import forward
from deberta_core.tasks import task_spec
from deberta_torch.weights import assign

SIZES: dict[str, Any] = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 20, "max_position_embeddings": 32, "relative_attention": True, "num_labels": 3}
SIZES |= {"pos_att_type": ("c2p", "p2c"), "type_vocab_size": 2, "hidden_dropout_prob": 0.0}
SIZES |= {"attention_probs_dropout_prob": 0.0}
INPUTS = {
    "input_ids": np.array([[1, 5, 6, 7, 2], [1, 8, 2, 0, 0]]),
    "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
    "token_type_ids": np.array([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]]),
    "position_ids": np.array([[0, 1, 2, 3, 4], [4, 3, 2, 1, 0]]),
}
LABELS = {
    "sequence_classification": {"labels": np.array([0, 2])},
    "token_classification": {"labels": np.array([[1, 2, 0, 1, 2], [1, 2, 1, -100, -100]])},
    "masked_lm": {"labels": np.array([[1, 2, 3, 4, 5], [-100, 1, 2, -100, -100]])},
    "question_answering": {"start_positions": np.array([1, 0]), "end_positions": np.array([2, 9])},
}
INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
Answer = Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def implementations(random_weights, tmp_path_factory):
    """Makes the models of a task: names to functions of arrays."""
    made: dict[Any, dict[str, Answer]] = {}

    def make(task: str, version: str = "v1", **changes: Any) -> dict[str, Answer]:
        key = (task, version, *sorted(changes.items()))
        if key not in made:
            cls: Any = DebertaConfig if version == "v1" else DebertaV2Config
            config = cls(**SIZES | {"position_biased_input": version == "v1"} | changes)
            weights = random_weights(config, task)
            name = f"Deberta{'' if version == 'v1' else 'V2'}{task_spec(task).class_suffix}"
            model, fast = (getattr(deberta_torch, name)(config).eval() for _ in range(2))
            for own in (model, fast):
                assign(own, weights)
            folder = tmp_path_factory.mktemp("model")
            model.save_pretrained(folder)
            keras_model = getattr(deberta_tf, f"TF{name}").from_pretrained(folder)
            made[key] = {
                "reference": lambda inputs: forward(config, weights, inputs, task),
                "torch": lambda inputs: run_torch(model, inputs),
                "optimized": lambda inputs: run_torch(deberta_torch.optimize(fast), inputs),
                "keras": lambda inputs: {name: np.asarray(value) for name, value in keras_model(inputs).items()},
            }
        return made[key]

    return make


def run_torch(model: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    with torch.no_grad():
        outputs = model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


def check_same(answers: dict[str, Answer], inputs: dict[str, np.ndarray], *keys: str) -> None:
    """Compares everything, or these outputs."""
    expected = answers["reference"](inputs)
    for name, answer in answers.items():
        found = answer(inputs)
        assert found, name
        for key, value in found.items():
            if key not in (keys or found):
                continue
            assert_close(value, expected[key], quantity="hidden", name=f"{name}: {key}")


def check_refused(answers: dict[str, Answer], inputs: dict[str, np.ndarray], message: str) -> None:
    for answer in answers.values():
        with pytest.raises(InputError, match=message):
            answer(inputs)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("name", INPUTS)
def test_inputs_of_every_integer_type(name, dtype, implementations):
    check_same(implementations("sequence_classification"), {**INPUTS, name: INPUTS[name].astype(dtype)})


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("task", LABELS)
def test_labels_of_every_integer_type(task, dtype, implementations):
    labels = {
        name: (np.maximum(value, 0) if dtype[0] == "u" else value).astype(dtype) for name, value in LABELS[task].items()
    }
    inputs = dict(INPUTS)
    if dtype[0] == "u":  # no -100 at padding
        inputs["attention_mask"] = np.ones_like(INPUTS["attention_mask"])
    check_same(implementations(task), {**inputs, **labels}, "loss")  # logits at padding mean nothing


@pytest.mark.parametrize("dtype", ["bool", "float32", "complex64", "U3"])
@pytest.mark.parametrize("name", ["input_ids", "token_type_ids", "position_ids"])
def test_ids_that_are_no_integers_are_refused(name, dtype, implementations):
    answers = dict(implementations("sequence_classification"))
    if dtype == "U3":  # torch has no texts
        answers = {name: answers[name] for name in ("reference", "keras")}
    check_refused(answers, {**INPUTS, name: INPUTS[name].astype(dtype)}, f"{name} (has dtype|holds texts)")


@pytest.mark.parametrize("task", LABELS)
def test_labels_that_are_no_real_numbers_are_refused(task, implementations):
    labels = {name: value.astype("complex64") for name, value in LABELS[task].items()}
    check_refused(implementations(task), {**INPUTS, **labels}, "has dtype .* it must hold real numbers")


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("task", LABELS)
@pytest.mark.parametrize("labelled", [True, False])
def test_no_texts_at_all(task, version, labelled, implementations):
    inputs = {**INPUTS, **(LABELS[task] if labelled else {})}
    check_same(implementations(task, version), {name: value[:0] for name, value in inputs.items()})


@pytest.mark.parametrize("changes", [{"problem_type": "multi_label_classification"}, {"num_labels": 1}, {}])
def test_no_texts_with_labels_of_floats(changes, implementations):
    labels = np.zeros((0, changes.get("num_labels", 3)), "f4")
    inputs = {name: value[:0] for name, value in INPUTS.items()} | {"labels": labels}
    check_same(implementations("sequence_classification", "v1", **changes), inputs)


@pytest.mark.parametrize(("version", "changes"), [("v1", {}), ("v2", {}), ("v2", {"embedding_size": 12})])
@pytest.mark.parametrize("size", [1.0, 1e18, 1e19, 1e30, 1e37])
def test_huge_embeddings(version, changes, size, implementations):
    values = np.random.default_rng(0).normal(size=(2, 5, changes.get("embedding_size", 16)))
    inputs = {**INPUTS, "inputs_embeds": (values * size).astype("f4")}
    del inputs["input_ids"]
    check_same(implementations("sequence_classification", version, **changes), inputs)


def test_one_huge_embedding_leaves_the_others_alone(implementations):
    values = np.random.default_rng(0).normal(size=(2, 5, 16)).astype("f4")
    values[0, 1] *= 1e30
    check_same(implementations("sequence_classification", "v2"), {"inputs_embeds": values})
