"""Models by hub id; `tests/pt/test_torch_hub.py` has the cases, which are the core's."""

import numpy as np

from deberta_tf import TFAutoModel, TFDebertaV2ForMaskedLM, TFDebertaV2Model


def test_a_model_from_the_hub_and_from_the_cache(hub_server, small_config, tmp_path):
    ids = np.arange(6)[None] + 3
    model = TFDebertaV2ForMaskedLM(small_config)
    model.save_pretrained(tmp_path / "folder", max_shard_size=2000)
    hub_server.publish("someone/small", tmp_path / "folder")
    loaded = TFDebertaV2ForMaskedLM.from_pretrained("someone/small", revision="main")
    assert np.array_equal(loaded(ids).logits, model(ids).logits)
    bare = TFAutoModel.from_pretrained("someone/small", local_files_only=True)
    assert isinstance(bare, TFDebertaV2Model)
    assert np.array_equal(bare(ids)[0], model.deberta(ids)[0])
