"""Fixtures that several folders of tests need."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deberta_core import DebertaV2Config
from deberta_core.parameters import Array, expand

RandomWeights = Callable[..., dict[str, Array]]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material beside the repository, or $DEBERTA_SHARED."""
    beside = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("DEBERTA_SHARED", beside))
    if not (folder / "goldens").is_dir():
        pytest.skip(f"{folder} has no goldens; set DEBERTA_SHARED")
    return folder


@pytest.fixture(scope="session")
def small_config() -> DebertaV2Config:
    """A two-layer model with every optional part but token types; E, C, F and R all differ, so that swaps show."""
    return DebertaV2Config(
        vocab_size=40,
        hidden_size=16,
        embedding_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=20,
        max_position_embeddings=32,
        pos_att_type=("c2p", "p2c"),
        position_buckets=4,
        norm_rel_ebd="layer_norm",
        conv_kernel_size=3,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=3,
    )


@pytest.fixture(scope="session")
def random_weights() -> RandomWeights:
    """Makes the weights of a model: `random_weights(config, task, dtype="float32")`."""

    def make(config: DebertaV2Config, task: str | None, dtype: str = "float32") -> dict[str, Array]:
        import ml_dtypes  # noqa: F401 - teaches NumPy the name bfloat16

        random = np.random.default_rng(7)
        return {
            name: random.normal(0.0, 0.1, parameter.shape).astype(dtype)
            for name, parameter in expand(config, task).items()
        }

    return make
