"""Training by losses of rows that are compared: in pieces, in both frameworks; and what the folder says then."""

import json

import numpy as np
import pytest

from conformance.suite.compare import assert_close
from deberta_core.comparisons import POOLINGS
from deberta_dual import evaluate, pipeline
from deberta_dual.finetuning import FINETUNE_TASKS, Start, TrainingOptions, finetune
from deberta_dual.pipelines.sentence_modules import module_options
from tests.conftest import PROSE
from tests.finetuning_data import QUIET, small_start, write_examples

HALVES = [(" ".join(text.split()[::2]), " ".join(text.split()[1::2])) for text in PROSE]
TRIPLETS = [
    {"anchor": one, "positive": two, "negative": [HALVES[n - 1][1], HALVES[n - 2][1]]}
    for n, (one, two) in enumerate(HALVES)
]
SCORED = [
    {"sentence1": one, "sentence2": two, "score": (len(one) % 5) / 2.0 + 0.5} for one, two in (*HALVES, *HALVES[::-1])
]
# Loss -> the task, data, and whether a step is the same in pieces.
CASES = {
    "pairwise": ("ranking", None, True),
    "listwise": ("ranking", None, True),
    "triplet": ("sentence-embeddings", TRIPLETS, True),
    "cosine": ("sentence-embeddings", SCORED, True),
    "multiple-negatives": ("sentence-embeddings", TRIPLETS, False),
}


@pytest.fixture
def learn(small_tokenizer, tmp_path):
    """Trains a small model: the losses of its steps."""
    start = small_start(tmp_path / "tokenizer", small_tokenizer, **QUIET)
    count = iter(range(100))

    def call(loss, framework="torch", pieces=1):
        task, data, _ = CASES[loss]
        data = data or write_examples(tmp_path, task, PROSE)
        training = TrainingOptions(
            epochs=2, batch_size=4, learning_rate=1e-3, accumulation=pieces, evaluate_every=1, clip=0.5
        )
        chosen = {"framework": framework, "device": "cpu", "loss": loss}
        rows = finetune(task, data, tmp_path / str(next(count)), start, training, **chosen)
        return np.array([row["loss"] for row in rows[:-1]])

    return call


@pytest.mark.parametrize("loss", CASES)
def test_a_step_in_pieces(learn, loss):
    """Groups are whole in a piece; only negatives of other examples are those of the piece alone."""
    pytest.importorskip("torch")
    whole, pieces = learn(loss), learn(loss, pieces=2)
    assert len(whole) >= 4
    assert whole[-1] != whole[0]
    if CASES[loss][2]:
        assert_close(pieces, whole, quantity="training curve, AdamW", name=loss)
    else:
        assert (pieces < whole - 0.1).all()  # fewer negatives


@pytest.mark.slow
@pytest.mark.parametrize("loss", CASES)
def test_both_frameworks_learn_alike(learn, loss):
    pytest.importorskip("torch"), pytest.importorskip("tensorflow")
    found = {framework: learn(loss, framework, pieces=2) for framework in ("torch", "tf")}
    assert_close(found["tf"], found["torch"], quantity="training curve, AdamW", name=loss)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_folder_says_how_vectors_are_made(small_tokenizer, tmp_path, pooling):
    pytest.importorskip("torch")
    start, options = small_start(tmp_path / "tokenizer", small_tokenizer), TrainingOptions(epochs=1)
    chosen = {"framework": "torch", "device": "cpu"}
    pairs = [{"text": one, "positive": two} for one, two in HALVES]
    place = tmp_path / "model"
    finetune("sentence-embeddings", pairs, place, start, options, pooling=pooling, max_length=20, **chosen)
    wanted = {"pooling": pooling, "normalize": True, "max_length": 20}
    assert module_options(place) == wanted
    embed = pipeline("sentence-embeddings", place, truncation=True, **chosen)
    vectors = np.stack(embed(PROSE))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)

    embed.save_pretrained(tmp_path / "saved")  # and what is trained further keeps it
    finetune("sentence-embeddings", pairs, tmp_path / "again", Start(model=tmp_path / "saved"), options, **chosen)
    assert module_options(tmp_path / "saved") == module_options(tmp_path / "again") == wanted
    saved = pipeline("sentence-embeddings", tmp_path / "saved", truncation=True, **chosen)
    assert (np.stack(saved(PROSE)) == vectors).all()


def test_a_model_of_another_task_leaves_no_modules(small_tokenizer, tmp_path):
    pytest.importorskip("torch")
    start, training = small_start(tmp_path / "tokenizer", small_tokenizer), TrainingOptions(epochs=1)
    chosen = {"framework": "torch", "device": "cpu"}
    place = tmp_path / "model"
    finetune("sentence-embeddings", [{"text": a, "positive": b} for a, b in HALVES], place, start, training, **chosen)
    (place / "2_Normalize").mkdir()  # as sentence-transformers leaves it
    assert {"modules.json", "1_Pooling"} <= {path.name for path in place.iterdir()}
    file = write_examples(tmp_path, "ranking", PROSE)
    finetune("ranking", file, place, start, training, loss="pairwise", force=True, **chosen)
    assert module_options(place) == {}
    assert not {"modules.json", "1_Pooling", "2_Normalize"} & {path.name for path in place.iterdir()}
    config = json.loads((place / "config.json").read_text())
    assert config["sentence_transformers"]["activation_fn"].endswith("Identity")
    ranker, pair = pipeline("ranking", place, **chosen), ("river", PROSE[0])
    assert ranker(pair) == ranker(pair, function_to_apply="none")


def test_a_model_of_the_hub_is_judged_as_its_files_say(hub_server, small_tokenizer, tmp_path):
    pytest.importorskip("torch")
    chosen = {"framework": "torch", "device": "cpu"}
    pairs, training = [{"text": one, "positive": two} for one, two in HALVES], TrainingOptions(epochs=1)
    start = small_start(tmp_path / "tokenizer", small_tokenizer)
    more = {"pooling": "max", "max_length": 20, **chosen}
    *_, last = finetune("sentence-embeddings", pairs, tmp_path / "model", start, training, **more)
    hub_server.publish("someone/embeddings", tmp_path / "model")
    again = finetune(
        "sentence-embeddings", pairs, tmp_path / "again", Start(model="someone/embeddings"), training, **chosen
    )
    assert len(again) == 2
    assert module_options(tmp_path / "again") == module_options(tmp_path / "model")
    found = evaluate("sentence-embeddings", "someone/embeddings", pairs, **chosen)
    assert {f"train_{name}": value for name, value in found.metrics.items()} == last
    assert FINETUNE_TASKS["sentence-embeddings"].folder_choices(tmp_path / "model/model.safetensors") == {
        "pooling": "max",
        "max_length": 20,
    }
