"""On Ray two processes score, fine-tune and pretrain as one does, whatever dies. Skipped where it is not installed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core.errors import InputError
from deberta_dual import finetune, pipeline, pretrain
from tests.conftest import PROSE
from tests.finetuning_data import QUIET, small_start, write_examples

for needed in ("torch", "pyarrow"):
    pytest.importorskip(needed)
ray = pytest.importorskip("ray", reason="Ray is not installed: the extra `ray`, in an environment of its own")
pytest.importorskip("ray.data")

from deberta_dual import ray as bulk  # noqa: E402

TEXTS = [f"{text} {number}" for number in range(8) for text in PROSE]  # 120
FIELDS = {"id2label": {0: "bad", 1: "good"}}


@pytest.fixture(scope="module")
def cluster():
    settings = {"num_cpus": 4, "object_store_memory": 200_000_000, "include_dashboard": False}
    folder = str(Path(__file__).parents[2])
    ray.init(**settings, runtime_env={"env_vars": {"PYTHONPATH": folder}}, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def model(tmp_path_factory, small_tokenizer):
    import torch

    from deberta_torch import DebertaV2Config, DebertaV2ForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 48}
    config = DebertaV2Config.preset(
        "deberta-v3-small", vocab_size=len(small_tokenizer), initializer_range=0.2, **sizes, **FIELDS
    )
    folder = tmp_path_factory.mktemp("bulk") / "model"
    DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    small_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def data(cluster):
    """Rows in no order."""
    order = np.random.default_rng(0).permutation(len(TEXTS))
    rows = [{"id": int(number), "text": TEXTS[number]} for number in order]
    return ray.data.from_items(rows, override_num_blocks=4)


def check(scored, model):
    """Every row once, in order, as one process answers it."""
    rows = scored.take_all()
    assert [row["id"] for row in rows] == list(range(len(TEXTS)))
    expected = pipeline("text-classification", model, device="cpu", truncation=True)(TEXTS)
    assert [row["label"] for row in rows] == [one["label"] for one in expected]
    assert {row["error"] for row in rows} == {None}
    got, wanted = (np.array([row["score"] for row in found]) for found in (rows, expected))
    assert_close(got, wanted, quantity="hidden", name="scores")


def test_two_actors_are_one_process(data, model):
    check(bulk.score(data, model, "text-classification", actors=2, batch_size=16, device="cpu"), model)


def dying(folder):
    """A scorer that is killed in the middle of its work, once: `folder` says whether it was."""

    class Dying(bulk.Scorer):
        def __call__(self, table):
            answers = super().__call__(table)
            if folder.joinpath("ready").exists() and not folder.joinpath("died").exists():
                folder.joinpath("died").write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            folder.joinpath("ready").touch()
            return answers

    return Dying


@pytest.mark.parametrize("kept", [False, True], ids=["memory", "files"])
def test_an_actors_death_costs_no_row(data, model, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "Scorer", dying(tmp_path))
    output = tmp_path / "scores" if kept else None
    scored = bulk.score(data, model, "text-classification", output=output, batch_size=16, device="cpu").materialize()
    assert (tmp_path / "died").exists()
    check(scored, model)


def test_files_are_what_a_second_call_goes_on_from(data, model, tmp_path):
    output, some = tmp_path / "scores", data.filter(lambda row: row["id"] % 3 == 0)
    settings = {"output": output, "batch_size": 16, "device": "cpu"}
    assert bulk.score(some, model, "text-classification", **settings).count() == len(TEXTS) // 3
    before = {file: file.stat().st_mtime_ns for file in output.glob("*.parquet")}
    (output / "left.parquet.1.part").write_bytes(b"PAR1")  # of a machine that died
    check(bulk.score(data, model, "text-classification", **settings), model)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert not list(output.glob("*.part"))
    after = set(output.glob("*.parquet"))
    check(bulk.score(data, model, "text-classification", **settings), model)
    assert set(output.glob("*.parquet")) == after, "nothing was left to answer"
    with pytest.raises(InputError, match=r"made with task='text-classification'"):
        bulk.score(data, model, "ranking", **settings)
    with pytest.raises(InputError, match=r"not empty"):
        bulk.score(data, model, "text-classification", output=tmp_path, device="cpu")


def test_keys_that_are_there_twice_are_found(cluster, model, tmp_path):
    twice = ray.data.from_items([{"id": "a", "text": "one"}, {"id": "b", "text": "two"}])
    settings = {"output": tmp_path / "scores", "device": "cpu"}
    bulk.score(twice, model, "text-classification", **settings)
    more = twice.union(ray.data.from_items([{"id": "b", "text": "three"}]))
    with pytest.raises(InputError, match=r"2 rows, but the data 3: values of id are there twice"):
        bulk.score(more, model, "text-classification", **settings)


def test_a_row_that_cannot_be_used_has_its_error(cluster, model):
    rows = ray.data.from_items([{"id": 1, "text": "Fine."}, {"id": 2, "text": None}, {"id": 3, "text": "Dull."}])
    found = bulk.score(rows, model, "text-classification", device="cpu").take_all()
    assert [row["error"] is None for row in found] == [True, False, True]
    assert [row["label"] is None for row in found] == [False, True, False]


def test_lists_are_json_and_vectors_lists(cluster, model):
    rows = ray.data.from_items([{"id": "b", "text": "Fine."}, {"id": "a", "text": "Dull."}])
    found = bulk.score(rows, model, "text-classification", device="cpu", top_k=None).take_all()
    assert [row["id"] for row in found] == ["a", "b"]
    assert {one["label"] for one in json.loads(found[0]["labels"])} == {"bad", "good"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "poetry"}, "poetry"),
        ({"key": "number"}, r"key='number' is no column. There are: id, text"),
        ({"actors": 0}, "actors=0"),
        ({"batch_size": 0}, "batch_size=0"),
    ],
)
def test_wrong_arguments_are_said_at_once(data, change, message):
    with pytest.raises(InputError, match=message):
        bulk.score(data, "nowhere", **{"task": "text-classification", **change})


TRAINING = {"framework": "torch", "device": "cpu", "preset": "deberta-v3-small", "batch_size": 4, "learning_rate": 1e-3}


def learn(settings):
    """What Ray Train runs in every worker; the first one is killed once, when half of the rows are there."""
    import deberta_dual

    died = Path(settings["output"]).with_suffix(".died")

    def die(row):
        if os.environ["RANK"] == "0" and row["step"] >= 4 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    train = getattr(deberta_dual, settings.pop("function"))
    train(**settings, resume=True, report=die)


@pytest.mark.parametrize("function", [finetune, pretrain], ids=["finetune", "pretrain"])
def test_two_workers_of_ray_train_learn_like_one(cluster, function, small_tokenizer, tmp_path):
    """The losses and the weights, with a worker's death on the way."""
    train = pytest.importorskip("ray.train")
    from ray.train.torch import TorchTrainer
    from safetensors.numpy import load_file

    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    settings = TRAINING | {"tokenizer": start.tokenizer, "config": start.changes, "evaluate_every": 2}
    if function is finetune:
        data = write_examples(tmp_path, "text-classification", PROSE)
        settings |= {"task": "text-classification", "data": data, "eval_data": data, "epochs": 2}
    else:
        (tmp_path / "prose.txt").write_text("\n\n".join(PROSE * 4))
        settings |= {"corpus": tmp_path / "prose.txt", "objective": "mlm", "steps": 8, "max_length": 32}
    function(**settings, output=tmp_path / "one")
    trainer = TorchTrainer(
        learn,
        train_loop_config=settings | {"function": function.__name__, "output": tmp_path / "two"},
        scaling_config=train.ScalingConfig(num_workers=2),
        run_config=train.RunConfig(
            storage_path=str(tmp_path / "ray"), failure_config=train.FailureConfig(max_failures=1)
        ),
    )
    trainer.fit()
    assert (tmp_path / "two.died").exists()
    rows = ([json.loads(line) for line in (tmp_path / name / "metrics.jsonl").open()] for name in ("one", "two"))
    for own, other in zip(*rows, strict=True):
        for name in {"step", "loss", "eval_loss", "eval_accuracy"} & own.keys():
            assert_close(np.array(other[name]), np.array(own[name]), quantity="training curve, AdamW", name=name)
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert_close(theirs[name], array, quantity="training curve, AdamW", name=name)
