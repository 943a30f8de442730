"""What the commands take as a checkpoint: a hub id, a weight file, a folder of Microsoft's code."""

import json

import pytest

pytest.importorskip("torch")

from deberta_core import DebertaV2Config
from deberta_core.checkpoint import save_weights
from deberta_dual.cli import main

TASK = "sequence_classification"


@pytest.fixture
def folder(tmp_path, small_tokenizer, random_weights):
    config = DebertaV2Config(
        vocab_size=len(small_tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        position_biased_input=False,
    )
    config.save_pretrained(tmp_path / "source")
    save_weights(tmp_path / "source", config, TASK, random_weights(config, TASK))
    small_tokenizer.save_pretrained(tmp_path / "source")
    return tmp_path / "source"


def test_a_hub_id_is_converted_and_inspected(hub_server, folder, tmp_path, capsys):
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    hub_server.publish("someone/model", folder)
    assert main(["convert", "someone/model", str(tmp_path / "target"), "--to", "bin"]) == 0
    found = {path.relative_to(tmp_path / "target").as_posix() for path in (tmp_path / "target").rglob("*")}
    carried = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    assert found == carried - {"model.safetensors"} | {"pytorch_model.bin"}
    capsys.readouterr()
    assert main(["inspect", "someone/model", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "DebertaV2ForSequenceClassification"
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["inspect", "someone/other"]))
    assert ended.value.code == 1
    assert "someone/other is no folder here and no repository of the hub" in capsys.readouterr().err


def test_a_weight_file_is_run(folder, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("Nobody builds there now.\n")
    results = []
    for model in (folder, folder / "model.safetensors"):
        arguments = ["--model", str(model), "--input", str(tmp_path / "texts.txt")]
        assert main(["run", "--task", "text-classification", *arguments]) == 0
        results.append(capsys.readouterr().out)
    assert results[0] == results[1]
    assert json.loads(results[0])["label"].startswith("LABEL_")


def test_a_folder_of_microsofts_code_is_converted(folder, tmp_path, capsys):
    """The copy has a config.json with what its own lacks."""
    values = json.loads((folder / "config.json").read_text())
    del values["model_type"], values["pooler_dropout"]
    (folder / "config.json").unlink()
    (folder / "model_config.json").write_text(json.dumps(values | {"pooling": {"dropout": 0.25}}))
    assert main(["convert", str(folder), str(tmp_path / "target"), "--to", "bin"]) == 0
    written = json.loads((tmp_path / "target" / "config.json").read_text())
    assert written["model_type"] == "deberta-v2"
    assert written["architectures"] == ["DebertaV2ForSequenceClassification"]
    assert written["pooler_dropout"] == 0.25
    assert main(["inspect", str(tmp_path / "target")]) == 0
