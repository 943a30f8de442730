"""Real text as model inputs, for the Keras tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
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
    return as_v1(config)


@pytest.fixture(scope="session")
def tiny_config(config: DebertaV2Config) -> DebertaV2Config:
    """One narrow layer, dropout off: for what is about Keras, not about the model; most of the time is tracing."""
    narrow = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 20}
    return config.replace(**narrow, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


@pytest.fixture(scope="session")
def tiny_v1_config(tiny_config: DebertaV2Config) -> DebertaConfig:
    """The same as v1."""
    return as_v1(tiny_config)


@pytest.fixture(scope="session")
def run_script() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script of this folder in a fresh interpreter that finds this repository's packages."""

    def run(name: str, *arguments: Any, backend: str = "tensorflow") -> subprocess.CompletedProcess[str]:
        root = Path(__file__).parents[2]
        changes = {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }
        command = [sys.executable, str(Path(__file__).parent / name), *map(str, arguments)]
        return subprocess.run(command, env=os.environ | changes, capture_output=True, text=True, timeout=600)

    return run


def as_v1(config: DebertaV2Config) -> DebertaConfig:
    """The sizes of a v2 configuration in one of v1."""
    names = set(DebertaConfig.field_names()) - {"id2label", "label2id"}
    return DebertaConfig(**{name: getattr(config, name) for name in names if hasattr(config, name)})
