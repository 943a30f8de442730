"""Models by hub id: a file, several files, revisions, no network."""

import json

import pytest
import torch

from deberta_core import ConfigError, WeightError
from deberta_torch import AutoModel, AutoModelForMaskedLM, DebertaV2ForMaskedLM, DebertaV2Model

IDS = torch.arange(6)[None] + 3


@pytest.mark.parametrize("options", [{}, {"max_shard_size": 2000}, {"format": "bin"}, {"format": "h5"}])
def test_a_model_comes_with_its_shards_and_stays_in_the_cache(hub_server, small_config, tmp_path, options):
    model = DebertaV2ForMaskedLM(small_config).eval()
    model.save_pretrained(tmp_path / "folder", **options)
    hub_server.publish("someone/small", tmp_path / "folder")
    for load in (DebertaV2ForMaskedLM, AutoModelForMaskedLM):
        loaded = load.from_pretrained("someone/small", cache_dir=tmp_path / "mine")
        assert torch.equal(loaded(IDS).logits, model(IDS).logits)
    hub_server.shutdown()
    hub_server.server_close()
    bare = AutoModel.from_pretrained("someone/small", cache_dir=tmp_path / "mine", local_files_only=True)
    assert isinstance(bare, DebertaV2Model)
    assert torch.equal(bare(IDS)[0], model.deberta(IDS)[0])


def test_what_config_json_does_not_say_is_read_from_the_weights(hub_server, small_config, tmp_path):
    model = DebertaV2ForMaskedLM(small_config.replace(legacy=False)).eval()
    model.save_pretrained(tmp_path / "folder")
    file = tmp_path / "folder" / "config.json"
    values = json.loads(file.read_text())
    del values["legacy"]
    file.write_text(json.dumps(values))
    hub_server.publish("someone/pretrained", tmp_path / "folder")
    for path in ("someone/pretrained", tmp_path / "folder", tmp_path / "folder" / "model.safetensors"):
        loaded = AutoModelForMaskedLM.from_pretrained(path)
        assert not loaded.config.legacy
        assert torch.equal(loaded(IDS).logits, model(IDS).logits)


def test_what_is_not_there(hub_server, small_config, tmp_path):
    small_config.save_pretrained(tmp_path / "folder")
    hub_server.publish("someone/empty", tmp_path / "folder")
    with pytest.raises(
        WeightError, match=r"someone/empty has no model\.safetensors or model\.safetensors\.index\.json"
    ):
        AutoModel.from_pretrained("someone/empty")
    with pytest.raises(WeightError, match="someone/nobody is no folder here and no repository"):
        DebertaV2Model.from_pretrained("someone/nobody")
    with pytest.raises(ConfigError, match=r"nothing does not exist"):
        DebertaV2Model.from_pretrained(tmp_path / "nothing")
