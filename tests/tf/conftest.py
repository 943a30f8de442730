"""Real text as model inputs, for the Keras tests."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from deberta_core import DebertaConfig, DebertaV2Config
from deberta_core.tokenization import DebertaV2Tokenizer

CLASSES = 3


@pytest.fixture(scope="session")
def config(small_tokenizer: DebertaV2Tokenizer) -> DebertaV2Config:
    """A small three-class model over the real sentences' vocabulary, dropout on."""
    return DebertaV2Config(
        vocab_size=len(small_tokenizer),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=32,
        max_position_embeddings=64,
        position_buckets=8,
        pos_att_type="p2c|c2p",
        position_biased_input=False,
        share_att_key=True,
        norm_rel_ebd="layer_norm",
        initializer_range=0.1,
        num_labels=CLASSES,
    )


@pytest.fixture(scope="session")
def batch(small_tokenizer: DebertaV2Tokenizer, prose: list[str]) -> dict[str, Any]:
    """All sentences, tokenized and padded: `input_ids` and `attention_mask`, NumPy arrays."""
    encoded = small_tokenizer(prose, padding=True, truncation=True, max_length=32, return_tensors="np")
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


@pytest.fixture(scope="session")
def labels(prose: list[str]) -> np.ndarray:
    """A class per sentence."""
    return np.arange(len(prose)) % CLASSES


@pytest.fixture(scope="session")
def v1_config(config: DebertaV2Config) -> DebertaConfig:
    """The same sizes as v1."""
    names = set(DebertaConfig.field_names()) - {"id2label", "label2id"}
    return DebertaConfig(**{name: getattr(config, name) for name in names if hasattr(config, name)})
