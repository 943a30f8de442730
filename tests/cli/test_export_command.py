"""`deberta export`, and `export` in Python."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from deberta_core import AutoTokenizer, DebertaV2Config, DebertaV2Tokenizer
from deberta_core.errors import InputError
from deberta_dual import export
from deberta_dual.cli import main
from deberta_dual.exporting.export import verify_export

torch = pytest.importorskip("torch")
runtime = pytest.importorskip("onnxruntime")
deberta_torch = pytest.importorskip("deberta_torch")

TEXTS = ["The ship left the harbour at dawn.", "Rain stopped play, and the crowd went home.", "A third text."] * 20


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A classifier with a real tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "classifier"
    tokenizer = DebertaV2Tokenizer.train(TEXTS, 290)
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
        norm_rel_ebd="layer_norm",
        position_biased_input=False,
        max_position_embeddings=64,
        id2label={0: "calm", 1: "wet"},
    )
    deberta_torch.DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_onnx(checkpoint, tmp_path, capsys):
    target = tmp_path / "exported"
    assert main(["export", str(checkpoint), str(target), "--to", "onnx", "--verify"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "verified"
    assert {path.name for path in (target / "onnx").iterdir()} == {"model.onnx", "README.md"}
    tokenizer = AutoTokenizer.from_pretrained(target)
    batch = dict(tokenizer(TEXTS[:3], padding=True, return_tensors="np"))
    given = {name: np.asarray(batch[name], dtype=np.int64) for name in ("input_ids", "attention_mask")}
    logits = runtime.InferenceSession(str(target / "onnx" / "model.onnx")).run(["logits"], given)[0]
    model = deberta_torch.AutoModelForSequenceClassification.from_pretrained(checkpoint)
    with torch.no_grad():
        wanted = model(**{name: torch.from_numpy(array) for name, array in given.items()}).logits.numpy()
    assert np.abs(logits - wanted).max() <= 1e-6 * max(1, np.abs(wanted).max())
    config = json.loads((target / "config.json").read_text())
    assert config["architectures"] == ["DebertaV2ForSequenceClassification"]
    assert config["id2label"] == {"0": "calm", "1": "wet"}


def test_other_dtypes_are_further_files(checkpoint, tmp_path):
    target = tmp_path / "exported"
    for dtype in ("float32", "float16", "bfloat16", "int8", "int8-weights"):
        done = export(checkpoint, target, "onnx", dtype=dtype, verify=True)
        assert done.passed, done.lines
    assert sorted(path.name for path in (target / "onnx").iterdir()) == [
        "README.md",
        "model.onnx",
        "model_bf16.onnx",
        "model_fp16.onnx",
        "model_int8.onnx",
        "model_int8_weights.onnx",
    ]
    shown = (target / "onnx" / "README.md").read_text()
    assert "onnx/model.onnx" in shown
    assert "onnx/model_int8.onnx" in shown


def test_into_the_checkpoints_own_folder(checkpoint, tmp_path):
    import shutil

    own = tmp_path / "own"
    shutil.copytree(checkpoint, own)
    before = {path.name: path.read_bytes() for path in own.iterdir()}
    export(own, own, "onnx")
    assert {name: (own / name).read_bytes() for name in before} == before
    with pytest.raises(InputError, match="exists already"):
        export(own, own, "onnx")
    export(own, own, "onnx", force=True)


@pytest.mark.parametrize("to", ["torch-export", "saved-model", "litert", "openvino"])
def test_other_formats(checkpoint, tmp_path, to):
    package = {"torch-export": "torch", "openvino": "openvino"}.get(to, "tensorflow")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    done = export(checkpoint, tmp_path / "exported", to, verify=True)
    assert done.passed, done.lines
    assert done.lines


def test_a_damaged_file_is_found(checkpoint, tmp_path):
    import onnx
    from onnx import numpy_helper

    file = export(checkpoint, tmp_path / "exported").file
    model = onnx.load(file)
    weight = next(one for one in model.graph.initializer if one.name == "classifier.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(model, file)
    lines = verify_export(checkpoint, tmp_path / "exported")
    assert [line.what for line in lines if not line.passed] == ["logits of model.onnx"]
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.onnx cannot be run"):
        verify_export(checkpoint, tmp_path / "exported")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "tensorrt"}, "to='tensorrt'"),
        ({"to": "saved-model", "dtype": "int8"}, "saved-model's dtype='int8'"),
        ({"to": "litert", "ids": "int32"}, "ids='int32' is not for to='litert'"),
        ({"pooling": "mean"}, "pooling='mean' is of the backbone"),
        ({"task": "translation"}, "task='translation'"),
    ],
)
def test_what_is_refused_leaves_nothing(checkpoint, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        export(checkpoint, tmp_path / "exported", **options)
    assert not (tmp_path / "exported").exists()


def test_vectors_of_a_backbone(checkpoint, tmp_path, capsys):
    target = tmp_path / "exported"
    words = ["--to", "onnx", "--task", "backbone", "--pooling", "mean", "--normalize"]
    assert main(["export", str(checkpoint), str(target), *words]) == 0
    loaded = runtime.InferenceSession(str(target / "onnx" / "model.onnx"))
    assert [one.name for one in loaded.get_outputs()] == ["sentence_embedding", "last_hidden_state"]
    ids = np.array([[1, 5, 6, 2]])
    vector = loaded.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
    assert np.abs(np.linalg.norm(vector, axis=1) - 1).max() < 1e-6
