"""The oracle's environment: transformers 4.57.1 with PyTorch and TensorFlow; `make oracle` makes it and runs this."""

import importlib.util
import os

import numpy as np
import pytest

from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.parameters import expand

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported, by the tests
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
# Elsewhere these tests are not there, rather than skipped one by one.
collect_ignore_glob = [] if importlib.util.find_spec("transformers") else ["test_*.py"]

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 40}
RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_position_embeddings": 64, "num_labels": 3}


@pytest.fixture(params=["v1", "v2"])
def config(request):
    """A small model of either version, as published ones are."""
    if request.param == "v1":
        return DebertaConfig(**SIZES, **RELATIVE, type_vocab_size=0)
    return DebertaV2Config(**SIZES, **RELATIVE, position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True)


@pytest.fixture
def weights(config):
    """Makes random weights: `weights(task)`."""

    def make(task):
        random = np.random.default_rng(5)
        table = expand(config, task)
        return {name: random.normal(0.0, 0.1, row.shape).astype("float32") for name, row in table.items()}

    return make


@pytest.fixture
def inputs():
    """A padded batch of ids."""
    random = np.random.default_rng(6)
    mask = np.ones((2, 12), "int64")
    mask[1, 7:] = 0
    return {"input_ids": np.where(mask, random.integers(1, 60, mask.shape), 0), "attention_mask": mask}
