"""Which process this is, by the environment."""

import json

import pytest

from deberta_core.errors import InputError
from deberta_dual.backends import choose_framework
from deberta_dual.processes import Process, is_main, own_process

CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}


def keras(kind, index, cluster=CLUSTER):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Process()),
        ({"WORLD_SIZE": "1", "RANK": "0"}, Process()),
        ({"WORLD_SIZE": "4", "RANK": "3"}, Process(3, 4, "torchrun")),
        (keras("chief", 0), Process(0, 3, "TF_CONFIG")),
        (keras("worker", 1), Process(2, 3, "TF_CONFIG")),
        (keras("worker", 0, {"worker": ["a:1"]}), Process()),
        ({"TF_CONFIG": "{}"}, Process()),
        ({"WORLD_SIZE": "2", "RANK": "1", **keras("chief", 0)}, Process(1, 2, "torchrun")),
    ],
)
def test_own_process(monkeypatch, variables, expected):
    for name in ("WORLD_SIZE", "RANK", "TF_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert own_process() == expected
    assert is_main() == (expected.number == 0)


@pytest.mark.parametrize("given", ["{", "[]", json.dumps({"cluster": CLUSTER}), keras("worker", 7)["TF_CONFIG"]])
def test_what_cannot_be_read(monkeypatch, given):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("TF_CONFIG", given)
    with pytest.raises(InputError, match=r"TF_CONFIG=.* cannot be read"):
        own_process()


@pytest.mark.parametrize(
    ("framework", "training", "message"),
    [
        ("tf", "finetuning", "works in one process, and this is one of 3 of TF_CONFIG"),
        ("torch", "finetuning", "is told of its processes by torchrun"),
        ("torch", "pretraining", "is told of its processes by torchrun"),
    ],
)
def test_a_framework_that_is_told_otherwise_refuses(monkeypatch, framework, training, message):
    pytest.importorskip("torch" if framework == "torch" else "tensorflow")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for name, value in keras("worker", 1).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=message):
        choose_framework(framework, trains=training)
    assert choose_framework(framework) == framework


def test_a_later_training_of_several_processes_is_no_lonely_one(monkeypatch):
    """A process that trained alone before must find the others, or say that it cannot."""
    tf = pytest.importorskip("tensorflow")
    from deberta_dual.backends import tf_processes

    class Strategy:
        num_replicas_in_sync = 3

    def too_late():
        raise RuntimeError("Collective ops must be configured at program startup")

    for name in ("WORLD_SIZE", "TF_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    assert tf_processes.connect() is None
    monkeypatch.setenv("TF_CONFIG", keras("worker", 1)["TF_CONFIG"])
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", too_late)
    with pytest.raises(InputError, match="before TensorFlow has computed anything"):
        tf_processes.connect()
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Strategy)
    try:
        assert isinstance(tf_processes.connect(), Strategy)
    finally:
        tf_processes.strategy_of.cache_clear()
